// What an app says of a job under @RogerJob, and what Roger makes of it.
import type { Job } from './job';
import type { RogerLog } from './log';

/** Anything with a constructor. */
export type Class<T = object> = abstract new (...args: never[]) => T;

/**
 * What a class under `@RogerJob` implements.
 *
 * @example
 * ```ts
 * import { JobHandler, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Resize implements JobHandler<{ imageId: string }> {
 *   async perform(args: { imageId: string }): Promise<string> {
 *     return `resized ${args.imageId}`;
 *   }
 * }
 * ```
 */
export interface JobHandler<Args = unknown, Result = unknown> {
  /**
   * Runs the job once. A promise that rejects (or a throw) fails the attempt: it is retried or buried as the
   * definition's `retryable` says. Runs at least once per enqueued job, so make it harmless to run twice.
   */
  perform(args: Args, context: JobContext): Promise<Result> | Result;
}

/** What a running job may know and use besides its args. */
export interface JobContext {
  readonly job: Job;
  /** 1 for the first run, 2 for the first retry, and so on. */
  readonly attempt: number;
  /**
   * Grows with every grant to run a job with a key (jobs of one execution key that are granted together share one):
   * write it beside what the job changes, and refuse writes with a smaller one, and a run that was given up while its
   * process hung can do no harm. Undefined for a job without keys, unless it is of a tick of a recurring job.
   */
  readonly fence: number | undefined;
  /**
   * Aborted when the run should end early: the job was cancelled ({@link JobCancelledError}), it ran longer than it may
   * ({@link JobTimeoutError}), its delivery was lost ({@link DeliveryLostError}) or the node shuts down and the time to
   * finish is over ({@link ShutdownError}). A run that still ends well within `abortGraceMs` counts; after that it is
   * left behind: the job is settled as cancelled, failed or given back, its worker takes another, and what the run comes
   * to is refused. So is what a run comes to after its delivery was lost.
   */
  readonly signal: AbortSignal;
  /**
   * Tells how far the job is: a percentage from 0 to 100, or any plain JSON of at most 4 KiB. Seen by
   * `NodeInfoService.runningJobs` here, and by `InfoService.onProgress` and `InfoService.progress` on every node. Nothing
   * is sent while nobody watches the job, and at most 10 times per second while somebody does; the last one always is.
   * A new attempt begins without any.
   * @throws InvalidArgumentError
   */
  progress(value: unknown): void;
  /** Writes to the app's log with the job's name and id before each line. */
  readonly logger: RogerLog;
}

/** A job class: a provider with a `perform` method. */
export type JobClass<Handler extends JobHandler<never> = JobHandler<never>> = Class<Handler>;

/** The type of the first parameter of a job class's `perform`. */
export type ArgsOf<J extends JobClass> =
  InstanceType<J> extends { perform(args: infer Args, ...rest: never[]): unknown } ? Args : never;

/** What may be enqueued for a `perform` that takes `T`: the same, with a string where a `Date` is (JSON has none). */
export type JsonOf<T> = T extends Date
  ? string
  : T extends readonly (infer Element)[]
    ? readonly JsonOf<Element>[]
    : T extends object
      ? { readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: JsonOf<T[K]> }
      : T;

/** What `enqueue` takes as the args of a job class. A job whose `perform` takes none is given `{}` or `null`. */
export type JobArgs<J extends JobClass> =
  unknown extends ArgsOf<J> ? object | string | number | boolean | null : JsonOf<ArgsOf<J>>;

/** What comes of awaiting a job of this class: what its `perform` returns, as it comes out of JSON. */
export type ResultOf<J extends JobClass> =
  InstanceType<J> extends { perform(...args: never[]): infer Result } ? JsonOf<Awaited<Result>> : never;

/** How often and when a failed attempt is followed by another: the n-th retry comes after the n-th level, in whole seconds. */
export interface RetryLevels {
  readonly levels: readonly number[];
  /**
   * Spreads the retries of jobs that failed together: each comes back a random part of half its level earlier or later.
   * True: by all of that half; false: by nothing; left out: as the module's `retryJitter` says.
   */
  readonly jitter?: boolean;
}

/**
 * Says after each failed attempt (1, 2, …) whether there is another: `false`: the job is over, as if it were not
 * retryable; `true`: after the next level of the queue or the module, buried when none is left; `{ delayMs }`: after that
 * long, for as many attempts as it says so (see {@link RetryJob} for the grain of the delay). It must answer at once. One
 * that throws, or answers something else, is logged and counts as `true`. It isn't asked where the handler threw a
 * {@link RetryJob} or another verdict.
 */
export type RetryRule = (error: Error, attempt: number) => boolean | { readonly delayMs: number };

