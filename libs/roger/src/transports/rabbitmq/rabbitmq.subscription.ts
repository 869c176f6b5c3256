// A standing order for the jobs of one queue, which comes back by itself after whatever interrupts it.
import type { Channel, ChannelModel } from 'amqplib';
import { BrokerRefusedError, NotConnectedError, RogerError } from '../../job/errors';
import type { QueueAddress } from '../../job/names';
import type { RogerLog } from '../../job/log';
import type { DeliveryConsumer, QueueLane, Subscription } from '../../transport';
import type { BrokerConnection } from './broker-connection';
import { ConsumingChannel } from './consuming-channel';
import type { FollowUps } from './follow-ups';
import type { FairTurns } from './fair-turns';
import type { Watched } from './subscription-watch';
import type { JournalWriter } from './journal/journal-writer';
import { within } from './time-limit';
import type { Topology } from './topology';
import { ACCESS_REFUSED, replyCode } from './topology';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/** How long a broker that doesn't answer may hold up a stop or a close. */
const FAREWELL_MS = 3_000;

export interface SubscriptionParts {
  /** Of the lane. */
  readonly queueName: string;
  readonly lane: QueueLane;
  readonly connection: BrokerConnection;
  readonly topology: Topology;
  readonly followUps: FollowUps;
  /** Beginning takes turns with other partitions. */
  readonly turns: FairTurns;
  readonly journal: JournalWriter | undefined;
  readonly log: RogerLog;
  /** Told once, when the subscription is closed for good. */
  readonly onClosed: (subscription: RabbitmqSubscription) => void;
}

export class RabbitmqSubscription implements Subscription, Watched {
  private channel: ConsumingChannel | undefined;
  private isStopped = false;
  private stopped: Promise<'done' | 'late'> | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private retryDelayMs = RETRY_MIN_MS;
  /** What was last logged as the reason for not being served. */
  private complaint: string | undefined;
  private beginning: Promise<void> = Promise.resolve();
  private isBeginning = false;
  private wasForgotten = false;
  private isLooking = false;

  constructor(
    private readonly address: QueueAddress,
    private prefetch: number,
    private readonly consumer: DeliveryConsumer,
    private readonly parts: SubscriptionParts,
  ) {
    const { connection } = parts;
    connection.on('up', this.onUp);
    connection.on('down', this.onDown);
    connection.on('failed', this.onFailed);
    if (connection.current === undefined) consumer.waiting(new NotConnectedError(connection.lastFailure));
    else this.onUp(connection.current);
  }

  get consumerCount(): number {
    return this.channel?.consumerCount ?? 0;
  }

  setPrefetch(prefetch: number): void {
    if (prefetch === this.prefetch) return;
    this.prefetch = prefetch;
    // A channel that breaks over it reports itself as lost, and its successor begins with the new prefetch.
    this.channel?.setPrefetch(prefetch).catch(() => undefined);
  }

  async applied(): Promise<void> {
    await within(
      FAREWELL_MS,
      this.beginning.then(() => this.channel?.settled()),
    );
  }

  async stop(): Promise<void> {
    await (this.stopped ??= this.takeNoMore());
  }

  async close(): Promise<void> {
    const answer = await (this.stopped ??= this.takeNoMore());
    const closed = this.channel?.close();
    this.channel = undefined;
    // A broker that hasn't answered the stop doesn't answer this either.
    if (closed !== undefined && answer === 'done') await within(FAREWELL_MS, closed);
    this.parts.connection.off('down', this.onDown);
    this.parts.onClosed(this);
  }

  private takeNoMore(): Promise<'done' | 'late'> {
    this.isStopped = true;
    clearTimeout(this.retryTimer);
    this.parts.connection.off('up', this.onUp);
    this.parts.connection.off('failed', this.onFailed);
    return within(
      FAREWELL_MS,
      this.beginning.then(() => this.channel?.stop()),
    );
  }

  private readonly onUp = (model: ChannelModel): void => {
    this.retryDelayMs = RETRY_MIN_MS;
    this.begin(model);
  };

  private readonly onDown = (detail: string): void => {
    clearTimeout(this.retryTimer);
    this.channel?.lose(new Error(detail));
    if (!this.isStopped) this.consumer.waiting(new NotConnectedError(new Error(detail)));
  };

  private readonly onFailed = (reason: Error): void => {
    this.consumer.waiting(new NotConnectedError(reason));
  };

  private begin(model: ChannelModel, after: Promise<void> = Promise.resolve()): void {
    if (this.isStopped) return;
    this.isBeginning = true;
    this.beginning = after
      .then(() => this.parts.turns.take(this.address.partition, () => this.openChannel(model)))
      .catch((error: unknown) => {
        this.beginAgain(model, this.reasonOf(error));
      })
      .finally(() => {
        this.isBeginning = false;
      });
  }

  private async openChannel(model: ChannelModel): Promise<void> {
    const { journal } = this.parts;
    if (!this.isMeant(model)) return;
    const raw = await this.declareOnChannel(model);
    if (!this.isMeant(model)) {
      raw.close().catch(() => undefined);
      return;
    }
    const channel = new ConsumingChannel(
      raw,
      this.parts.queueName,
      this.parts.followUps,
      this.parts.topology.deliveryLimit,
      {
        onDelivery: (delivery) => {
          this.consumer.deliver(delivery);
        },
        onLost: (reason) => {
          if (this.channel === channel) this.consumer.lost(reason.message);
          this.replaceChannel(model, channel, reason);
        },
        onQueueGone: (detail) => {
          this.replaceChannel(model, channel, new Error(detail));
        },
        onCancelled: () => {
          this.say('the broker cancelled the consumer (the queue was deleted or moved)');
          void this.consumeAgain(model, channel);
        },
        onSpent: () => {
          this.renewChannel(model, channel);
        },
        ...(journal === undefined
          ? {}
          : {
              onLeaving: (message) => {
                journal.left(this.address, message);
              },
            }),
      },
    );
    this.channel = channel;
    await channel.setPrefetch(this.prefetch);
    if (channel.isLost) throw new Error('the channel was lost as soon as it was open');
    this.onConsuming();
  }

