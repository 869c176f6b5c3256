// An attempt at a job: finds the handler, checks the args, runs it, tells the callbacks. Decides the end, settles nothing.
import { checkArgs } from '../job/args-validation';
import type { DefinitionGates } from '../job/definition-gates';
import {
  InvalidJobArgsError,
  JobTimeoutError,
  MalformedJobError,
  oneLine,
  UnknownJobError,
} from '../job/errors';
import type { Job } from '../job/job';
import type { EndReason } from '../job/job-recorder';
import type { JobContext, RegisteredJob } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import { describe, type QueueAddress } from '../job/names';
import { DiscardJob, JobVerdict, SnoozeJob } from '../job/verdicts';
import { keptProgress } from '../job/progress';
import type { JobRecorders } from '../reports/job-recorders';
import type { ProgressReports } from '../reports/progress-reports';
import type { BuriedReason } from '../transport';
import type { AbortLadder } from './abort-ladder';
import type { AfterFailure, CallbackChain, CallbackStates } from './callbacks';
import { afterFailure, afterUnknown, secondsFor } from './retry-policy';
import { buriedReasonOf, ReasonOfError } from './end-reason';
import type { Run } from './run';
import { brokerLimit, ownLimit } from './run-limits';
import type { RunLimit, RunLimits } from './run-limits';
import type { StrayRejections } from './stray-rejections';

/** How an attempt ended, and what has to become of the job. */
export type End =
  | { readonly kind: 'done'; readonly result?: unknown }
  /** It failed, and that was its only attempt. */
  | { readonly kind: 'failed'; readonly reason: EndReason }
  /** Its handler said that there is nothing to do. */
  | { readonly kind: 'discarded'; readonly reason?: EndReason }
  | { readonly kind: 'cancelled'; readonly reason: string }
  /** Again after some seconds, with these changes. */
  | {
      readonly kind: 'retry';
      readonly afterSeconds: number;
      readonly changes: Partial<Job>;
      readonly reason?: EndReason;
    }
  | { readonly kind: 'bury'; readonly reason: BuriedReason }
  /** Its definition is switched off: it has not begun. */
  | { readonly kind: 'hold'; readonly why: string }
  /** It was told to end, and did: the attempt doesn't count. */
  | { readonly kind: 'handBack' }
  | { readonly kind: 'lost' };

/** An end of that kind. */
export type EndOf<Kind extends End['kind']> = Extract<End, { readonly kind: Kind }>;

export interface AttemptsParts {
  readonly registry: JobRegistry;
  /** Which definitions are switched off. */
  readonly gates: Pick<DefinitionGates, 'holdReason'>;
  readonly callbacks: CallbackChain;
  /** Those of the queue, or the module's. */
  readonly retryLevelsOf: (address: QueueAddress) => readonly number[];
  /** See `retryJitter` of the options. */
  readonly retryJitter: number;
  readonly limits: RunLimits;
  readonly log: RogerLog;
  /** Who is told by which job's run what is done. */
  readonly strays: Pick<StrayRejections, 'within'>;
  /** Who is told how far jobs are. */
  readonly progress: Pick<ProgressReports, 'told'>;
  /** Who keeps a record of runs. */
  readonly recorders?: JobRecorders | undefined;
  /** A log for one job's handler. */
  readonly logFor: (job: Job) => RogerLog;
}

/** When a run is told to end: by what was set for it, and by the broker's patience. */
interface LimitsOfRun {
  readonly own: RunLimit | undefined;
  readonly broker: RunLimit | undefined;
}

/** How long it may take to end a thread, after the grace of its job. */
const THREAD_END_MS = 5_000;

const DONE: End = { kind: 'done' };
const HAND_BACK: End = { kind: 'handBack' };
const LOST: End = { kind: 'lost' };

export class Attempts {
  constructor(private readonly parts: AttemptsParts) {}

  /** @param body the job's bytes. Never rejects. */
  attempt(job: Job, body: Buffer, run: Run): Promise<End> {
    return this.parts.strays.within(job, () => this.runThrough(job, body, run));
  }

  private async runThrough(job: Job, body: Buffer, run: Run): Promise<End> {
    const why = this.parts.gates.holdReason(job.name);
    if (why !== undefined) return { kind: 'hold', why };
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
    const limits = this.limitsOf(registered, job, run);
    const recorded = this.record(job, run, registered, limits);
    if (recorded !== undefined) {
      await recorded;
      if (run.wasLost()) return this.refuse(run, job);
    }
    let result: unknown;
    try {
      result = await this.perform(registered, args, context, run, limits);
    } catch (thrown) {
      return this.failed(job, body, run, registered, failureOf(toError(thrown), run), states);
    }
    if (run.wasLost()) return this.refuse(run, job);
    if (states !== undefined) await callbacks.afterRun({ job, result }, states);
    return job.replyTo === undefined && run.record === undefined ? DONE : { kind: 'done', result };
  }

