// One channel that takes jobs from one queue: its consumers, its deliveries, their acks. Worth nothing once it is lost.
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Delivery, Settlement } from '../../transport';
import type { FollowUp, FollowUps } from './follow-ups';
import { GroupedAcks } from './grouped-acks';
import { DELIVERIES_HEADER } from './job-messages';
import { NOT_FOUND, replyCode } from './topology';

/** More consumers than this are put together into one. */
const MAX_CONSUMERS = 16;
/**
 * A channel of the broker passes on so many acks to a quorum queue before the queue has written the first of them down.
 * What is above waits in the channel, and is forgotten when that closes.
 */
const MAX_ACKS_PASSED_ON = 32;
/** Whatever the disk, acks this old have been written down. */
const ACK_WRITTEN_MS = 5_000;

export interface ConsumingChannelEvents {
  onDelivery(delivery: Delivery): void;
  /** The channel is gone and with it every unsettled delivery. Not called for a {@link ConsumingChannel.close}. */
  onLost(reason: Error): void;
  /** The channel is gone because its queue is; the deliveries stay ours, for nobody else will get them. */
  onQueueGone(detail: string): void;
  /** The broker cancelled the consumers; the channel and its deliveries live on. */
  onCancelled(): void;
  /** It takes nothing, has nothing unsettled, and should not be used again: see {@link ConsumingChannel.isSpent}. */
  onSpent(): void;
  /** The message is about to leave its queue for good. */
  onLeaving?(message: ConsumeMessage): void;
}

/**
 * The broker counts unacked deliveries per consumer and reads a consumer's prefetch only once. So for another prefetch
 * the consumers are cancelled and a new one begun; what is unsettled of the earlier ones is nobody's and would come on
 * top. It is taken into account instead: the new consumer is that much smaller, and as the old deliveries are settled,
 * further consumers take up the room.
 */
export class ConsumingChannel {
  isLost = false;
  /** Whether the queue has not answered yet what it was asked, or had not when the channel was lost. */
  isOwedAnswer = false;
  private isQueueGone = false;
  private isStopped = false;
  /** The queue may be gone, and consuming from a missing queue would cost the channel and its deliveries. */
  private isCancelled = false;
  private prefetch = 0;
  /** The size of each consumer by its tag. */
  private readonly consumers = new Map<string, number>();
  /** Those of them, and those that are being cancelled. */
  private standingConsumers = 0;
  /** Counts the changes of consumers; deliveries of earlier ones are old. */
  private generation = 0;
  private currentUnsettled = 0;
  private oldUnsettled = 0;
  private consumerChange: Promise<void> = Promise.resolve();
  private isRefillDue = false;
  private readonly acks: GroupedAcks;
  /** Acks and nacks sent, and when the last of them. */
  private acksSent = 0;
  private lastAckAt = 0;
  private deliveries = 0;
  private deliveriesLastSeen = 0;
  private sawJobsWait = false;
  private followUpsUnderWay = 0;
  private onFollowedUp: (() => void) | undefined;
  private hasCancelled = false;
  private retiring: Promise<void> | undefined;

  constructor(
    private readonly channel: Channel,
    private readonly queueName: string,
    private readonly followUps: FollowUps,
    /** The broker buries what is given back once more than so often. */
    private readonly deliveryLimit: number,
    private readonly events: ConsumingChannelEvents,
  ) {
    this.acks = new GroupedAcks(
      channel,
      () => this.isLost,
      (error) => {
        this.lose(error);
      },
      (count) => {
        this.noteAcks(count);
      },
    );
    let reason = new Error('channel closed');
    channel.on('error', (error: Error) => {
      reason = error;
    });
    channel.on('close', () => {
      if (replyCode(reason) === NOT_FOUND) this.outliveQueue(reason.message);
      else this.lose(reason);
    });
  }

  /** How many the broker knows of. */
  get consumerCount(): number {
    return this.isLost ? 0 : this.standingConsumers;
  }