  private isMeant(model: ChannelModel): boolean {
    return !this.isStopped && this.parts.connection.current === model;
  }

  /** The channel that the queue is declared on carries nothing yet, so it may break over it; else it is the one to consume on. */
  private async declareOnChannel(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    let failure: Error | undefined;
    channel.on('error', (error: Error) => {
      failure = error;
    });
    try {
      await this.parts.topology.declareQueueOn(model, channel, this.address, this.parts.lane);
    } catch (error) {
      // Where the broker has not closed it; amqplib throws where it has.
      if (failure === undefined) channel.close().catch(() => undefined);
      // The channel's own reason says more than "no reply will be forthcoming"; what was already explained stays.
      throw error instanceof RogerError ? error : (failure ?? error);
    }
    return channel;
  }

  private replaceChannel(model: ChannelModel, channel: ConsumingChannel, reason: Error): void {
    if (this.channel !== channel) return;
    this.channel = undefined;
    // Whoever opens it hears of it too, and knows more of the reason.
    if (this.isBeginning) return;
    // Channels fall before their connection does; a turn later it shows which of the two was lost.
    setImmediate(() => {
      this.beginAgain(model, this.reasonOf(reason));
    });
  }

  /** Closing it has the broker give back whatever it takes for ours. */
  private renewChannel(model: ChannelModel, channel: ConsumingChannel): void {
    if (this.channel !== channel || this.isBeginning || !this.isMeant(model)) return;
    this.channel = undefined;
    this.begin(model, channel.retire());
  }

  /** One that is quiet: it stops for a moment, in which something may come all the same. */
  private async renewIfSpent(channel: ConsumingChannel): Promise<void> {
    if (!channel.isSpent) return;
    await channel.setPrefetch(0).catch(() => undefined);
    if (this.channel === channel) await channel.setPrefetch(this.prefetch).catch(() => undefined);
  }

  /**
   * The queue was deleted, or its node went. What was delivered is still run and settled on the same channel, for nobody
   * else may have it; the queue is declared again and consumed from.
   */
  private async consumeAgain(model: ChannelModel, channel: ConsumingChannel): Promise<void> {
    if (this.isStopped || this.channel !== channel) return;
    try {
      await this.parts.topology.declareQueue(model, this.address, this.parts.lane);
      await channel.consumeAgain(this.prefetch);
      this.onConsuming();
    } catch (error) {
      if (channel.isLost) return;
      this.retryAfter(this.reasonOf(error), () => {
        void this.consumeAgain(model, channel);
      });
    }
  }

  isQuiet(): boolean {
    const isQuiet = this.channel?.isQuiet() ?? false;
    if (!isQuiet) this.wasForgotten = false;
    return isQuiet;
  }

  look(): void {
    // A queue that doesn't answer is not asked again.
    if (this.channel === undefined || this.isLooking) return;
    this.isLooking = true;
    const { channel } = this;
    void this.mendIfForgotten(channel)
      .then(() => this.renewIfSpent(channel))
      .finally(() => (this.isLooking = false));
  }

  private async mendIfForgotten(channel: ConsumingChannel): Promise<void> {
    const isForgotten = await channel.isForgotten().catch(() => false);
    if (this.isStopped || this.channel !== channel) return;
    if (isForgotten && this.wasForgotten) {
      channel.abandon('its jobs do not come');
    } else if (isForgotten) {
      this.say('its jobs do not come, so it is subscribed to anew');
      await channel
        .consumeAgain(this.prefetch)
        .then(() => {
          this.onConsuming();
        })
        .catch(() => undefined);
    }
    this.wasForgotten = isForgotten;
  }

  private beginAgain(model: ChannelModel, reason: Error): void {
    if (this.isStopped || this.parts.connection.current !== model) return;
    this.retryAfter(reason, () => {
      if (this.parts.connection.current === model) this.begin(model);
    });
  }

  private retryAfter(reason: Error, retry: () => void): void {
    // The broker words one refusal in several ways.
    this.say(reason.message, reason instanceof BrokerRefusedError ? reason.action : reason.message);
    this.consumer.waiting(reason);
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(retry, this.retryDelayMs);
    this.retryDelayMs = Math.min(this.retryDelayMs * 2, RETRY_MAX_MS);
  }

  private reasonOf(thrown: unknown): Error {
    if (!(thrown instanceof RogerError) && replyCode(thrown) === ACCESS_REFUSED)
      return new BrokerRefusedError(`take jobs from queue ${this.parts.queueName}`, thrown);
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }

  private onConsuming(): void {
    this.retryDelayMs = RETRY_MIN_MS;
    if (this.complaint !== undefined) this.parts.log.log(`Queue ${this.parts.queueName} is served again`);
    this.complaint = undefined;
    this.consumer.waiting(undefined);
  }

  /** One line per change, not one per try. */
  private say(complaint: string, cause = complaint): void {
    if (cause === this.complaint) return;
    this.complaint = cause;
    this.parts.log.warn(`Queue ${this.parts.queueName} is not served for now: ${complaint}; trying on`);
  }
}