  /** Rejects with why the run should have ended when it is left behind. */
  private perform(
    registered: RegisteredJob,
    args: unknown,
    context: JobContext,
    run: Run,
    { own, broker }: LimitsOfRun,
  ): unknown {
    const { limits, log } = this.parts;
    const { ladder } = run;
    let result: unknown;
    let graceMs = limits.abortGraceMs;
    if (registered.invokeApart === undefined) {
      result = registered.invoke(args, context);
      if (!isPromise(result)) return result;
      const limit = own !== undefined && own.afterMs <= (broker?.afterMs ?? Infinity) ? own : broker;
      if (limit !== undefined) ladder.limit(limit);
    } else {
      // Until a thread is free it has not begun.
      result = registered.invokeApart(context, () => {
        if (own === undefined) return;
        ladder.limit(own);
        if (run.record !== undefined) this.parts.recorders?.limit(run.record, Date.now() + own.afterMs);
      });
      if (broker !== undefined) ladder.limit(broker);
      graceMs += THREAD_END_MS;
    }
    return ladder.untilEnd(result as Promise<unknown>, graceMs, (handler) => {
      const who = `Job ${context.job.name} ${context.job.id}`;
      log.warn(
        `${who} has not ended ${limits.abortGraceMs} ms after it was told to (${oneLine(ladder.reason?.message ?? '')}): ` +
          `it is left behind, and costs memory and CPU until it ends. Let its handler heed context.signal, or run it in a thread.`,
      );
      const refuse = (how: string) => (): void => {
        log.warn(`${who}, left behind, has ${how} after all; that is refused`);
      };
      run.leaveBehind(handler.then(refuse('ended well'), refuse('failed')));
    });
  }

  private limitsOf({ definition }: RegisteredJob, job: Job, run: Run): LimitsOfRun {
    const { limits } = this.parts;
    return { own: ownLimit(definition, limits, job), broker: brokerLimit(limits, run.heldMs) };
  }

  /** Where somebody keeps a record. @returns what the handler has to wait for */
  private record(
    job: Job,
    run: Run,
    { invokeApart }: RegisteredJob,
    { own, broker }: LimitsOfRun,
  ): Promise<void> | undefined {
    const isApart = invokeApart !== undefined;
    const limitMs = Math.min(own?.afterMs ?? Infinity, broker?.afterMs ?? Infinity);
    run.record = this.parts.recorders?.begin(job, {
      fence: run.fence,
      isolation: isApart ? 'thread' : 'process',
      timeLimitAt: isApart || limitMs === Infinity ? undefined : Date.now() + limitMs,
    });
    return run.record?.recorded;
  }

  /** For a job that was cancelled, whether it has begun or not. Never rejects. */
  async cancel(job: Job, reason: string, states?: CallbackStates): Promise<EndOf<'cancelled'>> {
    const because = reason === '' ? '' : `: ${oneLine(reason)}`;
    this.parts.log.log(`Job ${job.name} ${job.id} is cancelled${because}`);
    if (!this.parts.callbacks.isEmpty) await this.parts.callbacks.onCancel({ job, reason }, states);
    return { kind: 'cancelled', reason };
  }

  /** For what can't run. Never rejects. */
  async bury(
    error: Error,
    body: Buffer,
    { address }: Run,
    job?: Job,
    states?: CallbackStates,
  ): Promise<EndOf<'bury'>> {
    const who = job === undefined ? 'A message' : `Job ${job.name} ${job.id}`;
    this.parts.log.error(
      `${who} of ${address.partition}/${address.queue} is buried: ${oneLine(error.message)}`,
      error instanceof MalformedJobError ? undefined : error.stack,
    );
    if (!this.parts.callbacks.isEmpty) {
      await this.parts.callbacks.onBuried({ ...address, job, body, error }, states);
    }
    return { kind: 'bury', reason: buriedReasonOf(error) };
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
    if (error instanceof DiscardJob || error instanceof SnoozeJob) return this.obey(error, job);
    // It ended because it was told to, not because it failed: the attempt is not counted. Unless it says what it means.
    if (run.abortReason !== undefined && !run.wasTimedOut() && !(error instanceof JobVerdict))
      return HAND_BACK;
    const next = afterFailure(definition, job, error, {
      levels: this.parts.retryLevelsOf(run.address),
      jitter: this.parts.retryJitter,
      chance: Math.random,
      onRuleFailure: (problem) => {
        this.parts.log.error(
          `The function retryable of job ${job.name} can't be followed: ${oneLine(problem)}; it counts as true`,
        );
      },
    });
    this.logFailure(job, error, next);
    if (states !== undefined) await this.parts.callbacks.onError({ job, error, next }, states);
    switch (next.kind) {
      case 'retry':
        return {
          kind: 'retry',
          afterSeconds: next.afterSeconds,
          changes: { attempt: job.attempt + 1 },
          reason: new ReasonOfError(error),
        };
      case 'bury':
        return this.bury(error, body, run, job, states);
      case 'end':
        return { kind: 'failed', reason: new ReasonOfError(error) };
    }
  }

  /** What is decided is no failure: no callback is told. */
  private obey(verdict: DiscardJob | SnoozeJob, job: Job): End {
    if (verdict instanceof SnoozeJob) {
      const afterSeconds = secondsFor(verdict.delayMs);
      this.parts.log.debug(`Job ${job.name} ${job.id} asks to be called again in ${afterSeconds} s`);
      return { kind: 'retry', afterSeconds, changes: {}, reason: new ReasonOfError(verdict) };
    }
    this.parts.log.log(`Job ${job.name} ${job.id} is discarded by its handler: ${oneLine(verdict.message)}`);
    return { kind: 'discarded', reason: new ReasonOfError(verdict) };
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
  private readonly ladder: AbortLadder;

  constructor(
    readonly job: Job,
    private readonly run: Run,
    private readonly parts: Pick<AttemptsParts, 'logFor' | 'progress'>,
  ) {
    this.fence = run.fence;
    this.ladder = run.ladder;
  }

  get attempt(): number {
    return this.job.attempt;
  }

  get signal(): AbortSignal {
    return this.ladder.signal;
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

/** What a run throws that took too long has failed for that, unless its handler says what it means. */
function failureOf(error: Error, { abortReason }: Run): Error {
  if (!(abortReason instanceof JobTimeoutError) || error === abortReason) return error;
  if (error instanceof JobVerdict) return error;
  return new JobTimeoutError(abortReason.limitMs, abortReason.whose, { cause: error });
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`the handler threw ${describe(thrown)}, which is no Error`);
}
