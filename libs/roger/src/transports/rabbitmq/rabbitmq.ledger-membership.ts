// A node's place in a ledger: its consumer of the log, which the broker makes the active one or lets wait.
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { LedgerMember, LedgerMembership } from '../../ledger-transport';
import { DEFAULT_EXCHANGE } from './broker-names';
import { LedgerRequests } from './ledger-requests';
import type { LedgerParts } from './ledger-parts';
import { StandingChannel } from './standing-channel';

/** The broker counts up to 65 535; a keeper trims long before. */
const LOG_PREFETCH = 60_000;

/**
 * The records have a channel to themselves, so that its delivery tags count them: trimming is one ack for all up to a
 * tag. The channel of the requests falls with it, and it with that.
 */
export class RabbitmqLedgerMembership implements LedgerMembership {
  private readonly logChannel: StandingChannel<Channel>;
  private requests: LedgerRequests | undefined;
  /** Records given on the present channel, and forgotten of them. */
  private given = 0;
  private trimmed = 0;

  constructor(
    private readonly ledger: number,
    private readonly member: LedgerMember,
    private readonly parts: LedgerParts,
  ) {
    this.logChannel = new StandingChannel<Channel>(
      parts.connection,
      {
        purpose: `Ledger ${ledger} on this node`,
        create: (model) => model.createChannel(),
        prepare: (model) => parts.topology.declareLedger(model, ledger),
        begin: (channel) => this.begin(channel),
        onLost: (detail) => {
          this.closeRequests();
          member.onLost(detail);
        },
      },
      parts.log,
    ).open();
  }

  get isBlocked(): boolean {
    return this.parts.connection.blockedReason !== undefined;
  }

  append(bytes: Buffer): void {
    try {
      this.logChannel.current?.publish(DEFAULT_EXCHANGE, this.logName, bytes, { persistent: true });
    } catch {
      // The channel is closing: lost, which is not told.
    }
  }

  takeRequests(): void {
    const channel = this.logChannel.current;
    const model = this.parts.connection.current;
    if (channel === undefined || model === undefined || this.requests !== undefined) return;
    this.beginRequests(channel, model).catch((error: unknown) => {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (this.logChannel.current === channel) this.logChannel.renew(failure.message, failure);
    });
  }

  trim(count: number): void {
    const upTo = Math.min(this.trimmed + count, this.given);
    if (upTo <= this.trimmed) return;
    this.trimmed = upTo;
    try {
      this.logChannel.current?.ack({ fields: { deliveryTag: upTo } } as ConsumeMessage, true);
    } catch {
      // The channel is closing; its successor is given them again.
    }
  }

  stepDown(detail: string): void {
    this.logChannel.renew(detail);
  }

  leave(): void {
    void this.close();
  }

  /** Leaves the ledger: the broker gives what is not forgotten to another member. */
  async close(): Promise<void> {
    const closed = this.logChannel.close();
    this.closeRequests();
    await closed;
  }

  private async begin(channel: Channel): Promise<void> {
    this.given = 0;
    this.trimmed = 0;
    await channel.prefetch(LOG_PREFETCH);
    await channel.consume(this.logName, (message) => {
      this.onRecord(channel, message);
    });
    // An empty log would leave the chosen one in the dark: this record comes to it, whoever it is.
    this.append(Buffer.from(`JOIN${this.parts.nodeId}`));
  }

  private onRecord(channel: Channel, message: ConsumeMessage | null): void {
    // What is still on its way when the channel is given up is another's.
    if (this.logChannel.current !== channel) return;
    if (message === null) {
      const detail = 'the broker cancelled the consumer of the log';
      this.logChannel.renew(detail, new Error(detail));
      return;
    }
    this.given++;
    this.member.onRecord(message.content);
  }

  private async beginRequests(logChannel: Channel, model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    const requests = new LedgerRequests(channel, {
      onRequest: (request) => {
        this.member.onRequest(request);
      },
      onLost: (detail) => {
        if (this.requests === requests) this.logChannel.renew(detail, new Error(detail));
      },
    });
    if (this.logChannel.current !== logChannel) {
      requests.close();
      return;
    }
    this.requests = requests;
    await requests.begin(this.parts.names.ledger(this.ledger));
  }

  private closeRequests(): void {
    this.requests?.close();
    this.requests = undefined;
  }

  private get logName(): string {
    return this.parts.names.ledgerLog(this.ledger);
  }
}
