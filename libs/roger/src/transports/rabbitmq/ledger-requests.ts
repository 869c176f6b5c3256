// Takes a ledger's requests on a channel of its own, so that their acks never touch a record.
import type { Channel, ConsumeMessage } from 'amqplib';
import type { BrokerMessageToAck } from '../../ledger-transport';
import { GroupedAcks } from './grouped-acks';

const PREFETCH = 500;

export interface LedgerRequestsEvents {
  onRequest(request: BrokerMessageToAck): void;
  /** No request comes any more. Not called after a {@link LedgerRequests.close}. */
  onLost(detail: string): void;
}

export class LedgerRequests {
  private isOver = false;
  private readonly acks: GroupedAcks;

  constructor(
    private readonly channel: Channel,
    private readonly events: LedgerRequestsEvents,
  ) {
    this.acks = new GroupedAcks(
      channel,
      () => this.isOver,
      (error) => {
        this.lose(error.message);
      },
    );
    let reason = new Error('channel closed');
    channel.on('error', (error: Error) => {
      reason = error;
    });
    channel.on('close', () => {
      this.lose(reason.message);
    });
  }

  /** Rejects when the channel breaks over it. */
  async begin(queue: string): Promise<void> {
    await this.channel.prefetch(PREFETCH);
    await this.channel.consume(queue, (message) => {
      if (message === null) this.lose('the broker cancelled the consumer of requests');
      else if (!this.isOver) this.events.onRequest(new LedgerRequest(this, message));
    });
  }

  close(): void {
    if (this.isOver) return;
    this.acks.flush();
    this.isOver = true;
    this.channel.close().catch(() => undefined);
  }

  /** @internal Called by a request, once. */
  acknowledge(message: ConsumeMessage): void {
    if (!this.isOver) this.acks.add(message);
  }

  private lose(detail: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events.onLost(detail);
  }
}

class LedgerRequest implements BrokerMessageToAck {
  private isAcked = false;

  constructor(
    private readonly requests: LedgerRequests,
    private readonly message: ConsumeMessage,
  ) {}

  get body(): Buffer {
    return this.message.content;
  }

  ack(): void {
    if (this.isAcked) return;
    this.isAcked = true;
    this.requests.acknowledge(this.message);
  }
}
