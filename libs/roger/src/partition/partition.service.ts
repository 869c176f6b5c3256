// The partitions that this node serves: started, changed and stopped at run time.
import { checkArgument } from '../job/check-argument';
import {
  CannotServeError,
  InvalidOptionsError,
  NotConnectedError,
  UnknownPartitionError,
} from '../job/errors';
import type { QueueAddress } from '../job/names';
import type { RogerLog } from '../job/log';
import type { Ledgers } from '../ledger/ledgers';
import type { ProgressOfRun, RunningHere } from '../reports/progress-reports';
import type { QueueLane, Transport } from '../transport';
import type { StandingBoard, StandingListener } from '../ledger/standing-board';
import type { Worker } from '../worker/worker';
import type { Lane, LaneParts, OutcomeCounts } from './lane';
import type { PartitionCatalogue } from './partition-catalogue';
import type { PartitionState } from './partition';
import { Partition } from './partition';
import type { PartitionQueues } from './queue-options';
import { problemOfServedPartitionId, problemsOfQueues } from './queue-options';

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
  /** This node's consumers that the broker knows of the queue now; none while it is paused, waiting or without workers. */
  readonly consumers: number;
  /** Whether it is paused, on all nodes or on this one. */
  readonly paused: boolean;
  /** How jobs have ended since the queue was started here. */
  readonly counts: Readonly<OutcomeCounts>;
  /** Why no jobs come at the moment; undefined while they do. */
  readonly waitingFor: Error | undefined;
}

/** How a partition is to be stopped. */
export interface StopOptions {
  /** Aborts at once what runs; it goes back to its queue, for another node. @default false */
  readonly force?: boolean | undefined;
}

/** Told of partitions that come and go. None of its methods may throw. */
export interface PartitionFollower {
  onServed(partition: string): void;
  onLeft(partition: string): void;
}

export interface PartitionServiceParts {
  readonly catalogue: PartitionCatalogue;
  readonly transport: Transport;
  readonly worker: Worker;
  readonly ledgers: LedgersOfLanes;
  readonly log: RogerLog;
  readonly abortGraceMs: number;
  readonly shutdownTimeoutMs: number;
  /** Why this process serves no partitions; undefined where it may. */
  readonly whyNone?: string | undefined;
}

/** What a partition is busy with, one thing after the other. */
interface Turns {
  last: Promise<void>;
  waiting: number;
}

/**
 * The partitions (tenants) that this node serves. Inject it to have them come and go at run time, to see how they stand,
 * and to pause their queues here. What it does concerns this node only, and doesn't outlive the process.
 *
 * Calls of `start`, `stop`, `safeStop` and `reconfigure` for one partition take effect one after the other, in their
 * order; those for different ones don't wait for each other.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { PartitionService } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Tenants {
 *   constructor(private readonly partitions: PartitionService) {}
 *
 *   async welcome(tenant: string): Promise<void> {
 *     const state = await this.partitions.start(tenant, { default: 10, mail: { maxWorkers: 5 } });
 *     if (state.state === 'waiting') console.warn(tenant, 'is served later:', state.reason.message);
 *   }
 *
 *   async goodbye(tenant: string): Promise<void> {
 *     await this.partitions.stop(tenant);
 *   }
 * }
 * ```
 */
export class PartitionService implements StandingListener, RunningHere {
  private readonly partitions = new Map<string, Partition>();
  /** Holds all lanes, those of partitions that are started later too. */
  private isInactive = false;
  private followsLanes = false;
  private readonly turns = new Map<string, Turns>();
  private readonly laneParts: LaneParts;
  private follower: PartitionFollower | undefined;
  private phase: 'starting' | 'up' | 'closing' = 'starting';

  /** @internal */
  constructor(private readonly parts: PartitionServiceParts) {
    const { transport, worker, ledgers, abortGraceMs } = parts;
    this.laneParts = { transport, worker, abortGraceMs, whyUnknown: () => ledgers.trouble };
  }

  /** The ids of the partitions that this node serves. */
  get ids(): readonly string[] {
    return [...this.partitions.keys()];
  }

  /** Whether the partition is served here and all its queues get their jobs. */
  isRunning(partition: string): boolean {
    return this.partitions.get(partition)?.state.state === 'running';
  }

