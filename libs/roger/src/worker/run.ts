// What one worker of a lane is busy with: a delivery, the job of it that runs now, and whether that should end early.
import type { QueueAddress } from '../job/names';
import { DeliveryLostError, JobCancelledError } from '../job/errors';
import type { Job } from '../job/job';
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
  /** Jobs that were granted with the delivered one and have not begun. */
  readonly ahead = new Set<string>();
  /** Why it should end early; undefined while it should not. */
  abortReason: Error | undefined;
  private controller: AbortController | undefined;
  private begunAt = performance.now();

  constructor(
    readonly address: QueueAddress,
    /** Of the present job, in ms since the epoch. */
    public startedAt: number,
    private readonly observer: RunObserver = NOBODY,
  ) {}

  get chain(): number {
    return this.observer.chain;
  }

  get shouldYield(): boolean {
    return this.abortReason !== undefined || this.observer.shouldYield;
  }

  /** The outcome no longer counts: the broker has taken the job back. */
  wasLost(): boolean {
    return this.abortReason instanceof DeliveryLostError;
  }

  /** The present job was cancelled. */
  wasCancelled(): boolean {
    return this.abortReason instanceof JobCancelledError;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.abortReason !== undefined) this.controller.abort(this.abortReason);
    }
    return this.controller.signal;
  }

  /** A lost delivery outweighs an earlier reason; the signal keeps the first. */
  abort(reason: Error): void {
    this.abortReason = reason;
    this.controller?.abort(reason);
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
    this.ahead.delete(job.id);
    this.startedAt = Date.now();
    this.begunAt = performance.now();
    if (this.wasCancelled()) {
      this.abortReason = undefined;
      this.controller = undefined;
    }
  }

  end(outcome: Outcome): void {
    this.observer.onOutcome(outcome, performance.now() - this.begunAt);
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
  chain: 1,
  shouldYield: false,
};
