// What a process and its threads tell each other.
import type { MessagePort } from 'node:worker_threads';
import type { ErrorRecord } from '../../job/error-record';
import type { Job } from '../../job/job';

/** What a thread is told when it is made. */
export interface ThreadData {
  readonly module: string;
  readonly exportName: string;
}

/** What a thread is given to do; `'boot'`: nothing, but to be ready. */
export type ThreadTask = 'boot' | JobTask;

export interface JobTask {
  readonly instance: string | undefined;
  readonly job: Job;
  readonly fence: number | undefined;
  /** By it the thread says that it begins, and is told why it should end early. */
  readonly port: MessagePort;
}

/** What a thread says by the port of its task. */
export const BEGUN = 'begun';

/** How far the job is. */
export interface ThreadProgress {
  readonly progress: unknown;
}

export interface ThreadOutcome {
  readonly result?: unknown;
  /** What the handler threw. */
  readonly error?: ErrorRecord;
}

/** A line of a thread's log, to be written by the process. */
export interface ThreadLine {
  readonly rogerLine: {
    readonly level: 'log' | 'warn' | 'error' | 'debug' | 'verbose' | 'fatal';
    readonly message: unknown;
    readonly rest: readonly unknown[];
  };
}
