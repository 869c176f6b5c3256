// Sends what may get lost: mail to nodes, requests to ledgers.
import type { Channel, ConfirmChannel, Message } from 'amqplib';
import { DEFAULT_EXCHANGE } from './broker-names';
import type { LedgerParts } from './ledger-parts';
import { StandingChannel } from './standing-channel';

/** A letter to a node whose arrival is not known yet. */
interface Letter {
  readonly resolve: (isThere: boolean) => void;
  isReturned: boolean;
}

/** Letters have a channel that confirms, for that tells whether the node is there; what needs no answer goes without. */
export class OutgoingMail {
  private readonly confirming: StandingChannel<ConfirmChannel>;
  private readonly plain: StandingChannel<Channel>;
  private readonly letters = new Map<string, Letter>();
  private letterCount = 0;
  private onReady: (() => void)[] = [];

  constructor(private readonly parts: LedgerParts) {
    const { connection, topology, log } = parts;
    this.confirming = new StandingChannel<ConfirmChannel>(
      connection,
      {
        purpose: 'Mail to nodes',
        create: async (model) => this.watchReturns(await model.createConfirmChannel()),
        begin: () => this.tellIfReady(),
        onLost: () => {
          this.forgetLetters();
        },
      },
      log,
    ).open();
    this.plain = new StandingChannel<Channel>(
      connection,
      {
        purpose: 'Requests and announcements',
        create: (model) => model.createChannel(),
        prepare: (model) => topology.declareSystemExchange(model),
        begin: () => this.tellIfReady(),
      },
      log,
    ).open();
  }

  /** Resolves when mail leaves. */
  async untilReady(): Promise<void> {
    if (!this.isReady) await new Promise<void>((resolve) => this.onReady.push(resolve));
  }

  /** @returns false when the broker knows no such node. */
  send(nodeId: string, bytes: Buffer): Promise<boolean> {
    return new Promise((resolve) => {
      const channel = this.isBlocked ? undefined : this.confirming.current;
      if (channel === undefined) {
        resolve(true);
        return;
      }
      const messageId = String(++this.letterCount);
      const letter: Letter = { resolve, isReturned: false };
      this.letters.set(messageId, letter);
      const settle = (): void => {
        this.letters.delete(messageId);
        resolve(!letter.isReturned);
      };
      try {
        const queue = this.parts.names.node(nodeId);
        channel.publish(DEFAULT_EXCHANGE, queue, bytes, { mandatory: true, messageId }, settle);
      } catch {
        // The channel is closing: lost, which is not told.
        settle();
      }
    });
  }

  announce(bytes: Buffer): void {
    this.publish(this.parts.names.systemExchange, '', bytes, false);
  }

  request(ledger: number, bytes: Buffer): void {
    this.publish(DEFAULT_EXCHANGE, this.parts.names.ledger(ledger), bytes, true);
  }

  async close(): Promise<void> {
    await Promise.all([this.confirming.close(), this.plain.close()]);
    this.forgetLetters();
  }

  private get isReady(): boolean {
    return this.confirming.current !== undefined && this.plain.current !== undefined;
  }

  private tellIfReady(): Promise<void> {
    if (this.isReady) for (const resolve of this.onReady.splice(0)) resolve();
    return Promise.resolve();
  }

  /** The broker reads nothing from a connection that it blocks: what is sent again and again would pile up here. */
  private get isBlocked(): boolean {
    return this.parts.connection.blockedReason !== undefined;
  }

  private publish(exchange: string, routingKey: string, bytes: Buffer, persistent: boolean): void {
    if (this.isBlocked) return;
    try {
      this.plain.current?.publish(exchange, routingKey, bytes, { persistent });
    } catch {
      // The channel is closing: lost, which is not told.
    }
  }

  private watchReturns(channel: ConfirmChannel): ConfirmChannel {
    return channel.on('return', ({ properties }: Message) => {
      const letter = this.letters.get(String(properties.messageId));
      if (letter !== undefined) letter.isReturned = true;
    });
  }

  private forgetLetters(): void {
    for (const { resolve, isReturned } of this.letters.values()) resolve(!isReturned);
    this.letters.clear();
  }
}