/** What `@RogerJob` takes. */
export interface JobOptions<Args = never> {
  /**
   * The job's name on the wire. Give one that outlives a renaming of the class: jobs that wait under the old name are
   * unknown to the new code.
   * @default the class name
   */
  name?: string;
  /** What people call the job, in lists and dashboards: 1 to 200 characters. @default none (its name is shown) */
  title?: string;
  /** Where it stands in such a list: a whole number, lower ones first; equal ones by name. @default 0 */
  order?: number;
  /** The queue within the partition, or how to find it from the args. @default 'default' */
  queue?: string | ((args: Args) => string);
  /**
   * A class with class-validator decorators. Args are checked against it at `enqueue` (nothing wrong is ever sent) and
   * again before the run, where `perform` gets an instance of it.
   */
  args?: Class<Args extends object ? Args : object>;
  /**
   * At most one job with the same queue key exists in a partition: while one is queued, waiting, running or retrying,
   * `enqueue` of another answers `duplicate` with the id of the first. The key is free when that one is done, failed for
   * good, buried, cancelled or purged. A function of the args as `enqueue` was given them, or one key for all; `undefined`: no key.
   * 1 to 512 characters.
   * @default none
   */
  queueKey?: string | ((args: Args) => string | undefined);
  /**
   * Jobs with the same execution key run one after the other within their partition, in the order of their enqueueing,
   * on whatever node and queue; jobs of other keys are not held up. While a failed one waits for its retry the next has
   * its turn. A function of the args as `enqueue` was given them, or one key for all; `undefined`: no key. 1 to 512
   * characters.
   * @default none
   */
  executionKey?: string | ((args: Args) => string | undefined);
  /**
   * Whether a failed attempt is followed by another: `true` after the `retryLevels` of the queue or, where it has none, of
   * the module; `{ levels }` after its own (whole seconds; with `jitter: true` spread by up to half). After the last level
   * the job is buried. `false`: a failure is reported and the job is over. A function `(error, attempt)` decides each
   * time: `true`, `false` or `{ delayMs }`.
   * @default true
   */
  retryable?: boolean | RetryLevels | RetryRule;
  /**
   * 0 to 9: a job of a higher one goes before all of its queue with a lower one, on whatever node; those of one go in
   * the order of their enqueueing. `enqueue` can say another for one job.
   * @default 0
   */
  priority?: number;
  /**
   * Seconds that an attempt may run, more than 0. At the limit `context.signal` aborts with {@link JobTimeoutError}; a
   * handler that doesn't heed it is left behind after `abortGraceMs`. Either way the attempt has failed.
   * @default the module's `maxExecutionTimeSeconds`
   */
  maxExecutionTimeSeconds?: number;
  /**
   * `'thread'`: `perform` runs in a worker thread, which has the app's providers of its own (see the module's `threads`).
   * Whatever it does there harms no other job: it may block, run out of memory or exit, and when it doesn't end within
   * `abortGraceMs` of its abort the thread is ended. Args and result are copied.
   * @default none (it runs among the others, in the process)
   */
  isolation?: 'thread';
  /**
   * The module instance (see `forRoot({ name })`) that this job belongs to. An app that runs the job must have it.
   * @default the unnamed one
   */
  instance?: string;
}

/** A job definition as the rest of Roger reads it. Every node that has the class knows it, whether it runs it or not. */
export interface JobDefinition {
  readonly name: string;
  /** What people call it; undefined: its name. */
  readonly title?: string | undefined;
  /** Where it stands in a list; undefined: 0. */
  readonly order?: number | undefined;
  /** The class under `@RogerJob`. */
  readonly jobClass: JobClass;
  readonly queue: string | ((args: never) => unknown);
  readonly argsClass: Class | undefined;
  readonly queueKey?: string | ((args: never) => unknown) | undefined;
  readonly executionKey?: string | ((args: never) => unknown) | undefined;
  /** Of its jobs, where `enqueue` doesn't say another; undefined: 0. */
  readonly priority?: number | undefined;
  /** Whether a failed attempt is followed by another, or buried after the last one. False: a failure ends the job. */
  readonly retryable: boolean;
  /** Seconds to wait before each retry; undefined: the queue's, or the module's. */
  readonly retryLevels: readonly number[] | undefined;
  /** Whether the levels are spread; undefined: as the module says. */
  readonly retryJitter?: boolean | undefined;
  /** Asked after each failure. */
  readonly retryRule?: RetryRule | undefined;
  /** Seconds that an attempt may run; undefined: as long as the module lets it. */
  readonly maxExecutionTimeSeconds?: number | undefined;
  /** Where it runs; undefined: in the process. */
  readonly isolation?: 'thread' | undefined;
}

/** A definition with the means to run it: finds or makes the handler, passes Nest's enhancers, calls `perform`. */
export interface RegisteredJob {
  readonly definition: JobDefinition;
  readonly invoke: (args: unknown, context: JobContext) => unknown;
  /** Runs it in a thread, and ends that when it must; `begun` is called when its time begins to count. */
  readonly invokeApart?: ((context: JobContext, begun: () => void) => Promise<unknown>) | undefined;
}
