// The partitions that this node serves.
import { UnknownPartitionError } from '../job/errors';
import type { QueueAddress } from '../job/names';
import type { RogerLog } from '../job/log';
import type { Ledgers, LedgersListener } from '../ledger/ledgers';
import type { ProgressOfRun, RunningHere } from '../reports/progress-reports';
import type { Transport } from '../transport';
import type { StandingBoard } from '../ledger/standing-board';
import type { Worker } from '../worker/worker';
import type { Lane, OutcomeCounts } from './lane';
import type { PartitionQueues } from './partition';
import { Partition } from './partition';

/** How a queue stands on this node. */
export interface LaneStatus {
  readonly queue: string;
  readonly maxWorkers: number;
  /** Jobs that run now. */
  readonly running: number;
  /** Jobs at hand that have not begun. */
  readonly atHand: number;
  /** Runs that didn't end when they were told to: they have no worker and don't count, but go on in this process. */
  readonly leftBehind: number;
  /** Whether it is paused, on all nodes or on this one. */
  readonly paused: boolean;
  /** How jobs have ended since the start. */
  readonly counts: Readonly<OutcomeCounts>;
  /** Why no jobs come at the moment; undefined while they do. */
  readonly waitingFor: Error | undefined;
}

/**
 * The partitions (tenants) that this node serves. Inject it to see how they stand, and to pause their queues here.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { PartitionService } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Board {
 *   constructor(private readonly partitions: PartitionService) {}
 *   busy(): number {
 *     return this.partitions.queues('acme').reduce((sum, queue) => sum + queue.running, 0);
 *   }
 * }
 * ```
 */
export class PartitionService implements LedgersListener, RunningHere {
  private readonly partitions = new Map<string, Partition>();
  /** Holds all lanes, those of partitions that are started later too. */
  private isInactive = false;

  /** @internal */
  constructor(
    private readonly configured: Readonly<Record<string, PartitionQueues>>,
    private readonly transport: Transport,
    private readonly worker: Worker,
    private readonly ledgers: LedgersOfLanes,
    private readonly log: RogerLog,
    private readonly abortGraceMs: number,
  ) {}

  /** The ids of the partitions that this node serves. */
  get ids(): readonly string[] {
    return [...this.partitions.keys()];
  }

  /** Whether the partition is served here and all its queues get their jobs. */
  isRunning(partition: string): boolean {
    const lanes = this.partitions.get(partition)?.lanes;
    return lanes !== undefined && [...lanes.values()].every((lane) => lane.waitingFor === undefined);
  }

  /** How the queues of a partition stand on this node. @throws UnknownPartitionError */
  queues(partition: string): LaneStatus[] {
    return [...this.find(partition).lanes.values()].map((lane) => ({
      queue: lane.address.queue,
      maxWorkers: lane.maxWorkers,
      running: lane.runningCount,
      atHand: lane.atHandCount,
      leftBehind: lane.leftBehindCount,
      paused: lane.isPaused,
      counts: { ...lane.counts },
      waitingFor: lane.waitingFor,
    }));
  }

  /**
   * Takes no more jobs of the queue on this node, until {@link resume}; running ones end normally, other nodes go on.
   * Doesn't outlive the process. @throws UnknownPartitionError
   */
  pause(partition: string, queue: string): void {
    this.lane(partition, queue).hold('paused here');
  }

  /** The same for all queues of a partition. @throws UnknownPartitionError */
  pauseAll(partition: string): void {
    for (const lane of this.find(partition).lanes.values()) lane.hold('paused here');
  }

  /**
   * Undoes {@link pause} and {@link pauseAll}, for one queue or for all. A queue that is paused on all nodes stays so.
   * @throws UnknownPartitionError
   */
  resume(partition: string, queue?: string): void {
    const lanes = queue === undefined ? this.find(partition).lanes.values() : [this.lane(partition, queue)];
    for (const lane of lanes) lane.release('paused here');
  }

  /** @internal */
  get lanes(): readonly Lane[] {
    return [...this.partitions.values()].flatMap((partition) => [...partition.lanes.values()]);
  }

  /** @internal */
  serves(partition: string): boolean {
    return this.partitions.has(partition);
  }

  /** @internal */
  progressOf(partition: string, id: string): ProgressOfRun | undefined {
    for (const lane of this.partitions.get(partition)?.lanes.values() ?? []) {
      for (const { job, progress } of lane.runs) {
        if (job?.id === id) return { attempt: job.attempt, value: progress };
      }
    }
    return undefined;
  }

