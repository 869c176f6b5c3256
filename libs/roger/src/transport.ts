// The port: what Roger needs of a broker, in Roger's words. Adapters live in transports/.
import type { PriorityLane, QueueLane } from './job/lanes';
import type { QueueAddress } from './job/names';

export type { QueueLane } from './job/lanes';

/**
 * Carries jobs between producers and workers. Every adapter keeps the promises written at its methods; one conformance
 * suite holds them all to it.
 */
export interface Transport {
  /** What carries the jobs, for people: `RabbitMQ 3.10.8`, `memory`. */
  describe(): string;

  /** Begins to connect and returns at once. Connecting goes on, with pauses, until it works or `close` is called. */
  open(): void;

  /** How it stands with the connection. */
  readonly state: TransportState;

  /**
   * Resolves when the broker has taken over the job durably and put it into its queue, or will do so when its seconds are
   * over (to a queue that is missing then, as soon as it is there). The lane that it goes by is made when it is missing. A job whose publish resolved is delivered at least once. May deliver twice after a lost connection. Where too many bytes wait for their confirm
   * already, `whenFull` says whether to refuse the job at once (the default) or to wait for room within the time limit.
   * @throws QueueNotFoundError, QueueFullError, BrokerUnavailableError, BrokerBlockedError, EnqueueBufferFullError,
   * RogerClosedError; for one with `afterSeconds` or a `lane` also TopologyMismatchError and BrokerRefusedError; for one with `afterSeconds` QueueNotFoundError
   * only where the transport happens to know
   */
  publish(job: OutgoingJob, whenFull?: WhenFull): Promise<void>;

  /** Whether published jobs wait for room. Whoever has more of them does well to wait until one of his own has settled. */
  readonly isFull: boolean;

  /**
   * Makes sure that the queue, and whatever it needs on the broker, exists. Safe to repeat.
   * @throws TopologyMismatchError, BrokerRefusedError, NotConnectedError
   */
  declareQueue(address: QueueAddress): Promise<void>;

  /**
   * Takes jobs from a queue, declaring it first, until the subscription is closed. Whatever interrupts it (connection
   * lost, queue deleted, consumer cancelled by the broker) is mended by itself, with the same settings.
   * At most `prefetch` deliveries are unsettled at a time. Of the queue's lanes it takes from the one said.
   */
  consume(
    address: QueueAddress,
    prefetch: number,
    consumer: DeliveryConsumer,
    lane?: QueueLane,
  ): Subscription;

  /** Whether there is such a queue. Cheaper than its depth. @throws NotConnectedError, BrokerRefusedError */
  exists(address: QueueAddress): Promise<boolean>;

  /**
   * Tells of each lane besides its normal one that a queue has: of those that were there before, and of others as soon as
   * they are made, by whatever process, before the first job on one is confirmed (at the latest 10 s after, whatever
   * gets lost). May tell of one again, and of queues that nobody here has asked for. To be called once.
   */
  followLanes(follower: (address: QueueAddress, lane: QueueLane) => void): void;

  /**
   * The lanes that a queue has besides its normal one, to within what is being made just now.
   * @throws NotConnectedError, BrokerRefusedError
   */
  lanesOf(address: QueueAddress): Promise<ReadonlySet<QueueLane>>;

  /** How many jobs stand where, right now; undefined when the broker has no such queue. @throws NotConnectedError, BrokerRefusedError */
  depth(address: QueueAddress): Promise<QueueDepth | undefined>;

  /**
   * How many jobs of all queues come later.
   * @param retryLevels the seconds of the levels to ask for; others may hold jobs, too
   * @throws NotConnectedError, BrokerRefusedError
   */
  levels(retryLevels: ReadonlySet<number>): Promise<LevelDepths>;

  /**
   * What the broker's own statistics say of a queue, all its lanes together; undefined when it has no such queue.
   * @throws ManagementUnavailableError
   */
  details(address: QueueAddress): Promise<QueueDetails | undefined>;

  /**
   * Finds out which jobs stand in the queue (or are with a worker, and not settled) without touching it: its order, the
   * counts of deliveries and the marks of redelivery stay as they are. To within what comes and goes meanwhile. Undefined
   * where the queue has no journal to tell that from.
   * @param count how many are wanted, from the head
   * @param countUnsettled how many are with workers, on all nodes
   * @throws NotConnectedError, BrokerRefusedError
   */
  look(
    address: QueueAddress,
    count: number,
    countUnsettled: () => Promise<number>,
  ): Promise<QueueLook | undefined>;

  /**
   * Removes the jobs that stand in the queue, on all its lanes, and are not delivered to anyone; resolves to their number.
   * Each is shown to `onRemoving` and gone only when that has resolved; when it rejects, those it was shown stay.
   * @throws NotConnectedError, QueueNotFoundError, and what `onRemoving` rejects with
   */
  purge(address: QueueAddress, onRemoving?: (bodies: readonly Buffer[]) => Promise<void>): Promise<number>;

  /**
   * Shows the buried jobs of a queue to `visit`, the oldest first, in parts; at most `limit`, and no more than stand there
   * at the beginning. What it says is removed is gone when it has resolved. The others go back to the head, in their
   * order, when the visit is over, also when it rejects or this process dies; until then nobody else sees what was shown.
   * (Of two visits at once, what the first gives back may come to stand before what the second does.) Nothing is
   * removed that `visit` has not said, but what it has said can still be there when the connection is lost just then.
   * @throws QueueNotFoundError, NotConnectedError, BrokerRefusedError, and what `visit` rejects with
   */
  visitBuried(address: QueueAddress, visit: BuriedVisitor, limit: number): Promise<void>;

  /** Closes everything within the time; what is not done by then is cut. Safe to repeat. Never rejects. */
  close(timeoutMs: number): Promise<void>;
}