  /** Takes at most so many unsettled deliveries from now on; 0: none. Rejects when the channel breaks over it. */
  setPrefetch(prefetch: number): Promise<void> {
    return this.changeConsumers(async () => {
      this.prefetch = prefetch;
      await this.renewConsumers();
      this.tellIfSpent();
    });
  }

  /**
   * Whether a consumer was cancelled on it, and nothing of it is left. What a leader of the queue sent to that consumer
   * right before it went down may have been lost on its way between two broker nodes. The next delivery to a consumer
   * brings that to light; for one that is cancelled there is none, and the broker takes the job for ours until the channel
   * closes.
   */
  get isSpent(): boolean {
    const hasNothing = this.currentUnsettled + this.oldUnsettled === 0 && this.followUpsUnderWay === 0;
    return this.hasCancelled && hasNothing && !this.isLost && !this.isStopped;
  }

  /** Consumes once more after the broker has cancelled, the queue being there (again). */
  consumeAgain(prefetch: number): Promise<void> {
    this.isCancelled = false;
    return this.setPrefetch(prefetch);
  }

  /** Resolves when the broker has read all that was sent to it: changes of consumers, acks, what is given back. Never rejects. */
  async settled(): Promise<void> {
    await this.changeConsumers(async () => {
      this.acks.flush();
      await this.channel.prefetch(1);
    }).catch(() => undefined);
    await this.retiring;
  }

  /** Takes no more deliveries. */
  async stop(): Promise<void> {
    await this.changeConsumers(async () => {
      this.isStopped = true;
      await this.cancelConsumers();
    }).catch(() => undefined);
  }

  /**
   * Is not used again, and closes when the queue has written down what it was told. Resolves when the broker has read all
   * that was sent. For one that is spent; never rejects.
   */
  retire(): Promise<void> {
    return (this.retiring ??= this.retireNow());
  }

  private async retireNow(): Promise<void> {
    let untilWritten: number;
    try {
      this.acks.flush();
      untilWritten = this.areAcksWritten ? 0 : ACK_WRITTEN_MS;
      this.isLost = true;
      await this.channel.prefetch(1);
    } catch {
      // It is closing already: amqplib throws.
      return;
    }
    setTimeout(() => {
      this.channel.close().catch(() => undefined);
    }, untilWritten).unref();
  }

  /** Waits for the settlements under way; closing the channel gives back what was not settled. Never rejects. */
  async close(): Promise<void> {
    if (this.followUpsUnderWay > 0 && !this.isLost) {
      await new Promise<void>((resolve) => (this.onFollowedUp = resolve));
    }
    if (this.isLost) return;
    this.acks.flush();
    this.isLost = true;
    await this.waitForAcks().catch(() => undefined);
    await this.channel.close().catch(() => undefined);
  }

  private get areAcksWritten(): boolean {
    return this.acksSent <= MAX_ACKS_PASSED_ON || performance.now() - this.lastAckAt > ACK_WRITTEN_MS;
  }

  /**
   * Asks the queue for a job, which it answers in order behind the acks passed on to it; what the channel held back
   * follows those before it closes. A job that comes with the answer is given back by the close.
   */
  private async waitForAcks(): Promise<void> {
    if (this.areAcksWritten) return;
    await this.channel.get(this.queueName);
  }

  /** Whether it could take jobs, and none have come since it was asked last. Asks nobody. */
  isQuiet(): boolean {
    const isQuiet = this.deliveries === this.deliveriesLastSeen;
    this.deliveriesLastSeen = this.deliveries;
    const hasRoom = this.currentUnsettled + this.oldUnsettled < this.prefetch;
    if (isQuiet && hasRoom && this.consumers.size > 0 && !this.isLost) return true;
    this.sawJobsWait = false;
    return false;
  }

