// Carries jobs within one process: the adapter of the port to a MemoryBroker.
// Of node:timers, so that jobs still run in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import { ManagementUnavailableError, QueueNotFoundError, RogerClosedError } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type { QueueAddress } from '../../job/names';
import type {
  BuriedVisitor,
  DeliveryConsumer,
  LevelDepths,
  OutgoingJob,
  QueueDepth,
  QueueDetails,
  QueueLane,
  QueueLook,
  Subscription,
  Transport,
  TransportState,
} from '../../transport';
import type { MemoryBroker } from './memory-broker';
import type { MemoryTransportOptions } from './memory-ledger.transport';
import { MemoryLedgerTransport } from './memory-ledger.transport';
import type { MemoryQueue } from './memory-queue';
import { MemorySubscription } from './memory-subscription';

/** One node's way to a {@link MemoryBroker}. Publishing needs no connection; consuming begins with `open`. */
export class MemoryTransport implements Transport {
  /** The second port, on the same connection. */
  readonly ledgers: MemoryLedgerTransport;
  private readonly broker: MemoryBroker;
  private readonly log: RogerLog;
  private readonly subscriptions = new Set<MemorySubscription>();
  private connection: TransportState = 'closed';
  private closedForGood = false;
  private follower: ((address: QueueAddress, lane: QueueLane) => void) | undefined;

  constructor(options: MemoryTransportOptions) {
    this.broker = options.broker;
    this.log = options.log;
    this.ledgers = new MemoryLedgerTransport(options);
  }

  describe(): string {
    return 'memory';
  }

  get state(): TransportState {
    return this.connection;
  }

  /** A MemoryBroker takes a job at once or refuses it. */
  get isFull(): boolean {
    return false;
  }

  open(): void {
    if (this.closedForGood || this.connection !== 'closed') return;
    this.broker.attach(this);
    this.connection = 'connected';
    for (const subscription of this.subscriptions) this.connectSoon(subscription);
    setImmediate(() => {
      if (this.connection === 'connected') this.ledgers.connect();
    });
  }

  publish(job: OutgoingJob): Promise<void> {
    return this.promise(() => {
      this.existing(job).put(job);
    });
  }

  declareQueue(address: QueueAddress): Promise<void> {
    return this.promise(() => {
      this.broker.declare(address);
    });
  }

  consume(
    address: QueueAddress,
    prefetch: number,
    consumer: DeliveryConsumer,
    lane: QueueLane = 'normal',
  ): Subscription {
    const queue = this.broker.declare(address);
    const onClose = (closed: MemorySubscription): void => {
      this.subscriptions.delete(closed);
    };
    const subscription = new MemorySubscription(
      queue,
      queue.lane(lane),
      prefetch,
      consumer,
      this.log,
      onClose,
    );
    this.subscriptions.add(subscription);
    this.connectSoon(subscription);
    return subscription;
  }

  exists(address: QueueAddress): Promise<boolean> {
    return this.promise(() => this.broker.find(address) !== undefined);
  }

  followLanes(follower: (address: QueueAddress, lane: QueueLane) => void): void {
    // Nobody is told of one inside a call of their own.
    this.follower = (address, lane) => {
      setImmediate(() => {
        if (!this.closedForGood) follower(address, lane);
      });
    };
    this.broker.followLanes(this.follower);
  }

  lanesOf(address: QueueAddress): Promise<ReadonlySet<QueueLane>> {
    return this.promise(() => this.broker.find(address)?.extraLanes ?? new Set<QueueLane>());
  }

  depth(address: QueueAddress): Promise<QueueDepth | undefined> {
    return this.promise(() => this.broker.find(address)?.depth());
  }

  levels(): Promise<LevelDepths> {
    return this.promise(() => this.broker.levels());
  }

  details(): Promise<QueueDetails | undefined> {
    return Promise.reject(new ManagementUnavailableError('there is no broker'));
  }

  look(address: QueueAddress, count: number): Promise<QueueLook | undefined> {
    return this.promise(() => this.broker.find(address)?.look(count));
  }

  purge(address: QueueAddress, onRemoving?: (bodies: readonly Buffer[]) => Promise<void>): Promise<number> {
    return this.promise(() => this.existing(address).purge(onRemoving));
  }

  visitBuried(address: QueueAddress, visit: BuriedVisitor, limit: number): Promise<void> {
    return this.promise(() => this.existing(address).visitBuried(visit, limit));
  }

  async close(): Promise<void> {
    this.closedForGood = true;
    if (this.follower !== undefined) this.broker.unfollowLanes(this.follower);
    this.connection = 'closed';
    await this.ledgers.closeLedgers();
    await Promise.all([...this.subscriptions].map((subscription) => subscription.close()));
    this.broker.detach(this);
  }

  /**
   * For tests: the connection of this node is cut. All its unsettled deliveries are lost at once (`lost` is called with
   * the detail) and go to others, flagged as redelivered; so are its places in ledgers and its mail. Then this node
   * connects, consumes, joins and receives again by itself.
   */
  crash(detail = 'the connection was cut'): void {
    if (this.connection !== 'connected') return;
    this.connection = 'connecting';
    const subscriptions = [...this.subscriptions];
    // All let go before anyone is told: a settlement made inside `lost` must not reach the queue.
    for (const subscription of subscriptions) subscription.disconnect();
    this.ledgers.disconnect();
    for (const subscription of subscriptions) subscription.reportLoss(detail);
    this.ledgers.reportLoss(detail);
    setImmediate(() => {
      this.reconnect();
    });
  }

  private reconnect(): void {
    if (this.connection !== 'connecting') return;
    this.connection = 'connected';
    for (const subscription of this.subscriptions) subscription.connect();
    this.ledgers.connect();
  }

  private connectSoon(subscription: MemorySubscription): void {
    setImmediate(() => {
      if (this.closedForGood) subscription.refuse(new RogerClosedError());
      else if (this.connection === 'connected') subscription.connect();
    });
  }

  private existing({ partition, queue }: QueueAddress): MemoryQueue {
    const existing = this.broker.find({ partition, queue });
    if (existing === undefined) throw new QueueNotFoundError(partition, queue);
    return existing;
  }

  /** Acts at once; what it throws rejects the promise. */
  private promise<T>(act: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      if (this.closedForGood) throw new RogerClosedError();
      resolve(act());
    });
  }
}
