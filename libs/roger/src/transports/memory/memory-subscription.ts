// A standing order of one transport for the jobs of one lane of a queue in memory.
import type { RogerLog } from '../../job/log';
import type { Delivery, DeliveryConsumer, Settlement, Subscription } from '../../transport';
import type { JobTaker, MemoryLane } from './memory-lane';
import type { MemoryQueue } from './memory-queue';
import type { StoredJob } from './stored-job';

/**
 * Takes jobs while it is connected and not stopped. A close of its own gives back what is unsettled without a word to
 * the consumer: `lost` tells only of what nobody here asked for.
 */
export class MemorySubscription implements Subscription, JobTaker {
  /** The deliveries that are still ours; whatever isn't in here can't be settled. */
  private readonly unsettled = new Set<MemoryDelivery>();
  private connected = false;
  private stopped = false;

  constructor(
    private readonly queue: MemoryQueue,
    private readonly lane: MemoryLane,
    private prefetch: number,
    private readonly consumer: DeliveryConsumer,
    private readonly log: RogerLog,
    private readonly onClose: (subscription: MemorySubscription) => void,
  ) {}

  get takesJobs(): boolean {
    return this.prefetch > 0 || this.unsettled.size > 0;
  }

  get hasRoom(): boolean {
    return this.connected && !this.stopped && this.unsettled.size < this.prefetch;
  }

  get inHand(): readonly StoredJob[] {
    return [...this.unsettled].map(({ job }) => job);
  }

  connect(): void {
    if (this.connected || this.stopped) return;
    this.connected = true;
    this.lane.join(this);
    this.consumer.waiting(undefined);
  }

  /** Loses all deliveries to the queue, as a lost connection does. {@link reportLoss} tells the consumer. */
  disconnect(): void {
    this.connected = false;
    this.lane.leave(this);
    this.giveBackUnsettled();
  }

  reportLoss(detail: string): void {
    this.consumer.lost(detail);
    this.refuse(new Error(detail));
  }

  /** Tells the consumer that no jobs can be taken, and why. */
  refuse(reason: Error): void {
    if (!this.stopped) this.consumer.waiting(reason);
  }

  take(job: StoredJob): void {
    const delivery = new MemoryDelivery(job, this);
    this.unsettled.add(delivery);
    this.consumer.deliver(delivery);
  }

  settle(delivery: MemoryDelivery, settlement: Settlement): void {
    if (!this.unsettled.delete(delivery)) return;
    this.queue.settle(delivery.job, this.lane, settlement, this.log);
    this.lane.reconsider(this);
  }

  setPrefetch(prefetch: number): void {
    this.prefetch = prefetch;
    this.lane.reconsider(this);
  }

  applied(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.stopped = true;
    this.lane.leave(this);
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.stop();
    this.giveBackUnsettled();
    this.onClose(this);
  }

  private giveBackUnsettled(): void {
    for (const { job } of this.unsettled) this.queue.outlive(job, this.lane, this.log);
    this.unsettled.clear();
  }
}

class MemoryDelivery implements Delivery {
  constructor(
    readonly job: StoredJob,
    private readonly subscription: MemorySubscription,
  ) {}

  get body(): Buffer {
    return this.job.body;
  }

  get redelivered(): boolean {
    return this.job.deliveries > 0;
  }

  get deliveries(): number {
    return this.job.deliveries;
  }

  settle(settlement: Settlement): void {
    this.subscription.settle(this, settlement);
  }
}
