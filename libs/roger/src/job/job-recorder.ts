// What is told of every job to whoever keeps a record: that it was enqueued, that an attempt began, how it ended.
import type { Job } from './job';
import type { QueueAddress } from './names';

/** An attempt at a job, from its begin on. */
export interface RunRecord {
  /** No other run has it, on whatever node: the node's id and a number. */
  readonly id: string;
  /** The node that runs it, as in `ClusterService.nodes()`. */
  readonly node: string;
  readonly job: Job;
  /** In ms since the epoch, by the node's clock. */
  readonly startedAt: number;
  /** When it is told to end, in ms since the epoch; undefined: it may take as long as it does, or its thread is not free yet. */
  readonly timeLimitAt: number | undefined;
  /** Of a job with a key. */
  readonly fence: number | undefined;
  readonly isolation: 'process' | 'thread';
}

/** Why a job or an attempt ended as it did. */
export interface EndReason {
  /** The code of a RogerError (`ROGER_JOB_TIMEOUT`, …), or the name of another error. */
  readonly type: string;
  readonly message: string;
  readonly stack?: string | undefined;
}

/** How an attempt ended, or a job that was not attempted. */
export interface JobEnd {
  /** Undefined where the message could not be understood as a job. */
  readonly job: Job | undefined;
  readonly address: QueueAddress;
  /** Undefined where nothing had begun. */
  readonly run: RunRecord | undefined;
  /** In ms since the epoch. Of a run: `startedAt` and how long it took, so that a clock that is set makes none negative. */
  readonly at: number;
  /**
   * `retried`, `failed` (its only attempt) and `buried` are attempts that failed. Without a run: `buried`, `cancelled`,
   * `handedOn`, `held`. `lost`: its outcome doesn't count, for another node has been given the job.
   */
  readonly outcome:
    | 'done'
    | 'retried'
    | 'failed'
    | 'discarded'
    | 'snoozed'
    | 'buried'
    | 'cancelled'
    | 'handedOn'
    | 'held'
    | 'handedBack'
    | 'lost';
  /** What `perform` returned. */
  readonly result?: unknown;
  readonly reason?: EndReason | undefined;
  /** Of a job that comes again after some seconds. */
  readonly again?: { readonly attempt: number; readonly at: number } | undefined;
}

/** What was let go: a job, or all of the partition that were held for a reason. */
export type HeldRelease =
  /** `isNow`: it doesn't wait until it is due. */
  | { readonly partition: string; readonly jobId: string; readonly isNow: boolean }
  | { readonly partition: string; readonly why: string };

/**
 * Keeps a record of jobs; given to `JobRecorders.add`. Its methods are called in the middle of the work: they return at
 * once and do what takes time later. One that throws is logged and harms no job.
 */
export interface JobRecorder {
  /**
   * The broker (of a job with a key, its ledger) has the job for sure. Its run may have been told of before, on this node
   * or another. `heldWhy`: its ledger holds it, for this reason.
   */
  enqueued?(job: Job, heldWhy?: string): void;
  /**
   * Right before `perform`, whose args are still as they came. Of a run in a thread once more when the thread has it, with its
   * time limit.
   * @returns what `perform` has to wait for, so that the begin is recorded for sure; it must not take long. One that rejects
   * is logged, and the job goes on.
   */
  began?(run: RunRecord): Promise<void> | void;
  /**
   * Of a job with a key, right before its ledger is asked to take this end. `ended` follows when it has answered, with the
   * same end or as `lost`; of a process that is killed in between nobody else can tell that the work was done.
   */
  ending?(end: JobEnd): void;
  /** Once for each run, when its outcome is settled; and for jobs that end without a run. */
  ended?(end: JobEnd): void;
  /** A job that has been enqueued is held from now on, by `GlobalStateService.hold`; it is as it was given to that. */
  held?(job: Job, why: string, at: number): void;
  /**
   * By `GlobalStateService.release` or `releaseAll`, or for a definition that is on again.
   * @param at when it was asked for: a run may have begun since
   */
  released?(release: HeldRelease, at: number): void;
  /** What was waiting in the queue has been removed by `GlobalStateService.purge`. */
  purged?(address: QueueAddress, at: number): void;
}
