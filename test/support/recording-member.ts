// A mailbox and a ledger's member that remember what they were told.
import type { BrokerMessageToAck, LedgerMember, Mailbox } from '../../libs/roger/src/ledger-transport';
import { Signals } from './signal';

export class RecordingMailbox implements Mailbox {
  readonly mail = new Signals<string>();
  readonly ups = new Signals<true>();
  readonly downs = new Signals<Error>();
  readonly burials = new Signals<BrokerMessageToAck>();

  take(bytes: Buffer): void {
    this.mail.add(bytes.toString());
  }

  up(): void {
    this.ups.add(true);
  }

  down(reason: Error): void {
    this.downs.add(reason);
  }

  buried(job: BrokerMessageToAck): void {
    this.burials.add(job);
  }
}

/** Tells what it was given since it last lost; the records that nodes make by joining are left out. */
export class RecordingMember implements LedgerMember {
  /** Every record there was, those of joining too: the first tells that the node was chosen. */
  readonly given = new Signals<string>();
  /** Since the last loss. */
  records = new Signals<string>();
  requests = new Signals<BrokerMessageToAck>();
  readonly losses = new Signals<string>();

  onRecord(bytes: Buffer): void {
    const text = bytes.toString();
    this.given.add(text);
    if (!text.startsWith('JOIN')) this.records.add(text);
  }

  onRequest(request: BrokerMessageToAck): void {
    this.requests.add(request);
  }

  onLost(detail: string): void {
    this.records = new Signals();
    this.requests = new Signals();
    this.losses.add(detail);
  }
}
