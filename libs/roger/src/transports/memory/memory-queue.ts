// One queue in memory: its lanes, its bounds, its buried jobs, and what becomes of a job that is settled.
import { JobCrashedError, QueueFullError, show } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import { rankOf } from '../../job/lanes';
import type { QueueAddress } from '../../job/names';
import type { DispatchedJob } from '../../ledger-transport';
import type {
  BuriedVisitor,
  OutgoingJob,
  QueueDepth,
  QueueLane,
  QueueLook,
  Settlement,
} from '../../transport';
import { Graves } from './graves';
import { MemoryLane } from './memory-lane';
import type { LaterJobs } from './later-jobs';
import type { BuriedJob, StoredJob } from './stored-job';

/** The bounds of one queue. */
export interface QueueLimits {
  readonly maxJobs: number;
  readonly maxBuriedJobs: number;
  readonly deliveryLimit: number;
}

/** How many jobs of a purge are shown at a time. */
const JOBS_PER_SHOWING = 1000;

/** The bounds and the buried jobs are those of all lanes together. */
export class MemoryQueue {
  private readonly normal = new MemoryLane();
  private readonly extra = new Map<QueueLane, MemoryLane>();
  private readonly graves = new Graves();
  /** Jobs that wait, are delivered, will be retried, or are delayed. */
  private held = 0;

  constructor(
    private readonly address: QueueAddress,
    private readonly limits: QueueLimits,
    private readonly timers: LaterJobs,
    /** Told of each lane that is made besides the normal one. */
    private readonly onLane: (address: QueueAddress, lane: QueueLane) => void = () => undefined,
  ) {}

  /** Those besides the normal one. */
  get extraLanes(): ReadonlySet<QueueLane> {
    return new Set(this.extra.keys());
  }

  /** The lane, made when there is none. */
  lane(which: QueueLane): MemoryLane {
    if (which === 'normal') return this.normal;
    const existing = this.extra.get(which);
    if (existing !== undefined) return existing;
    const made = new MemoryLane();
    this.extra.set(which, made);
    this.onLane(this.address, which);
    return made;
  }

  /** @throws QueueFullError */
  put({ id, body, afterSeconds = 0, lane = 'normal' }: OutgoingJob): void {
    if (this.held >= this.limits.maxJobs) {
      throw new QueueFullError(this.address.partition, this.address.queue);
    }
    this.held++;
    if (afterSeconds > 0) this.delay(afterSeconds, id, body, lane);
    else this.lane(lane).append(id, body);
  }

  /** Puts a job where its ledger sends it. It was accepted before, so that it is never refused. */
  dispatch({ id, body, route, lane }: DispatchedJob, log: RogerLog): void {
    switch (route.kind) {
      case 'normal':
      case 'express':
        this.held++;
        this.lane(lane ?? route.kind).append(id, body);
        return;
      case 'retry':
        this.held++;
        this.retry(route.afterSeconds, id, body, lane);
        return;
      case 'delay':
        this.held++;
        this.delay(route.seconds, id, body, lane);
        return;
      case 'bury':
        this.bury({ body, id, reason: route.reason }, log);
        return;
    }
  }

  /** `lane` is the one that the job was delivered from. */
  settle(job: StoredJob, lane: MemoryLane, settlement: Settlement, log: RogerLog): void {
    switch (settlement.kind) {
      case 'done':
        this.held--;
        return;
      case 'retry':
        this.retry(settlement.afterSeconds, settlement.id, settlement.body, settlement.lane);
        return;
      case 'bury':
        this.held--;
        this.bury({ body: job.body, id: settlement.id ?? job.id, reason: settlement.reason }, log);
        return;
      case 'handBack':
        lane.giveBack(job);
        return;
    }
  }

  /** A job comes back whose taker is gone, for another; one that outlived too many of them is buried. */
  outlive(job: StoredJob, lane: MemoryLane, log: RogerLog): void {
    const deaths = job.deaths + 1;
    if (deaths <= this.limits.deliveryLimit) {
      lane.giveBack({ ...job, deaths });
      return;
    }
    const { code: type, message } = new JobCrashedError(
      `it was delivered ${deaths} times and never settled (deliveryLimit)`,
    );
    this.held--;
    this.bury({ body: job.body, id: job.id, reason: { type, message } }, log);
  }

  /** Takes out all that waits, shows it, and puts back what was not seen to the end. */
  async purge(onRemoving?: (bodies: readonly Buffer[]) => Promise<void>): Promise<number> {
    const taken = this.lanes.flatMap((lane) => lane.takeAll().map((job) => ({ job, lane })));
    let gone = onRemoving === undefined ? taken.length : 0;
    try {
      while (onRemoving !== undefined && gone < taken.length) {
        const shown = taken.slice(gone, gone + JOBS_PER_SHOWING);
        await onRemoving(shown.map(({ job }) => job.body));
        gone += shown.length;
      }
    } finally {
      this.held -= gone;
      for (const { job, lane } of taken.slice(gone)) lane.putBack(job);
    }
    return gone;
  }

  depth(): QueueDepth {
    const ready = this.lanes.reduce((sum, lane) => sum + lane.ready, 0);
    return { ready, consumers: this.normal.takerCount, buried: this.graves.length };
  }

  look(count: number): QueueLook {
    const standing = this.lanes.flatMap((lane) => lane.standing());
    return {
      bodies: standing.slice(0, count).map(({ body }) => body),
      standing: standing.length,
      delayed: this.held - standing.length,
      isComplete: true,
    };
  }

  buried(): readonly BuriedJob[] {
    return this.graves.all();
  }

  /** See the port. */
  visitBuried(visit: BuriedVisitor, limit: number): Promise<void> {
    return this.graves.visit(visit, limit);
  }

  private get lanes(): MemoryLane[] {
    const extra = [...this.extra].sort(([one], [other]) => rankOf(one) - rankOf(other));
    return [...extra.map(([, lane]) => lane), this.normal];
  }

  private delay(seconds: number, id: string, body: Buffer, lane: QueueLane = 'normal'): void {
    this.timers.delay(seconds, () => {
      this.lane(lane).append(id, body);
    });
  }

  private retry(seconds: number, id: string, body: Buffer, lane: QueueLane = 'normal'): void {
    this.timers.retry(seconds, () => {
      this.lane(lane).append(id, body);
    });
  }

  private bury(job: BuriedJob, log: RogerLog): void {
    this.graves.add(job);
    if (this.graves.length <= this.limits.maxBuriedJobs) return;
    const dropped = this.graves.takeOldest();
    if (dropped === undefined) return;
    const { id, reason } = dropped;
    log.error(
      `Queue ${show(this.address.queue)} of partition ${show(this.address.partition)} keeps no more than ` +
        `${this.limits.maxBuriedJobs} buried jobs (maxBuriedJobs): dropped the oldest, job ${show(id)}, ` +
        `buried for ${show(reason.type)}: ${show(reason.message)}`,
    );
  }
}
