// Takes a node's mail: what is sent to it, what all hear, and the notices of jobs that the broker has buried.
import type { Channel, ConsumeMessage } from 'amqplib';
import { BrokerRefusedError } from '../../job/errors';
import type { Mailbox } from '../../ledger-transport';
import type { LedgerParts } from './ledger-parts';
import { StandingChannel } from './standing-channel';
import { within } from './time-limit';
import { ACCESS_REFUSED, replyCode } from './topology';

const NOTICES_PREFETCH = 20;
/** The channels for what leaves are opened at the same time. */
const WAY_OUT_MS = 2_000;

/** Two channels, so that a want of rights on the notices doesn't stop the mail. */
export class NodeMailbox {
  isReceiving = false;
  private readonly mail: StandingChannel<Channel>;
  private readonly notices: StandingChannel<Channel>;

  constructor(
    private readonly parts: LedgerParts,
    private readonly mailbox: Mailbox,
    /** Resolves when mail leaves this node. */
    private readonly untilMailLeaves: () => Promise<void>,
  ) {
    const { connection, topology, log } = parts;
    this.mail = new StandingChannel<Channel>(
      connection,
      {
        purpose: 'Mail between nodes',
        create: (model) => model.createChannel(),
        prepare: (model) => topology.declareSystemExchange(model),
        begin: (channel) => this.beginMail(channel),
        onLost: (detail) => {
          this.onMailLost(detail);
        },
        onInterrupted: (reason) => {
          this.mailbox.down(
            replyCode(reason) === ACCESS_REFUSED
              ? new BrokerRefusedError('take mail between nodes', reason)
              : reason,
          );
        },
      },
      log,
    ).open();
    this.notices = new StandingChannel<Channel>(
      connection,
      {
        purpose: 'Notices of buried jobs',
        create: (model) => model.createChannel(),
        prepare: (model) => topology.declareNotices(model),
        begin: (channel) => this.beginNotices(channel),
      },
      log,
    ).open();
  }

  async close(): Promise<void> {
    this.isReceiving = false;
    await Promise.all([this.mail.close(), this.notices.close()]);
  }

  private async beginMail(channel: Channel): Promise<void> {
    const { nodeId, names } = this.parts;
    const queue = names.node(nodeId);
    await channel.assertQueue(queue, {
      exclusive: true,
      autoDelete: true,
      durable: false,
      arguments: { 'x-queue-type': 'classic' },
    });
    await channel.bindQueue(queue, names.systemExchange, '');
    await channel.consume(
      queue,
      (message) => {
        if (message === null) this.mail.renew(CANCELLED, new Error(CANCELLED));
        else this.mailbox.take(message.content);
      },
      { noAck: true },
    );
    // Who is told that mail comes asks the others at once, and must be heard.
    await within(WAY_OUT_MS, this.untilMailLeaves());
    if (this.mail.current !== channel) return;
    this.isReceiving = true;
    this.mailbox.up();
  }

  private onMailLost(detail: string): void {
    if (!this.isReceiving) return;
    this.isReceiving = false;
    this.mailbox.down(new Error(detail));
  }

  private async beginNotices(channel: Channel): Promise<void> {
    await channel.prefetch(NOTICES_PREFETCH);
    await channel.consume(this.parts.names.buriedNotices, (message) => {
      if (message === null) this.notices.renew(CANCELLED, new Error(CANCELLED));
      else this.tell(channel, message);
    });
  }

  private tell(channel: Channel, message: ConsumeMessage): void {
    let isAcked = false;
    this.mailbox.buried({
      body: message.content,
      ack: () => {
        if (isAcked || this.notices.current !== channel) return;
        isAcked = true;
        try {
          channel.ack(message);
        } catch {
          // The channel is closing; the broker gives the notice to somebody again.
        }
      },
    });
  }
}

const CANCELLED = 'the broker cancelled the consumer (the queue was deleted or moved)';
