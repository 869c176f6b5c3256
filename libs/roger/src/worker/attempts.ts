// An attempt at a job: finds the handler, checks the args, runs it, tells the callbacks. Decides the end, settles nothing.
import { checkArgs } from '../job/args-validation';
import { InvalidJobArgsError, MalformedJobError, oneLine, UnknownJobError } from '../job/errors';
import type { Job } from '../job/job';
import type { JobContext, RegisteredJob } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import { describe } from '../job/names';
import { keptProgress } from '../job/progress';
import type { ProgressReports } from '../reports/progress-reports';
import type { BuriedReason } from '../transport';
import type { AfterFailure, CallbackChain, CallbackStates } from './callbacks';
import { afterFailure, afterUnknown } from './retry-policy';
import type { Run } from './run';

/** How an attempt ended, and what has to become of the job. */
export type End =
  | { readonly kind: 'done'; readonly result?: unknown }
  /** It failed, and that was its only attempt. */
  | { readonly kind: 'failed'; readonly reason: BuriedReason }
  | { readonly kind: 'cancelled'; readonly reason: string }
  /** Again after some seconds, with these changes. */
  | { readonly kind: 'retry'; readonly afterSeconds: number; readonly changes: Partial<Job> }
  | { readonly kind: 'bury'; readonly reason: BuriedReason }
  /** It was told to end, and did: the attempt doesn't count. */
  | { readonly kind: 'handBack' }
  | { readonly kind: 'lost' };

export interface AttemptsParts {
  readonly registry: JobRegistry;
  readonly callbacks: CallbackChain;
  readonly retryLevels: readonly number[];
  readonly log: RogerLog;
  /** Who is told how far jobs are. */
  readonly progress: Pick<ProgressReports, 'told'>;
  /** A log for one job's handler. */
  readonly logFor: (job: Job) => RogerLog;
}

const DONE: End = { kind: 'done' };
const HAND_BACK: End = { kind: 'handBack' };
const LOST: End = { kind: 'lost' };

export class Attempts {
  constructor(private readonly parts: AttemptsParts) {}

  /** @param body the job's bytes. Never rejects. */
  async attempt(job: Job, body: Buffer, run: Run): Promise<End> {
    const registered = this.parts.registry.find(job.name);
    if (registered === undefined) return this.handOn(job, body, run);
    let args = job.args;
    const { argsClass } = registered.definition;
    if (argsClass !== undefined) {
      const checked = await checkArgs(argsClass, job.args);
      if ('problems' in checked)
        return this.bury(new InvalidJobArgsError(job.name, checked.problems), body, run, job);
      args = checked.args;
    }
    const { callbacks } = this.parts;
    const context = new RunContext(job, run, this.parts);
    const states = callbacks.isEmpty ? undefined : await callbacks.beforeRun({ job, context });
    if (run.wasLost()) return this.refuse(run, job);
    let result: unknown;
    try {
      result = await registered.invoke(args, context);
    } catch (thrown) {
      return this.failed(job, body, run, registered, toError(thrown), states);
    }
    if (run.wasLost()) return this.refuse(run, job);
    if (states !== undefined) await callbacks.afterRun({ job, result }, states);
    return job.replyTo === undefined ? DONE : { kind: 'done', result };
  }

  /** For a job that was cancelled, whether it has begun or not. Never rejects. */
  async cancel(job: Job, reason: string, states?: CallbackStates): Promise<End> {
    const because = reason === '' ? '' : `: ${oneLine(reason)}`;
    this.parts.log.log(`Job ${job.name} ${job.id} is cancelled${because}`);
    if (!this.parts.callbacks.isEmpty) await this.parts.callbacks.onCancel({ job, reason }, states);
    return { kind: 'cancelled', reason };
  }