export type TransportState = 'closed' | 'connecting' | 'connected' | 'blocked';

/** What becomes of a publish for which there is no room. */
export type WhenFull = 'refuse' | 'wait';

/** A job on its way to its queue. */
export interface OutgoingJob extends QueueAddress {
  readonly id: string;
  readonly body: Buffer;
  /** In how many whole seconds it is to be in its queue, at most MAX_DELAY_SECONDS. Left out: at once. */
  readonly afterSeconds?: number | undefined;
  /** By which lane it goes. Left out: the normal one. */
  readonly lane?: Exclude<QueueLane, 'express'> | undefined;
}

/** The consumer's side of a subscription. None of its methods may throw. */
export interface DeliveryConsumer {
  deliver(delivery: Delivery): void;
  /** Every delivery not yet settled is no longer ours: the broker gives it to somebody. Their settlements are ignored. */
  lost(detail: string): void;
  /** Called with undefined when jobs are being taken, and with the reason when they can't be for the time being. */
  waiting(reason: Error | undefined): void;
}

/** A job handed to this process. It stays the broker's until it is settled. */
export interface Delivery {
  /** The message's bytes. Untrusted. */
  readonly body: Buffer;
  /** True when it had been delivered before, to anyone. */
  readonly redelivered: boolean;
  /** How often it had been delivered before, to anyone, as far as the broker counts; more with every time. */
  readonly deliveries: number;
  /**
   * Decides what becomes of the job; returns at once and is carried out in the background, in one place: what follows
   * is published and confirmed before the delivery is acknowledged, so a crash between repeats the job and never loses
   * it. The second call for one delivery, and calls after it was lost, do nothing.
   */
  settle(settlement: Settlement): void;
}

/** What becomes of a delivered job. */
export type Settlement =
  /** It is over. */
  | { readonly kind: 'done' }
  /** It comes back to its queue, as `body`, after some seconds. */
  | {
      readonly kind: 'retry';
      readonly id: string;
      readonly afterSeconds: number;
      readonly body: Buffer;
      /** By which lane it comes back. Left out: the normal one. */
      readonly lane?: PriorityLane | 'normal' | undefined;
    }
  /** It is kept, with its bytes, for an operator. */
  | { readonly kind: 'bury'; readonly id: string | undefined; readonly reason: BuriedReason }
  /** It goes back to the head of its queue, for any node. */
  | { readonly kind: 'handBack' };

/** Why a job was buried. */
export interface BuriedReason {
  /** The error's name or code. */
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
}

/** Looks at some of the buried jobs. */
export type BuriedVisitor = (jobs: readonly BuriedMessage[]) => Promise<{
  /** Those of them that are to go. */
  readonly removed: readonly BuriedMessage[];
  /** No more need be shown. */
  readonly isOver: boolean;
}>;

/** A buried job as it is kept. */
export interface BuriedMessage {
  /** That of the message: as settled, or, of what is no job, the one it was published under. Untrusted; may be empty. */
  readonly id: string;
  /** Untrusted. */
  readonly body: Buffer;
  readonly reason: BuriedReason;
  /** In ms since the epoch, by the clock of who buried it; undefined when that is not known. */
  readonly buriedAt: number | undefined;
}

/** A standing order for the jobs of one queue. */
export interface Subscription {
  /** How many consumers of it the broker knows now: none while nothing is taken. */
  readonly consumerCount: number;
  /** At most this many unsettled deliveries, as soon as the broker knows; 0: none. The unsettled ones stay ours and count. */
  setPrefetch(prefetch: number): void;
  /**
   * Resolves when the broker has the last prefetch, and knows what was handed back until then; while nothing can be taken,
   * or when the broker doesn't answer, soon. Never rejects.
   */
  applied(): Promise<void>;
  /** Takes no more jobs. Resolves when none can come any more (or the broker doesn't answer); settlements still go through. */
  stop(): Promise<void>;
  /** Stops, waits until the settlements made so far have reached the broker, and gives back what is unsettled. Never rejects. */
  close(): Promise<void>;
}

/** What a look into a queue has shown. */
export interface QueueLook {
  /** The first jobs, lane by lane (now, by priority, express, normal), each in the order in which they are delivered. Untrusted. */
  readonly bodies: readonly Buffer[];
  /** How many there are in all. */
  readonly standing: number;
  /** How many come to it later, as far as seen: delayed ones and retries. */
  readonly delayed: number;
  /** False when there are others before these that the journal doesn't tell of. */
  readonly isComplete: boolean;
}

/** Where jobs are that come to their queues later. */
export interface LevelDepths {
  /** Not due yet. */
  readonly delayed: number;
  /** Between two attempts, by the seconds of their level; a level without any is left out. */
  readonly retrying: ReadonlyMap<number, number>;
  /** Due, but their queue is not there: they are tried again every 10 s. */
  readonly homeless: number;
}

/** What the broker's own statistics say of a queue, some seconds old. */
export interface QueueDetails {
  /** Waiting to be delivered. */
  readonly ready: number;
  /** With consumers, of whatever node. */
  readonly unsettled: number;
  readonly consumers: number;
  /** Of all its messages. */
  readonly bytes: number;
  /** What the queue takes of the broker's memory. */
  readonly memoryBytes: number;
  readonly publishedPerSecond: number;
  readonly deliveredPerSecond: number;
  readonly acknowledgedPerSecond: number;
}

/** Where the jobs of a queue stand. */
export interface QueueDepth {
  /** Waiting to be delivered, on all lanes. */
  readonly ready: number;
  /** Subscriptions of all nodes. */
  readonly consumers: number;
  /** Failed for good and kept. */
  readonly buried: number;
}
