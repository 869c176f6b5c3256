// Tells the app's callbacks what happens to jobs. A callback that throws is logged and harms no job.
import { oneLine } from '../job/errors';
import type { Job } from '../job/job';
import type { JobContext } from '../job/job-definition';
import type { RogerLog } from '../job/log';
import type { QueueAddress } from '../job/names';
import { describe } from '../job/names';

/** What becomes of a job whose attempt has failed. */
export type AfterFailure =
  | { readonly kind: 'retry'; readonly afterSeconds: number }
  | { readonly kind: 'bury' }
  /** Not retryable: the job is over. */
  | { readonly kind: 'end' };

/**
 * Implemented by providers under `@RogerCallbacks()`. Each method is optional; several providers may exist and are
 * called one after the other, in the order in which Nest found them, each awaited before the job goes on. One that
 * throws is logged; the job and the other callbacks don't notice.
 *
 * @example
 * ```ts
 * import { BeforeRunEvent, AfterRunEvent, RogerCallbacks, WorkerCallbacks } from 'nestjs-roger';
 *
 * \@RogerCallbacks()
 * export class Timing implements WorkerCallbacks<number> {
 *   beforeRun(_event: BeforeRunEvent): number {
 *     return Date.now();
 *   }
 *   afterRun({ job, state }: AfterRunEvent<number>): void {
 *     console.log(`${job.name} took ${Date.now() - (state ?? 0)} ms`);
 *   }
 * }
 * ```
 */
export interface WorkerCallbacks<State = unknown> {
  /** Before each attempt. What it returns reaches the other methods of this provider as `state`. */
  beforeRun?(event: BeforeRunEvent): State | Promise<State>;
  /** After an attempt that ended well. The job is over once all of these have ended. */
  afterRun?(event: AfterRunEvent<State>): unknown;
  /** After an attempt that failed, with what comes next. */
  onError?(event: ErrorEvent<State>): unknown;
  /** When a job was cancelled: before it began (then without `state`), or when it has ended at the word of its signal. */
  onCancel?(event: CancelEvent<State>): unknown;
  /** When a job is put among the buried: its last attempt failed, or it could not be understood (then without `job`). */
  onBuried?(event: BuriedEvent<State>): unknown;
}

export interface BeforeRunEvent {
  readonly job: Job;
  readonly context: JobContext;
}

export interface AfterRunEvent<State = unknown> {
  readonly job: Job;
  readonly result: unknown;
  /** Undefined when this provider has no `beforeRun`, or it threw. */
  readonly state: State | undefined;
}

export interface ErrorEvent<State = unknown> {
  readonly job: Job;
  readonly error: Error;
  readonly next: AfterFailure;
  readonly state: State | undefined;
}

export interface CancelEvent<State = unknown> {
  readonly job: Job;
  /** What was said to `cancelJob`; `''` when nothing was. */
  readonly reason: string;
  readonly state: State | undefined;
}

export interface BuriedEvent<State = unknown> extends QueueAddress {
  /** Undefined when the message could not be understood as a job. */
  readonly job: Job | undefined;
  /** The message's bytes, as they are kept. */
  readonly body: Buffer;
  readonly error: Error;
  readonly state: State | undefined;
}

/** What the `beforeRun` of each provider returned. */
export type CallbackStates = ReadonlyMap<WorkerCallbacks, unknown>;
const NO_STATES: CallbackStates = new Map();

/** All providers of one module instance, called in order. */
export class CallbackChain {
  private readonly providers: WorkerCallbacks[] = [];

  constructor(private readonly log: RogerLog) {}

  add(provider: WorkerCallbacks): void {
    this.providers.push(provider);
  }

  get isEmpty(): boolean {
    return this.providers.length === 0;
  }

  async beforeRun(event: BeforeRunEvent): Promise<CallbackStates> {
    const states = new Map<WorkerCallbacks, unknown>();
    for (const provider of this.providers) {
      await this.guard('beforeRun', async () => {
        states.set(provider, await provider.beforeRun?.(event));
      });
    }
    return states;
  }

  async afterRun(event: Omit<AfterRunEvent, 'state'>, states: CallbackStates): Promise<void> {
    for (const provider of this.providers) {
      await this.guard('afterRun', () => provider.afterRun?.({ ...event, state: states.get(provider) }));
    }
  }

  async onError(event: Omit<ErrorEvent, 'state'>, states: CallbackStates): Promise<void> {
    for (const provider of this.providers) {
      await this.guard('onError', () => provider.onError?.({ ...event, state: states.get(provider) }));
    }
  }

  async onCancel(event: Omit<CancelEvent, 'state'>, states: CallbackStates = NO_STATES): Promise<void> {
    for (const provider of this.providers) {
      await this.guard('onCancel', () => provider.onCancel?.({ ...event, state: states.get(provider) }));
    }
  }

  async onBuried(event: Omit<BuriedEvent, 'state'>, states: CallbackStates = NO_STATES): Promise<void> {
    for (const provider of this.providers) {
      await this.guard('onBuried', () => provider.onBuried?.({ ...event, state: states.get(provider) }));
    }
  }

  private async guard(name: keyof WorkerCallbacks, call: () => unknown): Promise<void> {
    try {
      await call();
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(describe(thrown));
      const { message }: { readonly message: unknown } = error;
      const shown = oneLine(typeof message === 'string' ? message : describe(message));
      this.log.error(`The callback ${name} threw: ${shown}; the job goes on`, error.stack);
    }
  }
}