  /** For what can't run. Never rejects. */
  async bury(error: Error, body: Buffer, { address }: Run, job?: Job, states?: CallbackStates): Promise<End> {
    const who = job === undefined ? 'A message' : `Job ${job.name} ${job.id}`;
    this.parts.log.error(
      `${who} of ${address.partition}/${address.queue} is buried: ${oneLine(error.message)}`,
      error instanceof MalformedJobError ? undefined : error.stack,
    );
    if (!this.parts.callbacks.isEmpty) {
      await this.parts.callbacks.onBuried({ ...address, job, body, error }, states);
    }
    return { kind: 'bury', reason: reasonOf(error) };
  }

  private async failed(
    job: Job,
    body: Buffer,
    run: Run,
    { definition }: RegisteredJob,
    error: Error,
    states: CallbackStates | undefined,
  ): Promise<End> {
    if (run.wasLost()) return this.refuse(run, job);
    if (run.wasCancelled()) {
      const { reason } = run.abortReason as Error & { readonly reason: string };
      return this.cancel(job, reason, states);
    }
    // It ended because it was told to, not because it failed: the attempt is not counted.
    if (run.abortReason !== undefined) return HAND_BACK;
    const next = afterFailure(definition, job, this.parts.retryLevels);
    this.logFailure(job, error, next);
    if (states !== undefined) await this.parts.callbacks.onError({ job, error, next }, states);
    switch (next.kind) {
      case 'retry':
        return { kind: 'retry', afterSeconds: next.afterSeconds, changes: { attempt: job.attempt + 1 } };
      case 'bury':
        return this.bury(error, body, run, job, states);
      case 'end':
        return { kind: 'failed', reason: reasonOf(error) };
    }
  }

  /** Another node may know the name: a rolling deploy. Offered again for some minutes, then buried. */
  private async handOn(job: Job, body: Buffer, run: Run): Promise<End> {
    const times = job.handedOn ?? 0;
    const afterSeconds = afterUnknown(times);
    if (afterSeconds === undefined) return this.bury(new UnknownJobError(job.name, times), body, run, job);
    if (times === 0) {
      this.parts.log.warn(
        `Job ${job.name} ${job.id} is not known on this node; it is handed on to others for some minutes`,
      );
    }
    return { kind: 'retry', afterSeconds, changes: { handedOn: times + 1 } };
  }

  private refuse(run: Run, job: Job): End {
    this.parts.log.warn(`Job ${job.name} ${job.id}: ${run.abortReason?.message ?? 'its delivery was lost'}`);
    return LOST;
  }

  private logFailure(job: Job, error: Error, next: AfterFailure): void {
    const line = `Job ${job.name} ${job.id} failed in attempt ${job.attempt}: ${oneLine(error.message)}`;
    if (next.kind === 'retry') this.parts.log.warn(`${line}; again in ${next.afterSeconds} s`);
    else if (next.kind === 'end')
      this.parts.log.error(`${line}; it is not retryable and ends here`, error.stack);
  }
}

class RunContext implements JobContext {
  private log: RogerLog | undefined;
  /** Its own: the run goes on to other jobs, and a handler may keep its context. */
  readonly fence: number | undefined;

  constructor(
    readonly job: Job,
    private readonly run: Run,
    private readonly parts: Pick<AttemptsParts, 'logFor' | 'progress'>,
  ) {
    this.fence = run.fence;
  }

  get attempt(): number {
    return this.job.attempt;
  }

  get signal(): AbortSignal {
    return this.run.signal;
  }

  get logger(): RogerLog {
    return (this.log ??= this.parts.logFor(this.job));
  }

  progress(value: unknown): void {
    const kept = keptProgress(value);
    // A handler that goes on after its end has no say in what runs after it.
    if (this.run.job !== this.job || this.run.wasLost()) return;
    this.run.progress = kept;
    this.parts.progress.told(this.job, kept);
  }
}

function reasonOf(error: Error): BuriedReason {
  return {
    type: 'code' in error && typeof error.code === 'string' ? error.code : error.name,
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  };
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`the handler threw ${describe(thrown)}, which is no Error`);
}
