// Holds the queues, ledgers and mail of the in-memory transport, for all transports of the process that share it.
import { InvalidOptionsError } from '../../job/errors';
import { describe, type QueueAddress } from '../../job/names';
import type { LevelDepths, QueueLane } from '../../transport';
import { MemoryLedger } from './memory-ledger';
import { MemoryLedgerMail } from './memory-ledger-mail';
import { MemoryQueue, type QueueLimits } from './memory-queue';
import { LaterJobs } from './later-jobs';
import type { BuriedJob } from './stored-job';

/** The bounds of a {@link MemoryBroker}: what a process may keep in memory. */
export interface MemoryBrokerOptions {
  /**
   * How many jobs a queue holds at most: those that wait, those being run, delayed ones, and those that will be retried. Beyond it
   * `enqueue` throws {@link QueueFullError}; a retry is never refused.
   * @default 100_000
   */
  maxJobs?: number;
  /**
   * How many buried jobs are kept per queue. Beyond it the oldest is dropped, with an error line in the log that names
   * its id and its reason.
   * @default 10_000
   */
  maxBuriedJobs?: number;
  /**
   * How often a job is delivered again that never gets settled, because its node crashes, before it is buried.
   * @default 20
   */
  deliveryLimit?: number;
}

/**
 * A broker in the memory of one process, for development and tests. It keeps every promise of the RabbitMQ transport
 * but one: its jobs end with the process. Nothing is shared between two brokers, so give every test its own.
 *
 * Jobs run under faked timers too; a job that waits for a retry comes back when the faked clock reaches its time.
 *
 * @throws InvalidOptionsError
 *
 * @example
 * ```ts
 * import { MemoryBroker } from 'nestjs-roger';
 *
 * const broker = new MemoryBroker({ maxJobs: 1_000 });
 *
 * export function buriedMails(): string[] {
 *   return broker.buried({ partition: 'acme', queue: 'mail' }).map(({ id, reason }) => `${id}: ${reason.message}`);
 * }
 * ```
 */
export class MemoryBroker {
  /** @internal */
  readonly mail = new MemoryLedgerMail();
  private readonly limits: QueueLimits;
  private readonly later = new LaterJobs();
  private readonly partitions = new Map<string, Map<string, MemoryQueue>>();
  private readonly ledgers = new Map<number, MemoryLedger>();
  private readonly transports = new Set<object>();
  private readonly laneFollowers = new Set<LaneFollower>();

  constructor(options: MemoryBrokerOptions = {}) {
    const { maxJobs = 100_000, maxBuriedJobs = 10_000, deliveryLimit = 20 } = options;
    const problems = [...atLeast(1, { maxJobs, deliveryLimit }), ...atLeast(0, { maxBuriedJobs })];
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.limits = { maxJobs, maxBuriedJobs, deliveryLimit };
  }

  /** The jobs of a queue that failed for good, the oldest first; none for a queue that doesn't exist. */
  buried(address: QueueAddress): readonly BuriedJob[] {
    return this.find(address)?.buried() ?? [];
  }

  /** @internal */
  find({ partition, queue }: QueueAddress): MemoryQueue | undefined {
    return this.partitions.get(partition)?.get(queue);
  }

  /** @internal */
  declare({ partition, queue }: QueueAddress): MemoryQueue {
    const queues = this.partitions.get(partition) ?? new Map<string, MemoryQueue>();
    this.partitions.set(partition, queues);
    const declared =
      queues.get(queue) ?? new MemoryQueue({ partition, queue }, this.limits, this.later, this.onLane);
    queues.set(queue, declared);
    return declared;
  }

  /** @internal Tells of each lane that there is or will be. */
  followLanes(follower: LaneFollower): void {
    for (const [partition, queues] of this.partitions) {
      for (const [queue, { extraLanes }] of queues) {
        for (const lane of extraLanes) follower({ partition, queue }, lane);
      }
    }
    this.laneFollowers.add(follower);
  }

  /** @internal */
  unfollowLanes(follower: LaneFollower): void {
    this.laneFollowers.delete(follower);
  }

  /** @internal */
  levels(): LevelDepths {
    return this.later.depths();
  }

  /** @internal */
  findLedger(ledger: number): MemoryLedger | undefined {
    return this.ledgers.get(ledger);
  }

  /** @internal How many ledgers there are, once one has been used. */
  ledgerShards: number | undefined;

  /** @internal */
  declareLedger(ledger: number, ledgerShards: number): MemoryLedger {
    this.ledgerShards ??= ledgerShards;
    const declared = this.ledgers.get(ledger) ?? new MemoryLedger();
    this.ledgers.set(ledger, declared);
    return declared;
  }

  private readonly onLane: LaneFollower = (address, lane) => {
    for (const follower of this.laneFollowers) follower(address, lane);
  };

  /** @internal A waiting retry keeps the process alive from the first attached transport to the last detached one. */
  attach(transport: object): void {
    this.transports.add(transport);
    this.later.keepProcessAlive(true);
  }

  /** @internal */
  detach(transport: object): void {
    this.transports.delete(transport);
    if (this.transports.size === 0) this.later.keepProcessAlive(false);
  }
}

type LaneFollower = (address: QueueAddress, lane: QueueLane) => void;

function atLeast(least: number, option: Readonly<Record<string, number>>) {
  return Object.entries(option)
    .filter(([, value]) => !Number.isSafeInteger(value) || value < least)
    .map(([path, value]) => ({
      path,
      message: `${describe(value)} is no bound: a whole number of ${least} or more`,
    }));
}
