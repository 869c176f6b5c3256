// The life of a delivery: decode, find the handler, check the args, run, settle.
import { checkArgs } from '../job/args-validation';
import type { RogerError } from '../job/errors';
import {
  InvalidJobArgsError,
  MalformedJobError,
  MisroutedJobError,
  oneLine,
  UnknownJobError,
} from '../job/errors';
import type { Job } from '../job/job';
import { decodeJob, encodeJob } from '../job/job-codec';
import type { JobContext, RegisteredJob } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import { describe } from '../job/names';
import type { Delivery } from '../transport';
import type { AfterFailure, CallbackChain, CallbackStates } from './callbacks';
import { afterFailure, afterUnknown } from './retry-policy';
import type { Run } from './run';

/** How a delivery ended, for whoever counts. */
export type Outcome = 'done' | 'retried' | 'failed' | 'buried' | 'handedOn' | 'handedBack' | 'lost';

export interface WorkerParts {
  readonly registry: JobRegistry;
  readonly callbacks: CallbackChain;
  readonly retryLevels: readonly number[];
  readonly maxJobBytes: number;
  readonly log: RogerLog;
  /** A log for one job's handler. */
  readonly logFor: (job: Job) => RogerLog;
}

export class Worker {
  constructor(private readonly parts: WorkerParts) {}

  /** Works a delivery through to its settlement. Never rejects. */
  async run(delivery: Delivery, run: Run): Promise<Outcome> {
    let job: Job;
    try {
      job = this.accept(delivery, run);
    } catch (error) {
      return this.bury(delivery, run, error as RogerError);
    }
    const registered = this.parts.registry.find(job.name);
    if (registered === undefined) return this.handOn(delivery, run, job);
    run.job = job;

    let args = job.args;
    if (registered.definition.argsClass !== undefined) {
      const checked = await this.check(registered, job);
      if ('error' in checked) return this.bury(delivery, run, checked.error, job);
      args = checked.args;
    }
    return this.perform(delivery, run, job, registered, args);
  }

  private async perform(
    delivery: Delivery,
    run: Run,
    job: Job,
    registered: RegisteredJob,
    args: unknown,
  ): Promise<Outcome> {
    const { callbacks } = this.parts;
    const context = new RunContext(job, run, this.parts.logFor);
    const states = callbacks.isEmpty ? undefined : await callbacks.beforeRun({ job, context });
    if (run.wasLost()) return this.refuse(run, job);
    let result: unknown;
    try {
      result = await registered.invoke(args, context);
    } catch (thrown) {
      return this.failed(delivery, run, job, registered, toError(thrown), states);
    }
    if (run.wasLost()) return this.refuse(run, job);
    if (states !== undefined) await callbacks.afterRun({ job, result }, states);
    delivery.settle({ kind: 'done' });
    return 'done';
  }

  private async failed(
    delivery: Delivery,
    run: Run,
    job: Job,
    { definition }: RegisteredJob,
    error: Error,
    states: CallbackStates | undefined,
  ): Promise<Outcome> {
    if (run.wasLost()) return this.refuse(run, job);
    if (run.abortReason !== undefined) {
      // It ended because it was told to, not because it failed: the attempt is not counted.
      delivery.settle({ kind: 'handBack' });
      return 'handedBack';
    }
    const next = afterFailure(definition, job, this.parts.retryLevels);
    this.logFailure(job, error, next);
    if (states !== undefined) await this.parts.callbacks.onError({ job, error, next }, states);
    switch (next.kind) {
      case 'retry': {
        // From the bytes, not from `job`: the handler had its args in hand and may have changed them.
        const untouched = decodeJob(delivery.body, this.parts.maxJobBytes);
        const body = encodeJob({ ...untouched, attempt: job.attempt + 1 });
        delivery.settle({ kind: 'retry', id: job.id, afterSeconds: next.afterSeconds, body });
        return 'retried';
      }
      case 'bury':
        return this.bury(delivery, run, error, job, states);
      case 'end':
        delivery.settle({ kind: 'done' });
        return 'failed';
    }
  }

  /** @throws MalformedJobError, MisroutedJobError */
  private accept(delivery: Delivery, run: Run): Job {
    const job = decodeJob(delivery.body, this.parts.maxJobBytes);
    const { partition, queue } = run.address;
    if (job.partition !== partition || job.queue !== queue) {
      throw new MisroutedJobError(`${job.partition}/${job.queue}`, `${partition}/${queue}`);
    }
    return job;
  }

  private async check(
    { definition }: RegisteredJob,
    job: Job,
  ): Promise<{ readonly args: object } | { readonly error: Error }> {
    const checked = await checkArgs(definition.argsClass ?? Object, job.args);
    return 'args' in checked ? checked : { error: new InvalidJobArgsError(job.name, checked.problems) };
  }

  /** Another node may know the name: a rolling deploy. Offered again for some minutes, then buried. */
  private async handOn(delivery: Delivery, run: Run, job: Job): Promise<Outcome> {
    const times = job.handedOn ?? 0;
    const afterSeconds = afterUnknown(times);
    if (afterSeconds === undefined)
      return this.bury(delivery, run, new UnknownJobError(job.name, times), job);
    if (times === 0) {
      this.parts.log.warn(
        `Job ${job.name} ${job.id} is not known on this node; it is handed on to others for some minutes`,
      );
    }
    const body = encodeJob({ ...job, handedOn: times + 1 });
    delivery.settle({ kind: 'retry', id: job.id, afterSeconds, body });
    return 'handedOn';
  }

  private async bury(
    delivery: Delivery,
    { address }: Run,
    error: Error,
    job?: Job,
    states?: CallbackStates,
  ): Promise<Outcome> {
    const who = job === undefined ? 'A message' : `Job ${job.name} ${job.id}`;
    this.parts.log.error(
      `${who} of ${address.partition}/${address.queue} is buried: ${oneLine(error.message)}`,
      error instanceof MalformedJobError ? undefined : error.stack,
    );
    if (!this.parts.callbacks.isEmpty) {
      await this.parts.callbacks.onBuried({ ...address, job, body: delivery.body, error }, states);
    }
    const reason = {
      type: 'code' in error && typeof error.code === 'string' ? error.code : error.name,
      message: error.message,
      ...(error.stack === undefined ? {} : { stack: error.stack }),
    };
    delivery.settle({ kind: 'bury', id: job?.id, reason });
    return 'buried';
  }

  private refuse(run: Run, job: Job): Outcome {
    this.parts.log.warn(`Job ${job.name} ${job.id}: ${run.abortReason?.message ?? 'its delivery was lost'}`);
    return 'lost';
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

  constructor(
    readonly job: Job,
    private readonly run: Run,
    private readonly logFor: (job: Job) => RogerLog,
  ) {}

  get attempt(): number {
    return this.job.attempt;
  }

  get signal(): AbortSignal {
    return this.run.signal;
  }

  get logger(): RogerLog {
    return (this.log ??= this.logFor(this.job));
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`the handler threw ${describe(thrown)}, which is no Error`);
}