  /**
   * Whether jobs wait that should come to one that is quiet, and don't: after a queue was deleted and declared anew, or a
   * broker node was cut off and healed, a consumer can be left that nobody remembers.
   */
  async isForgotten(): Promise<boolean> {
    const { consumerCount, messageCount } = await this.channel.checkQueue(this.queueName);
    const doJobsWait = messageCount > 0 && this.deliveries === this.deliveriesLastSeen;
    const isForgotten = consumerCount === 0 || (doJobsWait && this.sawJobsWait);
    this.sawJobsWait = doJobsWait;
    return isForgotten;
  }

  private outliveQueue(detail: string): void {
    if (this.isLost) return;
    this.isLost = true;
    this.isQueueGone = true;
    this.events.onQueueGone(detail);
  }

  /** Called when the channel can't be of use any more; what is unsettled goes to somebody else. */
  lose(reason: Error): void {
    if (this.isLost) return;
    this.isLost = true;
    this.onFollowedUp?.();
    this.events.onLost(reason);
  }

  /** Reports itself as lost and closes, so that the broker gives to others what it believes to be here. */
  abandon(detail: string): void {
    this.lose(new Error(detail));
    this.channel.close().catch(() => undefined);
  }

  /** @internal Called by a delivery, once. */
  settle(message: ConsumeMessage, generation: number, settlement: Settlement): void {
    if (this.isLost && !this.isQueueGone) return;
    if (settlement.kind === 'handBack' && (this.isQueueGone || this.isLastReturn(message))) {
      // There is no place to go back to (as a retry it comes to the queue that is declared anew), or the broker would
      // count it among the deliveries that killed their worker, and bury it; a retry is a message that begins anew.
      const id = String(message.properties.messageId);
      const deliveries = deliveriesOf(message) + 1;
      void this.followUp(message, generation, {
        kind: 'retry',
        id,
        afterSeconds: 1,
        body: message.content,
        deliveries,
        lane: this.followUps.laneOfReturned,
      });
      return;
    }
    switch (settlement.kind) {
      case 'done':
        this.acknowledge(message, generation);
        return;
      case 'handBack':
        this.acks.close(message);
        this.nack(message);
        this.free(generation);
        return;
      default:
        void this.followUp(message, generation, settlement);
    }
  }

  private isLastReturn({ properties }: ConsumeMessage): boolean {
    const count: unknown = properties.headers?.['x-delivery-count'];
    // One less than it may be: what is on its way when its consumer is cancelled comes back, and counts, unseen.
    return (typeof count === 'number' ? count : 0) >= this.deliveryLimit - 1;
  }

  private async followUp(message: ConsumeMessage, generation: number, settlement: FollowUp): Promise<void> {
    this.followUpsUnderWay++;
    // Publish, then ack: a crash between the two repeats the job; the reverse order loses it.
    const isLost = (): boolean => this.isLost && !this.isQueueGone;
    const isSafe = await this.followUps.carryOut(settlement, message.content, isLost);
    this.followUpsUnderWay--;
    if (isSafe) this.acknowledge(message, generation);
    if (this.followUpsUnderWay === 0) this.onFollowedUp?.();
  }

  private acknowledge(message: ConsumeMessage, generation: number): void {
    if (this.isLost) return;
    this.acks.add(message);
    this.events.onLeaving?.(message);
    this.free(generation);
  }

  private noteAcks(count: number): void {
    this.acksSent += count;
    this.lastAckAt = performance.now();
  }

