// What one worker of a lane is busy with: a delivery, the job of it that runs now, and whether that should end early.
import type { QueueAddress } from '../job/names';
import { DeliveryLostError, JobCancelledError, JobTimeoutError } from '../job/errors';
import type { Job } from '../job/job';
import type { OpenRecord } from '../reports/job-recorders';
import { AbortLadder } from './abort-ladder';
import type { Outcome } from './outcome';

/** What a run tells whoever holds it. */
export interface RunObserver {
  /** A job of the delivery has ended so, after so long. */
  onOutcome(outcome: Outcome, durationMs: number): void;
  /** It doesn't need a worker for now: it asks whether it may run at all. */
  onAsking(run: Run): void;
  /** Resolves when it has a worker (again); to false: it is to be given back. */
  onReady(run: Run): Promise<boolean>;
  /** Nothing of the delivery runs any more; what is left is to settle it. */
  onRan(run: Run): void;
  /** A handler didn't heed its signal and goes on without a worker, until this resolves. */
  onLeftBehind(ended: Promise<void>): void;
  /** How many jobs of one execution key the run may take on, one after the other. */
  readonly chain: number;
  /** Whether it should begin no further one. */
  readonly shouldYield: boolean;
}

/** Held by the lane while a delivery is worked on. */
export class Run {
  /** Set once the message has been understood. */
  job: Job | undefined;
  /** Of a job with a key. */
  fence: number | undefined;
  /** What the present job has told last; undefined: nothing. */
  progress: unknown;
  /** Of the present attempt, once it has begun, where somebody keeps a record. */
  record: OpenRecord | undefined;
  /** Jobs that were granted with the delivered one and have not begun. */
  readonly ahead = new Set<string>();
  /** Of the present attempt. */
  ladder = new AbortLadder();
  private hasLeftBehind = false;
  private begunAt = performance.now();

  constructor(
    readonly address: QueueAddress,
    /** Of the present job, in ms since the epoch. */
    public startedAt: number,
    private readonly observer: RunObserver = NOBODY,
    /** When the delivery came, by `performance.now()`: the broker's patience counts from then. */
    private readonly deliveredAt = performance.now(),
  ) {}

  /** How long the delivery has been unsettled. */
  get heldMs(): number {
    return performance.now() - this.deliveredAt;
  }

  /** Why it should end early; undefined while it should not. */
  get abortReason(): Error | undefined {
    return this.ladder.reason;
  }

  get chain(): number {
    return this.observer.chain;
  }

  get shouldYield(): boolean {
    // What was left behind has the fence of those that were granted with it: they need a new one.
    return this.hasLeftBehind || this.abortReason !== undefined || this.observer.shouldYield;
  }

  /** The outcome no longer counts: the broker has taken the job back. */
  wasLost(): boolean {
    return this.abortReason instanceof DeliveryLostError;
  }

  /** The present job ran longer than it may. */
  wasTimedOut(): boolean {
    return this.abortReason instanceof JobTimeoutError;
  }

  /** The present job was cancelled. */
  wasCancelled(): boolean {
    return this.abortReason instanceof JobCancelledError;
  }

  /** The first reason counts; only a lost delivery outweighs it. */
  abort(reason: Error): void {
    this.ladder.abort(reason);
  }

  /** @returns whether the job is this run's; then its signal is aborted, or it won't begin. */
  cancel(id: string, reason: string, fence: number | undefined): boolean {
    if (fence !== undefined && fence !== this.fence) return false;
    if (this.job?.id !== id) return this.ahead.has(id);
    if (this.abortReason === undefined) this.abort(new JobCancelledError(reason));
    return true;
  }

  /** Goes on to another job of the same delivery. */
  next(job: Job): void {
    this.job = job;
    this.progress = undefined;
    this.record = undefined;
    this.ahead.delete(job.id);
    this.startedAt = Date.now();
    this.begunAt = performance.now();
    const { isForOneJob, isLeftBehind, reason } = this.ladder;
    // A handler that goes on keeps the signal that it was given.
    if (isForOneJob || isLeftBehind) this.ladder = new AbortLadder(isForOneJob ? undefined : reason);
  }

  end(outcome: Outcome): void {
    this.observer.onOutcome(outcome, performance.now() - this.begunAt);
  }

  /** @param ended resolves when the handler has ended after all */
  leaveBehind(ended: Promise<void>): void {
    this.hasLeftBehind = true;
    this.observer.onLeftBehind(ended);
  }

  /** Lets another job have the worker meanwhile. */
  leaveWorker(): void {
    this.observer.onAsking(this);
  }

  /** @returns false: it is to be given back. */
  async takeWorker(): Promise<boolean> {
    const mayRun = await this.observer.onReady(this);
    this.startedAt = Date.now();
    this.begunAt = performance.now();
    return mayRun;
  }

  /** Lets another job have the worker while this one is being settled. */
  freeWorker(): void {
    this.observer.onRan(this);
  }
}

const NOBODY: RunObserver = {
  onOutcome: () => undefined,
  onAsking: () => undefined,
  onReady: () => Promise.resolve(true),
  onRan: () => undefined,
  onLeftBehind: () => undefined,
  chain: 1,
  shouldYield: false,
};
