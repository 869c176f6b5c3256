// A standing order for the jobs of one queue, which comes back by itself after whatever interrupts it.
import type { Channel, ChannelModel } from 'amqplib';
import { BrokerRefusedError, NotConnectedError, QueueNotAnsweringError, RogerError } from '../../job/errors';
import type { QueueAddress } from '../../job/names';
import type { RogerLog } from '../../job/log';
import type { DeliveryConsumer, QueueLane, Subscription } from '../../transport';
import type { BrokerConnection } from './broker-connection';
import { ConsumingChannel } from './consuming-channel';
import type { DoubtfulQueues } from './doubtful-queues';
import { PATIENCE_MS } from './doubtful-queues';
import type { FollowUps } from './follow-ups';
import type { FairTurns } from './fair-turns';
import type { Watched } from './subscription-watch';
import type { JournalWriter } from './journal/journal-writer';
import { within } from './time-limit';
import type { Topology } from './topology';
import { ACCESS_REFUSED, INTERNAL_ERROR, replyCode } from './topology';

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
  /** Told of a queue that doesn't answer, and asked before one that didn't is asked again. */
  readonly doubtful: DoubtfulQueues;
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
  /** Whether the queue has not answered yet what it was asked, or had not when its channel was lost. */
  private isOwedAnswer = false;
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

  private async takeNoMore(): Promise<'done' | 'late'> {
    this.isStopped = true;
    clearTimeout(this.retryTimer);
    this.parts.connection.off('up', this.onUp);
    this.parts.connection.off('failed', this.onFailed);
    const answer = await within(
      FAREWELL_MS,
      this.beginning.then(() => this.channel?.stop()),
    );
    if (answer === 'late') this.parts.doubtful.suspect(this.parts.queueName);
    return answer;
  }

  private readonly onUp = (model: ChannelModel): void => {
    this.retryDelayMs = RETRY_MIN_MS;
    this.begin(model);
  };

  private readonly onDown = (detail: string): void => {
    clearTimeout(this.retryTimer);
    this.channel?.lose(new Error(detail));
    const { connection, doubtful, queueName } = this.parts;
    if (this.isOwedAnswer && replyCode(connection.lastFailure) === INTERNAL_ERROR)
      doubtful.suspect(queueName);
    if (!this.isStopped) this.consumer.waiting(new NotConnectedError(new Error(detail)));
  };

  private readonly onFailed = (reason: Error): void => {
    this.consumer.waiting(new NotConnectedError(reason));
  };

  private begin(model: ChannelModel, after: Promise<void> = Promise.resolve()): void {
    if (this.isStopped) return;
    this.isBeginning = true;
    const { turns, doubtful, lane } = this.parts;
    this.beginning = after
      .then(() => doubtful.beyondDoubt(this.address, lane))
      .then(() => turns.take(this.address.partition, () => this.inSight(this.openChannel(model))))
      .catch((error: unknown) => {
        this.beginAgain(model, this.reasonOf(error));
      })
      .finally(() => {
        this.isBeginning = false;
      });
  }

  /** Tells when the queue takes long to answer, and goes on waiting. */
  private async inSight(opened: Promise<void>): Promise<void> {
    if ((await within(PATIENCE_MS, opened)) === 'late' && !this.isStopped) {
      this.parts.doubtful.suspect(this.parts.queueName);
      this.complain(new QueueNotAnsweringError(this.address.partition, this.address.queue));
    }
    await opened;
  }

  private async openChannel(model: ChannelModel): Promise<void> {
    const { journal } = this.parts;
    if (!this.isMeant(model)) return;
    this.isOwedAnswer = true;
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
          this.isOwedAnswer ||= channel.isOwedAnswer;
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

  /** One that is quiet: it stops for a moment, in which something may come all the same. Not while its queue doesn't answer. */
  private async renewIfSpent(channel: ConsumingChannel): Promise<void> {
    if (!channel.isSpent || this.complaint !== undefined) return;
    await channel.setPrefetch(0).catch(() => undefined);
    if (this.channel === channel) await channel.setPrefetch(this.prefetch).catch(() => undefined);
  }

  /**
   * The queue was deleted, or its node went. What was delivered is still run and settled on the same channel, for nobody
   * else may have it; the queue is declared again and consumed from.
   */
  private async consumeAgain(model: ChannelModel, channel: ConsumingChannel): Promise<void> {
    if (!this.uses(channel)) return;
    try {
      await this.parts.doubtful.beyondDoubt(this.address, this.parts.lane);
      this.isOwedAnswer = true;
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

  private uses(channel: ConsumingChannel): boolean {
    return !this.isStopped && this.channel === channel;
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
    const { doubtful, lane, queueName } = this.parts;
    const isForgotten = await channel.isForgotten().catch(() => false);
    if (!this.uses(channel)) return;
    if (!isForgotten) {
      this.wasForgotten = false;
      if (this.complaint !== undefined) this.onConsuming();
      return;
    }
    // The broker says the same of a queue that doesn't answer.
    doubtful.suspect(queueName);
    try {
      await doubtful.beyondDoubt(this.address, lane);
    } catch (error) {
      if (!this.uses(channel)) return;
      this.retryAfter(this.reasonOf(error), () => {
        this.look();
      });
      return;
    }
    if (this.uses(channel)) await this.subscribeAnew(channel);
  }

  private async subscribeAnew(channel: ConsumingChannel): Promise<void> {
    if (this.wasForgotten) {
      channel.abandon('its jobs do not come');
      return;
    }
    this.wasForgotten = true;
    this.say('its jobs do not come, so it is subscribed to anew');
    await channel
      .consumeAgain(this.prefetch)
      .then(() => {
        this.onConsuming();
      })
      .catch(() => undefined);
  }

  private beginAgain(model: ChannelModel, reason: Error): void {
    if (this.isStopped || this.parts.connection.current !== model) return;
    this.retryAfter(reason, () => {
      if (this.parts.connection.current === model) this.begin(model);
    });
  }

  private retryAfter(reason: Error, retry: () => void): void {
    this.complain(reason);
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(retry, this.retryDelayMs);
    this.retryDelayMs = Math.min(this.retryDelayMs * 2, RETRY_MAX_MS);
  }

  private complain(reason: Error): void {
    // The broker words one refusal in several ways, and what doesn't answer fails in several ways.
    this.say(reason.message, causeOf(reason));
    this.consumer.waiting(reason);
  }

  private reasonOf(thrown: unknown): Error {
    if (!(thrown instanceof RogerError) && replyCode(thrown) === ACCESS_REFUSED)
      return new BrokerRefusedError(`take jobs from queue ${this.parts.queueName}`, thrown);
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }

  private onConsuming(): void {
    this.retryDelayMs = RETRY_MIN_MS;
    this.isOwedAnswer = false;
    this.parts.doubtful.trust(this.parts.queueName);
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

function causeOf(reason: Error): string {
  if (reason instanceof BrokerRefusedError) return reason.action;
  return reason instanceof QueueNotAnsweringError ? reason.code : reason.message;
}