  /** How a partition stands on this node, and why it waits if it does. @throws UnknownPartitionError */
  state(partition: string): PartitionState {
    return this.find(partition).state;
  }

  /** How the queues of a partition stand on this node. @throws UnknownPartitionError */
  queues(partition: string): LaneStatus[] {
    return [...this.find(partition).lanes.values()].map((lane) => ({
      queue: lane.address.queue,
      maxWorkers: lane.maxWorkers,
      running: lane.runningCount,
      atHand: lane.atHandCount,
      leftBehind: lane.leftBehindCount,
      consumers: lane.consumerCount,
      paused: lane.isPaused,
      counts: { ...lane.counts },
      waitingFor: lane.waitingFor,
    }));
  }

  /**
   * Serves a partition on this node, or gives it these queues if it is served already (as {@link reconfigure}). What is
   * missing on the broker is declared.
   *
   * Resolves to `running` when all its queues get their jobs; to `waiting` as soon as it is known that one gets none (the
   * broker is away, a queue exists with other arguments, a right is missing), and at the latest after 5 s. It is tried on
   * by itself; {@link state} tells how it goes.
   *
   * Called before the app has started (in `onModuleInit`, say), it counts as one of the module's options.
   * @throws InvalidArgumentError (no partition id), InvalidOptionsError (wrong queues: names each), CannotServeError
   */
  async start(partition: string, queues: PartitionQueues): Promise<PartitionState> {
    this.check(partition, queues);
    return this.settled(partition, await this.begin(partition, queues));
  }

  /**
   * Gives a partition that is served this list of queues, which is complete: queues that are left out are no longer taken
   * from on this node, but stay on the broker and with other nodes. `maxWorkers` and `retryLevels` may change at will.
   * Nothing that runs is interrupted: where fewer workers are wanted, or none, the surplus ends by itself.
   *
   * Resolves as {@link start} does.
   * @throws UnknownPartitionError, InvalidOptionsError, CannotServeError
   */
  async reconfigure(partition: string, queues: PartitionQueues): Promise<PartitionState> {
    this.check(partition, queues);
    const reconfigured = await this.inTurn(partition, () => {
      if (this.parts.catalogue.queuesOf(partition) === undefined) throw this.unknown(partition);
      return Promise.resolve(this.serve(partition, queues));
    });
    return this.settled(partition, reconfigured);
  }

  /**
   * Serves a partition no longer on this node. It takes no more jobs; those that run may end within `shutdownTimeoutMs`,
   * the rest is aborted and goes back to its queue, with `force` at once. Queues and jobs stay on the broker.
   *
   * Resolves when nothing of the partition runs here. While a stop of it is under way it counts for that one: it waits no
   * longer than said here.
   * @throws UnknownPartitionError, CannotServeError
   */
  async stop(partition: string, { force = false }: StopOptions = {}): Promise<void> {
    await this.end(partition, force ? 0 : this.parts.shutdownTimeoutMs);
  }

  /**
   * The same, but what runs may take as long as it takes: nothing is aborted, unless the app shuts down meanwhile, or
   * {@link stop} is called.
   * @throws UnknownPartitionError, CannotServeError
   */
  async safeStop(partition: string): Promise<void> {
    await this.end(partition, Infinity);
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
    return [...this.partitions.values()].flatMap((partition) => partition.lanesInUse);
  }

  /** @internal */
  serves(partition: string): boolean {
    return this.partitions.has(partition);
  }

