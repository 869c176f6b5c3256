// Carries the records, requests and mail of ledgers within one process: the adapter of the second port to a MemoryBroker.
// Of node:timers, so that it connects in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import { randomUUID } from 'node:crypto';
import { LedgerShardsMismatchError, RogerClosedError } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type {
  DispatchedJob,
  LedgerMember,
  LedgerMembership,
  LedgerTransport,
  Mailbox,
} from '../../ledger-transport';
import type { MemoryBroker } from './memory-broker';
import type { MemoryBox } from './memory-ledger-mail';
import { MemoryLedgerMembership } from './memory-ledger-membership';

const DEFAULT_LEDGER_SHARDS = 8;

/** What a transport to a {@link MemoryBroker} is made of. */
export interface MemoryTransportOptions {
  readonly broker: MemoryBroker;
  readonly log: RogerLog;
  readonly ledgerShards?: number;
}

/**
 * One node's way to the ledgers of a {@link MemoryBroker}; it lives by the connection of its MemoryTransport. Mail and
 * memberships begin with `open` there; what only goes out needs no connection but is lost while that is cut.
 */
export class MemoryLedgerTransport implements LedgerTransport {
  readonly nodeId = randomUUID();
  private readonly broker: MemoryBroker;
  private readonly log: RogerLog;
  private readonly memberships = new Set<MemoryLedgerMembership>();
  private mailbox: Mailbox | undefined;
  /** The mailbox while mail comes. */
  private box: MemoryBox | undefined;
  private connection: 'unopened' | 'up' | 'cut' | 'closed' = 'unopened';

  private readonly ledgerShards: number;

  constructor({ broker, log, ledgerShards }: MemoryTransportOptions) {
    this.broker = broker;
    this.log = log;
    this.ledgerShards = ledgerShards ?? DEFAULT_LEDGER_SHARDS;
  }

  receive(mailbox: Mailbox): void {
    this.mailbox = mailbox;
    setImmediate(() => {
      this.receiveMail();
    });
  }

  get isReceiving(): boolean {
    return this.box !== undefined;
  }

  send(nodeId: string, bytes: Buffer): Promise<boolean> {
    // While it is cut, this node can't know.
    return Promise.resolve(!this.canSend || this.broker.mail.send(nodeId, bytes));
  }

  announce(bytes: Buffer): void {
    if (this.canSend) this.broker.mail.announce(bytes);
  }

  exists(ledger: number): Promise<boolean> {
    return this.promise(() => {
      const { ledgerShards = this.ledgerShards } = this.broker;
      if (ledgerShards !== this.ledgerShards) {
        throw new LedgerShardsMismatchError(this.ledgerShards, ledgerShards, 'MemoryBroker');
      }
      return this.broker.findLedger(ledger) !== undefined;
    });
  }

  join(ledger: number, member: LedgerMember): LedgerMembership {
    const joined = this.broker.declareLedger(ledger, this.ledgerShards);
    const membership = new MemoryLedgerMembership(
      joined,
      this.nodeId,
      member,
      () => this.connection === 'up',
    );
    if (this.connection === 'closed') return membership;
    this.memberships.add(membership);
    setImmediate(() => {
      membership.join();
    });
    return membership;
  }

  request(ledger: number, bytes: Buffer): void {
    if (this.canSend) this.broker.findLedger(ledger)?.request(bytes);
  }

  dispatch(job: DispatchedJob): Promise<void> {
    return this.promise(() => {
      this.broker.declare(job).dispatch(job, this.log);
    });
  }

  reconnect(): void {
    // Within one process everything finds its way.
  }

  closeLedgers(): Promise<void> {
    this.letGo('closed');
    return Promise.resolve();
  }

  /** The transport is connected (again): mail comes, and the memberships join. */
  connect(): void {
    if (this.connection === 'closed' || this.connection === 'up') return;
    this.connection = 'up';
    this.receiveMail();
    for (const membership of this.memberships) membership.join();
  }

  /** Loses mail and memberships, as a lost connection does. {@link reportLoss} tells their owners. */
  disconnect(): void {
    if (this.connection === 'up') this.letGo('cut');
  }

  reportLoss(detail: string): void {
    if (this.connection !== 'cut') return;
    for (const membership of this.memberships) membership.reportLoss(detail);
    this.mailbox?.down(new Error(detail));
  }

  private letGo(connection: 'cut' | 'closed'): void {
    this.connection = connection;
    for (const membership of this.memberships) membership.giveUpPlace();
    if (this.box !== undefined) this.broker.mail.remove(this.box);
    this.box = undefined;
  }

  private receiveMail(): void {
    const { mailbox } = this;
    if (mailbox === undefined || this.box !== undefined || this.connection !== 'up') return;
    this.box = { nodeId: this.nodeId, mailbox };
    this.broker.mail.add(this.box);
    mailbox.up();
  }

  private get canSend(): boolean {
    return this.connection === 'up' || this.connection === 'unopened';
  }

  /** Acts at once; what it throws rejects the promise. */
  private promise<T>(act: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.connection === 'closed') throw new RogerClosedError();
      resolve(act());
    });
  }
}