  /** @internal What this node has in hand of a queue. */
  inHand({ partition, queue }: QueueAddress): { readonly unsettled: number; readonly running: Set<string> } {
    const lane = this.partitions.get(partition)?.lanes.get(queue);
    const running = lane?.runs.flatMap(({ job }) => (job === undefined ? [] : [job.id])) ?? [];
    return { unsettled: lane?.unsettledCount ?? 0, running: new Set(running) };
  }

  /** @internal */
  startAll(): void {
    for (const [id, queues] of Object.entries(this.configured)) {
      const whyUnknown = (): Error | undefined => this.ledgers.trouble;
      const partition = new Partition(id, queues, this.transport, this.worker, whyUnknown, this.abortGraceMs);
      this.partitions.set(id, partition);
      // Until it is known what was cancelled and paused, nothing may begin.
      partition.start(this.isInactive ? ['standing unknown', 'inactive'] : ['standing unknown']);
    }
    if (this.partitions.size === 0) return;
    this.log.log(`Serving ${describePartitions(this.configured)}`);
    this.ledgers.serve(this.ids, this);
  }

  /** @internal Whether jobs are taken, as far as nothing else speaks against it. */
  setActive(isActive: boolean): void {
    this.isInactive = !isActive;
    for (const lane of this.lanes) {
      if (isActive) lane.release('inactive');
      else lane.hold('inactive');
    }
  }

  /** @internal */
  async untilHeld(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.untilHeld()));
  }

  /** @internal */
  async drainAll(timeoutMs: number): Promise<void> {
    await Promise.all([...this.partitions.values()].map((partition) => partition.drain(timeoutMs)));
    this.partitions.clear();
  }

  /** @internal */
  onPauseChange(partition: string, queue: string): void {
    const lane = this.partitions.get(partition)?.lanes.get(queue);
    if (lane !== undefined) this.followPause(lane);
  }

  /** @internal */
  onCancel(partition: string, id: string, reason: string, fence: number | undefined): boolean {
    let isHere = false;
    for (const lane of this.partitions.get(partition)?.lanes.values() ?? []) {
      if (lane.cancel(id, reason, fence)) isHere = true;
    }
    return isHere;
  }

  /** @internal */
  onCurrentChange(): void {
    for (const lane of this.lanes) {
      const isCurrent = this.ledgers.boardOf(lane.address.partition)?.isCurrent ?? false;
      if (isCurrent) {
        this.followPause(lane);
        void this.followExpress(lane);
        lane.release('standing unknown');
      } else {
        lane.hold('standing unknown');
      }
    }
  }

  /** @internal */
  onExpress(partition: string, queue: string): void {
    this.partitions.get(partition)?.lanes.get(queue)?.takeExpress();
  }

  private followPause(lane: Lane): void {
    const { partition, queue } = lane.address;
    const isPaused = this.ledgers.boardOf(partition)?.isPaused(partition, queue) ?? false;
    if (isPaused) lane.hold('paused everywhere');
    else lane.release('paused everywhere');
  }

  /** Whether a queue has an express lane is announced when it gets one; this is for those that had it before. */
  private async followExpress(lane: Lane): Promise<void> {
    try {
      if (!(await this.ledgers.isUsed(lane.address.partition))) return;
      if (await this.transport.hasExpressLane(lane.address)) lane.takeExpress();
    } catch {
      // Not connected: the standing is asked for again then, and this with it.
    }
  }

  private lane(partition: string, queue: string): Lane {
    const lane = this.find(partition).lanes.get(queue);
    if (lane === undefined) throw new UnknownPartitionError(`${partition}/${queue}`, this.ids);
    return lane;
  }

  private find(id: string): Partition {
    const partition = this.partitions.get(id);
    if (partition === undefined) throw new UnknownPartitionError(id, this.ids);
    return partition;
  }
}

/** What lanes need of the ledgers. */
export type LedgersOfLanes = Pick<Ledgers, 'serve' | 'isUsed' | 'trouble'> & {
  boardOf(partition: string): Pick<StandingBoard, 'isCurrent' | 'isPaused'> | undefined;
};

const MANY = 10;

function describePartitions(partitions: Readonly<Record<string, PartitionQueues>>): string {
  const entries = Object.entries(partitions);
  if (entries.length > MANY) return `${entries.length} partitions`;
  return entries.map(([id, queues]) => `${id} (${Object.keys(queues).join(', ')})`).join(', ');
}