  /** @internal */
  progressOf(partition: string, id: string): ProgressOfRun | undefined {
    for (const lane of this.partitions.get(partition)?.lanesInUse ?? []) {
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

  /** Tells of partitions from now on. To be called once. @internal */
  follow(follower: PartitionFollower): void {
    this.follower = follower;
  }

  /** Serves all of the catalogue. @internal */
  startAll(): void {
    if (this.parts.whyNone !== undefined) return;
    this.phase = 'up';
    const { catalogue, log } = this.parts;
    const { ids } = catalogue;
    for (const id of ids) this.serve(id, catalogue.queuesOf(id) ?? {});
    if (ids.length > 0)
      log.log(
        `Serving ${ids.length > MANY ? `${ids.length} partitions` : ids.map(this.describe).join(', ')}`,
      );
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

  /** Safe to repeat, with less time. @internal */
  async drainAll(timeoutMs: number, graceMs?: number): Promise<void> {
    this.phase = 'closing';
    await Promise.all(
      [...this.partitions.values()].map((partition) => partition.stop(timeoutMs, { graceMs })),
    );
    this.partitions.clear();
  }

  /**
   * As {@link start}, for a source that is not told of the state, but also in a producer, which only takes note.
   * @throws InvalidArgumentError, InvalidOptionsError, CannotServeError
   * @internal
   */
  async accept(partition: string, queues: PartitionQueues): Promise<void> {
    check(partition, queues);
    if (this.parts.whyNone === undefined) await this.begin(partition, queues);
    else this.parts.catalogue.put(partition, queues);
  }

  /** As {@link stop}, for a source. @internal */
  async dismiss(partition: string): Promise<void> {
    if (this.parts.whyNone !== undefined) this.parts.catalogue.remove(partition);
    else if (this.phase !== 'closing') await this.end(partition, this.parts.shutdownTimeoutMs);
  }

  private check(partition: string, queues: PartitionQueues): void {
    check(partition, queues);
    this.refuseWhereNone(partition);
  }

  private refuseWhereNone(partition: string): void {
    const { whyNone } = this.parts;
    if (whyNone !== undefined) throw new CannotServeError(partition, whyNone);
    if (this.phase === 'closing') throw new CannotServeError(partition, 'the app is shutting down');
  }

  private begin(partition: string, queues: PartitionQueues): Promise<Partition | undefined> {
    return this.inTurn(partition, () => Promise.resolve(this.serve(partition, queues)));
  }

  /** @returns undefined while the app is starting: then it is served with all others. */
  private serve(id: string, queues: PartitionQueues): Partition | undefined {
    // A call that had to wait for its turn may come too late.
    this.refuseWhereNone(id);
    this.parts.catalogue.put(id, queues);
    if (this.phase === 'starting') return undefined;
    this.followLanes();
    const served = this.partitions.get(id);
    if (served !== undefined) {
      served.apply(queues);
      return served;
    }
    const partition = new Partition(id, this.laneParts, (lane) => {
      // Until it is known what was cancelled and paused, nothing may begin.
      lane.start(this.isInactive ? ['standing unknown', 'inactive'] : ['standing unknown']);
      this.followStanding(lane);
    });
    this.partitions.set(id, partition);
    // Before the lanes are there: a change that is heard of from now on is not missed.
    this.parts.ledgers.serve(id, this);
    partition.apply(queues);
    this.follower?.onServed(id);
    return partition;
  }

  private followLanes(): void {
    if (this.followsLanes) return;
    this.followsLanes = true;
    this.parts.transport.followLanes(this.onLane);
  }

  private async settled(id: string, partition: Partition | undefined): Promise<PartitionState> {
    return (
      partition?.settled(SETTLED_MS) ?? {
        state: 'waiting',
        reason: new NotConnectedError(new Error(`the app is starting, and ${id} with it`)),
      }
    );
  }

  private async end(id: string, timeoutMs: number): Promise<void> {
    checkArgument('partition', problemOfServedPartitionId(id));
    this.refuseWhereNone(id);
    const partition = this.partitions.get(id);
    if (partition?.state.state === 'stopping' && this.turns.get(id)?.waiting === 1) {
      await this.stopNow(partition, timeoutMs);
      return this.turns.get(id)?.last;
    }
    await this.inTurn(id, async () => {
      const served = this.partitions.get(id);
      if (served !== undefined) {
        await this.stopNow(served, timeoutMs);
        this.partitions.delete(id);
        this.parts.ledgers.leave(id);
        this.follower?.onLeft(id);
      }
      if (!this.parts.catalogue.remove(id)) throw this.unknown(id);
    });
  }

  private async stopNow(partition: Partition, timeoutMs: number): Promise<void> {
    await partition.stop(timeoutMs, { why: `Partition ${partition.id} is stopped` });
  }

  /** Does what is to be done of one partition in the order in which it was asked for. */
  private async inTurn<T>(id: string, task: () => Promise<T>): Promise<T> {
    const turns = this.turns.get(id) ?? { last: Promise.resolve(), waiting: 0 };
    this.turns.set(id, turns);
    turns.waiting++;
    const isFirst = turns.waiting === 1;
    const begin = async (): Promise<T> => {
      if (!isFirst) await turns.last;
      return task();
    };
    const done = begin();
    turns.last = done.then(ignore, ignore).finally(() => {
      if (--turns.waiting === 0) this.turns.delete(id);
    });
    return done;
  }

  /** @internal */
  onPauseChange(partition: string, queue: string): void {
    const lane = this.partitions.get(partition)?.lanes.get(queue);
    if (lane !== undefined) this.followPause(lane);
  }

  /** @internal */
  onCancel(partition: string, id: string, reason: string, fence: number | undefined): boolean {
    let isHere = false;
    for (const lane of this.partitions.get(partition)?.lanesInUse ?? []) {
      if (lane.cancel(id, reason, fence)) isHere = true;
    }
    return isHere;
  }

  /** @internal */
  onMoved(partition: string, id: string, queuedAt: number): boolean {
    return (this.partitions.get(partition)?.lanesInUse ?? []).some((lane) => lane.hasCopy(id, queuedAt));
  }

  /** @internal */
  onCurrentChange(): void {
    for (const lane of this.lanes) this.followStanding(lane);
  }

  /** Lets a lane begin when it is known what was cancelled and paused, and holds it when that may be out of date. */
  private followStanding(lane: Lane): void {
    if (!this.isCurrent(lane)) {
      lane.hold('standing unknown');
    } else if (lane.isHeld('standing unknown')) {
      this.followPause(lane);
      void this.takeLanesAndRelease(lane);
    }
  }

  private followPause(lane: Lane): void {
    const { partition, queue } = lane.address;
    const isPaused = this.parts.ledgers.boardOf(partition)?.isPaused(partition, queue) ?? false;
    if (isPaused) lane.hold('paused everywhere');
    else lane.release('paused everywhere');
  }

  /** The lanes of a queue that there are already come first, or what waits on them would be passed over at the start. */
  private async takeLanesAndRelease(lane: Lane): Promise<void> {
    try {
      for (const one of await this.parts.transport.lanesOf(lane.address)) lane.take(one);
    } catch {
      // They are told of when they are known.
    }
    if (this.isCurrent(lane)) lane.release('standing unknown');
  }

  private isCurrent({ address: { partition } }: Lane): boolean {
    return this.parts.ledgers.boardOf(partition)?.isCurrent ?? false;
  }

  private readonly onLane = ({ partition, queue }: QueueAddress, lane: QueueLane): void => {
    this.partitions.get(partition)?.lanes.get(queue)?.take(lane);
  };

  private lane(partition: string, queue: string): Lane {
    const lane = this.find(partition).lanes.get(queue);
    if (lane === undefined) throw new UnknownPartitionError(`${partition}/${queue}`, this.ids);
    return lane;
  }

  private find(id: string): Partition {
    const partition = this.partitions.get(id);
    if (partition === undefined) throw this.unknown(id);
    return partition;
  }

  private unknown(id: string): UnknownPartitionError {
    return new UnknownPartitionError(id, this.ids);
  }

  private readonly describe = (id: string): string =>
    `${id} (${Object.keys(this.parts.catalogue.queuesOf(id) ?? {}).join(', ')})`;
}

/** What lanes need of the ledgers. */
export type LedgersOfLanes = Pick<Ledgers, 'serve' | 'leave' | 'trouble'> & {
  boardOf(partition: string): Pick<StandingBoard, 'isCurrent' | 'isPaused'> | undefined;
};

const MANY = 10;
/** When a partition of which nothing is known yet counts as waiting. */
const SETTLED_MS = 5_000;
const ignore = (): void => undefined;

/** @throws InvalidArgumentError, InvalidOptionsError */
function check(partition: string, queues: PartitionQueues): void {
  checkArgument('partition', problemOfServedPartitionId(partition));
  const problems = problemsOfQueues(queues, '');
  if (problems.length > 0) throw new InvalidOptionsError(problems, `queues of partition ${partition}`);
}