  /** amqplib throws on a channel that is closing; the broker redelivers what it has not been told of. */
  private nack(message: ConsumeMessage): void {
    try {
      this.channel.nack(message, false, true);
      this.noteAcks(1);
    } catch (error) {
      this.lose(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private free(generation: number): void {
    if (generation === this.generation) this.currentUnsettled--;
    else this.oldUnsettled--;
    this.tellIfSpent();
    if (generation === this.generation || this.isRefillDue || this.isLost) return;
    this.isRefillDue = true;
    setImmediate(() => {
      // A channel that breaks over it reports itself as lost.
      this.refill().catch(() => undefined);
    });
  }

  private tellIfSpent(): void {
    if (this.prefetch === 0 && this.consumers.size === 0 && this.isSpent) this.events.onSpent();
  }

  /** What is settled until its turn comes is taken up with it: while answers are late, no more such changes wait for them. */
  private refill(): Promise<void> {
    return this.changeConsumers(() => {
      this.isRefillDue = false;
      return this.consumers.size < MAX_CONSUMERS ? this.addConsumer() : this.renewConsumers();
    });
  }

  /** Changes of consumers take turns: each is several questions to the broker. Resolves when the queue has answered them. */
  private changeConsumers(change: () => Promise<void>): Promise<void> {
    const changed = this.consumerChange.then(async () => {
      if (this.isLost || this.isStopped) return;
      this.isOwedAnswer = true;
      await change();
      // The broker says that it has done as told, and asks the queue only then: this waits for that. It changes nothing, for
      // each consumer is preceded by a prefetch of its own. What was delivered is an answer, too, and acks must not overtake
      // the next change.
      if (this.currentUnsettled === 0) await this.channel.prefetch(1);
      this.isOwedAnswer = false;
    });
    this.consumerChange = changed.catch(() => undefined);
    return changed;
  }

  private async renewConsumers(): Promise<void> {
    await this.cancelConsumers();
    this.startGeneration();
    await this.addConsumer();
  }

  private async addConsumer(): Promise<void> {
    const taken = [...this.consumers.values()].reduce((sum, size) => sum + size, this.oldUnsettled);
    const size = this.prefetch - taken;
    if (size <= 0 || this.isCancelled) return;
    const { generation } = this;
    await this.channel.prefetch(size);
    if (generation !== this.generation) return;
    const { consumerTag } = await this.channel.consume(this.queueName, (message) => {
      if (message === null) this.onCancelled(generation);
      else this.onMessage(message);
    });
    this.consumers.set(consumerTag, size);
    this.standingConsumers = this.consumers.size;
  }

  private async cancelConsumers(): Promise<void> {
    const tags = [...this.consumers.keys()];
    this.consumers.clear();
    if (tags.length > 0) this.hasCancelled = true;
    await Promise.all(tags.map((tag) => this.channel.cancel(tag)));
    this.standingConsumers = this.consumers.size;
  }

  private startGeneration(): void {
    this.generation++;
    this.oldUnsettled += this.currentUnsettled;
    this.currentUnsettled = 0;
  }

  private onMessage(message: ConsumeMessage): void {
    this.deliveries++;
    this.currentUnsettled++;
    this.events.onDelivery(new RabbitmqDelivery(this, message, this.generation));
  }

  /** The broker says it for each consumer; once is enough. */
  private onCancelled(generation: number): void {
    if (generation !== this.generation || this.isLost) return;
    this.isCancelled = true;
    this.consumers.clear();
    this.standingConsumers = 0;
    this.startGeneration();
    this.events.onCancelled();
  }
}

class RabbitmqDelivery implements Delivery {
  private isSettled = false;

  constructor(
    private readonly channel: ConsumingChannel,
    private readonly message: ConsumeMessage,
    private readonly generation: number,
  ) {}

  get body(): Buffer {
    return this.message.content;
  }

  get redelivered(): boolean {
    return this.message.fields.redelivered;
  }

  /** RabbitMQ 4 counts what was handed out apart from what failed. */
  get deliveries(): number {
    return deliveriesOf(this.message);
  }

  settle(settlement: Settlement): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.channel.settle(this.message, this.generation, settlement);
  }
}

/** Also those of the message that it had before it was published anew. */
function deliveriesOf({ properties: { headers } }: ConsumeMessage): number {
  const counted = Math.max(count(headers?.['x-delivery-count']), count(headers?.['x-acquired-count']));
  return counted + count(headers?.[DELIVERIES_HEADER]);
}

function count(header: unknown): number {
  return typeof header === 'number' ? header : 0;
}
