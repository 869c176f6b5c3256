// The producer's side: makes jobs, checks them, and puts them into their queues.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { v7 as uuidByTime } from 'uuid';
import { checkArgs } from '../job/args-validation';
import { dueTimeOf, problemOfDelayMs, problemOfRunAt, secondsUntil } from '../job/delays';
import type { DefinitionGates } from '../job/definition-gates';
import type { Problem } from '../job/errors';
import {
  EnqueueBufferFullError,
  InvalidEnqueueOptionsError,
  InvalidJobArgsError,
  JobResultUnavailableError,
  JobTooLargeError,
  NotAJobClassError,
  QueueNotFoundError,
  show,
} from '../job/errors';
import type { Job } from '../job/job';
import { encodeNewJob } from '../job/job-codec';
import type { Class, JobArgs, JobClass, JobDefinition, ResultOf } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import { problemsOfJson } from '../job/json-args';
import { describe, problemOfJobId, problemOfPartitionId, problemOfQueueName } from '../job/names';
import { isOfLedger, keysOf, queueOf } from '../job/keys';
import { problemOfExecutionTime } from '../job/execution-time';
import { firstLaneOf, homeLaneOf, problemOfPriority } from '../job/lanes';
import { nearest } from '../job/nearest';
import { problemOfMaxRetries } from '../job/retry-levels';
import type { Ledgers } from '../ledger/ledgers';
import type { AwaitedJobs, FinishedOptions } from '../reports/awaited-jobs';
import type { JobRecorders } from '../reports/job-recorders';
import type { OutgoingJob, Transport, WhenFull } from '../transport';
import type { EnqueueManyResult } from './batch';
import { Batch } from './batch';
import { DelayedEnqueue } from './delayed-enqueue';
import { KeyedEnqueue } from './keyed-enqueue';
import type { ConfiguredQueues } from './known-queues';
import { KnownQueues } from './known-queues';

/** Where a job goes, and under which id. */
export interface EnqueueOptions {
  /** The tenant. May be left out where exactly one partition is configured. */
  partition?: string;
  /** The queue within the partition. @default the definition's */
  queue?: string;
  /**
   * 1 to 128 printable ASCII characters. Give one to be able to enqueue again after a doubtful error; Roger doesn't
   * check that it is new. A job with a key counts as enqueued already while one with a key and its id exists in the
   * partition.
   * @default a UUID by time (version 7): what keeps jobs by their ids, as the history does, keeps them in order
   */
  id?: string;
  /**
   * In how many ms the job is due, up to eight and a half years. It is kept by the broker until then, with a precision of a
   * second (two, beyond an hour), and at most a quarter of a second too early. Up to a quarter of a second is at once, up to a second is one.
   * @default 0
   */
  delayMs?: number;
  /**
   * The same as a time: a Date, or ms since the epoch. One in the past is at once. Not together with `delayMs`.
   * @default now
   */
  runAt?: Date | number;
  /**
   * Whether it is held from the beginning: it doesn't run until `GlobalStateService.release` lets it go, and with
   * `delayMs` or `runAt` not before its time either. It goes by the ledger of its partition, keys or none. Not for `create`.
   * @default false
   */
  held?: boolean;
  /**
   * 0 to 9: the job goes before all of its queue with a lower one, on whatever node; those of one go in the order of
   * their enqueueing. What runs is not interrupted, and a lane of lower priority gets every hundredth worker or so while
   * it waits. Among jobs of one execution key it changes nothing: their order is that of enqueueing. The first job of a
   * priority makes a queue on the broker, and needs the right to.
   * @default the definition's, or 0
   */
  priority?: number;
  /**
   * Whether the job goes before all others of its queue, whatever their priority. It takes no worker from anything that
   * runs, and when it is retried it goes by its priority. Not together with a delay. @default false
   */
  runNow?: boolean;
  /** Seconds that an attempt of this job may run, more than 0. @default the definition's, or the module's */
  maxExecutionTimeSeconds?: number;
  /**
   * How often this job is tried again at most, whatever its definition or handler says; 0: one attempt only. More than
   * there are retry levels: the last one is used again. After the last retry it is buried. A job that is not retryable
   * ends with its first failure all the same. At most 10000.
   * @default as many as there are levels
   */
  maxRetries?: number;
  /**
   * Whether the result has `finished`, which waits for the end of the job and gives what `perform` returned. For
   * `enqueue` of a class only. @default false
   */
  awaitable?: boolean;
}

/** What `enqueue` did. A job without a queue key is always enqueued. */
export type EnqueueResult<Args = unknown> =
  | { readonly status: 'enqueued'; readonly job: Job<Args> }
  /** A job with the same queue key exists: `job` was not enqueued. */
  | { readonly status: 'duplicate'; readonly job: Job<Args>; readonly existingJobId: string };

/** The same for a job under `awaitable: true`. */
export type AwaitableEnqueueResult<Args = unknown, Result = unknown> = EnqueueResult<Args> & {
  /**
   * Waits for the job's end, over all its attempts, on whatever node, and resolves to what `perform` returned, as it
   * comes out of JSON. May be called more than once, and later: for an hour the end is noted while nobody waits (for the
   * last 10000 such jobs of a process). With the process the handle is gone; the job is not.
   *
   * A job that is purged has no end that could be told, and the news of an end may get lost: the wait ends with its time.
   * @throws JobFailedError (failed for good, or buried), JobCancelledError, JobNotFinishedError when the time is over (the
   * job goes on), JobResultUnavailableError (what `perform` returned is no plain JSON or over 256 KiB, or the job is a
   * `duplicate`), InvalidArgumentError, RogerClosedError, and the reason of `signal`.
   */
  readonly finished: (options: FinishedOptions) => Promise<Result>;
};

type Finished = AwaitableEnqueueResult<never, never>['finished'];

/** A job that may go out, but for the check of its args. */
interface PreparedJob {
  readonly job: Job;
  readonly body: Buffer;
  readonly argsClass: JobDefinition['argsClass'];
  /** Why it is to be held from the beginning; undefined: it isn't. */
  readonly heldWhy?: string | undefined;
}

export interface JobQueueParts {
  readonly registry: JobRegistry;
  readonly transport: Transport;
  readonly gates: Pick<DefinitionGates, 'refuseInactive'>;
  readonly ledgers: Pick<Ledgers, 'enqueue' | 'keepCancels'>;
  readonly awaited: Pick<AwaitedJobs, 'expect'>;
  readonly configured: ConfiguredQueues;
  readonly maxJobBytes: number;
  /** Who keeps a record of jobs. */
  readonly recorders?: JobRecorders | undefined;
}

const OPTION_NAMES: Record<keyof EnqueueOptions, true> = {
  partition: true,
  queue: true,
  id: true,
  delayMs: true,
  runAt: true,
  held: true,
  priority: true,
  runNow: true,
  maxExecutionTimeSeconds: true,
  maxRetries: true,
  awaitable: true,
};

/**
 * Enqueues jobs. Inject it wherever work arises.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobQueue, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Greet {
 *   perform(args: { name: string }): void {
 *     console.log(`Hello ${args.name}`);
 *   }
 * }
 *
 * \@Injectable()
 * export class SignUp {
 *   constructor(private readonly jobs: JobQueue) {}
 *
 *   async run(name: string): Promise<string> {
 *     const { job } = await this.jobs.enqueue(Greet, { name }, { partition: 'acme' });
 *     return job.id;
 *   }
 * }
 * ```
 */
export class JobQueue {
  private readonly keyed: KeyedEnqueue;
  private readonly delayed: DelayedEnqueue;

  /** @internal */
  constructor(private readonly parts: JobQueueParts) {
    const queues = new KnownQueues(parts.transport, (address) => parts.configured.has(address));
    this.keyed = new KeyedEnqueue(queues, parts.ledgers);
    this.delayed = new DelayedEnqueue(queues, parts.ledgers);
  }

  /**
   * Makes a job without enqueueing it, for {@link enqueue} or {@link enqueueMany}.
   * @throws InvalidJobArgsError when the args are not plain JSON, InvalidEnqueueOptionsError, NotAJobClassError,
   * JobDefinitionInactiveError
   */
  create<J extends JobClass>(
    jobClass: J,
    args: JobArgs<J>,
    options: Omit<EnqueueOptions, 'awaitable' | 'held'> = {},
  ): Job<JobArgs<J>> {
    this.parts.gates.refuseInactive(this.parts.registry.definitionOf(jobClass).name);
    return this.template(jobClass, args, options);
  }

  /** @internal What recurs is declared though its definition is off: a tick's job is held then. */
  template<J extends JobClass>(
    jobClass: J,
    args: JobArgs<J>,
    options: Omit<EnqueueOptions, 'awaitable' | 'held'>,
  ): Job<JobArgs<J>> {
    const definition = this.parts.registry.definitionOf(jobClass);
    const problems = problemsOfJson(args);
    if (problems.length > 0) throw new InvalidJobArgsError(definition.name, problems);
    // Or a misspelt partition would read as one left out.
    if (options.partition === undefined) refuseProblems(problemsOfNames(options));
    const queuedAt = Date.now();
    refuseProblems(problemsOfDelay(options, queuedAt));
    refuseProblems(problemsOfCall(options));
    const job: Job<JobArgs<J>> = {
      id: options.id ?? uuidByTime(),
      name: definition.name,
      partition: options.partition ?? this.onlyPartition(),
      queue: options.queue ?? queueOf(definition, args),
      ...keysOf(definition, args),
      ...callOptionsOf({ ...options, priority: options.priority ?? definition.priority ?? 0 }),
      args,
      attempt: 1,
      queuedAt,
      ...dueAt(dueTimeOf(options, queuedAt)),
    };
    refuseProblems(problemsOfOptions(options, job));
    return job;
  }

  /**
   * Checks args as {@link enqueue} would: whether they are plain JSON, pass the definition's DTO, and are not too large.
   * Enqueues nothing and asks nobody. Resolves to what is wrong, field by field; empty: they are fine.
   * @throws NotAJobClassError
   *
   * @example
   * ```ts
   * import { IsEmail } from 'class-validator';
   * import { JobQueue, RogerJob } from 'nestjs-roger';
   *
   * class Address {
   *   \@IsEmail() address!: string;
   * }
   *
   * \@RogerJob({ args: Address })
   * class Invite {
   *   perform(args: Address): void {
   *     console.log(args.address);
   *   }
   * }
   *
   * export async function problemsWith(jobs: JobQueue, address: string): Promise<string[]> {
   *   const problems = await jobs.validate(Invite, { address });
   *   return problems.map(({ path, message }) => `${path}: ${message}`);
   * }
   * ```
   */
  async validate<J extends JobClass>(jobClass: J, args: JobArgs<J>): Promise<readonly Problem[]>;
  async validate(jobClass: JobClass, args: unknown): Promise<readonly Problem[]> {
    const { registry, maxJobBytes } = this.parts;
    const { argsClass } = registry.definitionOf(jobClass);
    const problems = problemsOfJson(args);
    if (problems.length > 0) return problems;
    const bytes = Buffer.byteLength(JSON.stringify(args));
    if (bytes > maxJobBytes) {
      return [
        { path: '', message: `they have ${bytes} bytes, and a job at most ${maxJobBytes} (maxJobBytes)` },
      ];
    }
    if (argsClass === undefined) return [];
    const checked = await checkArgs(argsClass, args);
    return 'problems' in checked ? checked.problems : [];
  }

  /**
   * Puts a job into its queue. Resolves when the broker has it safely: from then on it runs at least once, or stands
   * where an operator can see it with the reason.
   *
   * With a queue key that another job has, it is not enqueued: `duplicate`, and the id of the other.
   *
   * A job given whole (made by {@link create}, or met in a callback) begins anew: with its first attempt, queued now, due
   * at its `runAt`. Of the options it takes `held`.
   *
   * With `awaitable: true` the result has `finished`, by which the end of the job can be awaited. The first such call of a
   * process opens its mailbox.
   *
   * When the broker is away, waits up to `enqueueTimeoutMs` for it to come back (a job with a key, `ledgerTimeoutMs`).
   * @throws InvalidJobArgsError (lists each wrong field), InvalidEnqueueOptionsError, JobTooLargeError,
   * NotAJobClassError, InvalidJobDefinitionError, JobDefinitionInactiveError, QueueNotFoundError, QueueFullError, BrokerUnavailableError,
   * BrokerBlockedError, EnqueueBufferFullError, RogerClosedError; for a job with a key, or `held`, LedgerUnavailableError,
   * LedgerFullError and LedgerShardsMismatchError. Nothing was enqueued, except where `maybeEnqueued` on the error is
   * true.
   */
  enqueue<J extends JobClass>(
    jobClass: J,
    args: JobArgs<J>,
    options: EnqueueOptions & { readonly awaitable: true },
  ): Promise<AwaitableEnqueueResult<JobArgs<J>, ResultOf<J>>>;
  enqueue<J extends JobClass>(
    jobClass: J,
    args: JobArgs<J>,
    options?: EnqueueOptions,
  ): Promise<EnqueueResult<JobArgs<J>>>;
  enqueue<Args>(
    job: Job<Args>,
    args?: undefined,
    options?: Pick<EnqueueOptions, 'held'>,
  ): Promise<EnqueueResult<Args>>;
  async enqueue(
    jobOrClass: Job | JobClass,
    args?: unknown,
    options?: EnqueueOptions,
  ): Promise<AwaitableEnqueueResult<never, never>> {
    type Any = AwaitableEnqueueResult<never, never>;
    if (options?.awaitable === undefined) {
      return (await this.enqueueOne(this.prepare(jobOrClass, args, options))) as Any;
    }
    const { awaitable, ...others } = options;
    if (typeof awaitable !== 'boolean') {
      refuseProblems([{ path: 'awaitable', message: `${describe(awaitable)} is not true or false` }]);
    }
    const prepared = this.prepare(jobOrClass, args, others);
    return awaitable ? this.enqueueAwaitable(prepared) : ((await this.enqueueOne(prepared)) as Any);
  }

  private async enqueueAwaitable({
    job,
    argsClass,
    heldWhy,
  }: PreparedJob): Promise<AwaitableEnqueueResult<never, never>> {
    const { replyTo, ready, finished, forget } = this.parts.awaited.expect(job.id);
    try {
      const prepared = { ...this.encoded({ ...job, replyTo }, undefined), heldWhy };
      // Before a mailbox is opened for nothing.
      if (argsClass !== undefined) await refuseWrongArgs(job, argsClass);
      await ready();
      const result = await this.enqueueOne(prepared);
      if (result.status === 'enqueued') return { ...result, finished: finished as Finished };
      forget();
      const problem = `it was not enqueued, for job ${show(result.existingJobId)} has its queue key`;
      const refuse = (): Promise<never> => Promise.reject(new JobResultUnavailableError(job.id, problem));
      return { ...result, finished: refuse };
    } catch (error) {
      // It may be enqueued all the same, but nobody has got a handle to it.
      forget();
      throw error;
    }
  }

  private async enqueueOne(prepared: PreparedJob): Promise<EnqueueResult<never>> {
    const { job, argsClass } = prepared;
    if (argsClass !== undefined) await refuseWrongArgs(job, argsClass);
    if (isOfLedger(job) || prepared.heldWhy !== undefined) {
      const existingJobId = await this.keyed.enqueue(job, prepared.body, prepared.heldWhy);
      const enqueued = { status: 'enqueued', job: job as Job<never> } as const;
      if (existingJobId !== undefined) return { ...enqueued, status: 'duplicate', existingJobId };
      this.parts.recorders?.enqueued(job, prepared.heldWhy);
      return enqueued;
    }
    await this.publish(prepared);
    return { status: 'enqueued', job: job as Job<never> };
  }

  /**
   * Enqueues many, at most 1000 (or 16 MiB) at a time on their way, so that a generator of millions takes little memory.
   * Waits by itself while `maxBufferedBytes` has no room, and leaves half of it to `enqueue`. Never throws for a single
   * job: each failure is reported with its index. While the broker stays away, the rest fails at once instead of waiting
   * `enqueueTimeoutMs` each.
   * @throws what the iterable itself throws, after the jobs before it are settled.
   *
   * @example
   * ```ts
   * import { JobQueue, RogerJob } from 'nestjs-roger';
   *
   * \@RogerJob()
   * class Digest {
   *   perform(args: { userId: number }): void {
   *     console.log(args.userId);
   *   }
   * }
   *
   * export async function everyone(jobs: JobQueue): Promise<number> {
   *   const result = await jobs.enqueueMany(Digest, [{ userId: 1 }, { userId: 2 }], { partition: 'acme' });
   *   for (const { index, error } of result.failures) console.error(index, error.message);
   *   return result.enqueued;
   * }
   * ```
   */
  async enqueueMany<J extends JobClass>(
    jobClass: J,
    args: Iterable<JobArgs<J>> | AsyncIterable<JobArgs<J>>,
    options?: Omit<EnqueueOptions, 'id' | 'awaitable'>,
  ): Promise<EnqueueManyResult>;
  async enqueueMany(jobs: Iterable<Job> | AsyncIterable<Job>): Promise<EnqueueManyResult>;
  async enqueueMany(
    jobsOrClass: Iterable<Job> | AsyncIterable<Job> | JobClass,
    args: Iterable<unknown> | AsyncIterable<unknown> = [],
    options?: EnqueueOptions,
  ): Promise<EnqueueManyResult> {
    const batch = new Batch();
    if (typeof jobsOrClass === 'function') {
      await this.drive(args, batch, (one) => this.prepare(jobsOrClass, one, options));
    } else {
      await this.drive(jobsOrClass, batch, (job) => this.prepare(job));
    }
    return batch.result();
  }

  private async drive<T>(
    items: Iterable<T> | AsyncIterable<T>,
    batch: Batch,
    prepare: (item: T) => PreparedJob,
  ): Promise<void> {
    const { transport } = this.parts;
    const mustWait = (): boolean =>
      batch.isFull || (!batch.isEmpty && (transport.isFull || batch.isAnyStandingBack));
    const pause = async (): Promise<void> => {
      if (batch.isTurnOver) await nextTurn();
      while (mustWait()) await batch.oneLess();
    };
    const step = (item: T): Promise<void> | undefined => {
      if (batch.outage !== undefined && transport.state !== 'connected') batch.failFast(batch.outage);
      else this.put(batch, () => prepare(item));
      return batch.isTurnOver || mustWait() ? pause() : undefined;
    };
    try {
      if (Symbol.iterator in items) {
        for (const item of items) {
          const pause = step(item);
          if (pause !== undefined) await pause;
        }
      } else {
        for await (const item of items) await step(item);
      }
    } finally {
      await batch.settled();
    }
  }

  private put(batch: Batch, prepare: () => PreparedJob): void {
    let prepared: PreparedJob;
    try {
      prepared = prepare();
    } catch (error) {
      batch.failFast(error as Error);
      return;
    }
    batch.add(prepared.body.length, this.send(prepared, batch));
  }

  private async send(prepared: PreparedJob, batch: Batch): Promise<string | undefined> {
    const { job, body, argsClass } = prepared;
    if (argsClass !== undefined) await refuseWrongArgs(job, argsClass);
    for (;;) {
      try {
        return await this.sendOnce(prepared);
      } catch (error) {
        if (!(error instanceof EnqueueBufferFullError)) throw error;
        // No room within the time limit. When the others of the batch have ended, there may be.
        if (body.length > error.maxBytes || !batch.hasOthersUnderWay) throw error;
        await batch.oneOtherLess();
      }
    }
  }

  private async sendOnce(prepared: PreparedJob): Promise<string | undefined> {
    const { job, body, heldWhy } = prepared;
    if (isOfLedger(job) || heldWhy !== undefined) {
      const existingJobId = await this.keyed.enqueue(job, body, heldWhy);
      if (existingJobId === undefined) this.parts.recorders?.enqueued(job, heldWhy);
      return existingJobId;
    }
    await this.publish(prepared, 'wait');
    return undefined;
  }

  private async publish(prepared: PreparedJob, whenFull?: WhenFull): Promise<void> {
    const { job } = prepared;
    const preparing = job.runAt === undefined ? undefined : this.delayed.prepare(job, job.runAt);
    if (preparing !== undefined) await preparing;
    const outgoing = outgoingOf(prepared);
    try {
      await this.parts.transport.publish(outgoing, whenFull);
    } catch (error) {
      await this.declareAndPublish(outgoing, error, whenFull);
    }
    this.parts.recorders?.enqueued(job);
  }

  /** @throws what `create` throws, JobTooLargeError */
  private prepare(jobOrClass: unknown, args?: unknown, options?: EnqueueOptions): PreparedJob {
    const { held, ...others } = options ?? {};
    if (held !== undefined && typeof held !== 'boolean')
      refuseProblems([{ path: 'held', message: `${describe(held)} is not true or false` }]);
    const job =
      typeof jobOrClass === 'function'
        ? this.create(jobOrClass as JobClass, args as JobArgs<JobClass>, others)
        : this.renew(jobOrClass as Job);
    const prepared = this.encoded(job, this.definitionNamed(job.name).argsClass);
    return held === true ? { ...prepared, heldWhy: HELD_BY_PRODUCER } : prepared;
  }

  /** @throws JobTooLargeError */
  private encoded(job: Job, argsClass: JobDefinition['argsClass']): PreparedJob {
    // Before anything is awaited: the args may be changed by their owner meanwhile.
    const body = encodeNewJob(job);
    if (body.length > this.parts.maxJobBytes) {
      throw new JobTooLargeError(job.name, body.length, this.parts.maxJobBytes);
    }
    return { job, body, argsClass };
  }

  /** The queue may be one that this app is meant to have: it was deleted, or no worker has been there before us. */
  private async declareAndPublish(job: OutgoingJob, error: unknown, whenFull?: WhenFull): Promise<void> {
    if (!(error instanceof QueueNotFoundError) || !this.parts.configured.has(job)) throw error;
    const { transport } = this.parts;
    await transport.declareQueue(job).catch(() => {
      throw error;
    });
    await transport.publish(job, whenFull);
  }

  private onlyPartition(): string {
    const { ids, only } = this.parts.configured;
    if (only !== undefined) return only;
    throw new InvalidEnqueueOptionsError([
      {
        path: 'partition',
        message:
          ids.length === 0
            ? 'no partition is configured here, so say which one: { partition }'
            : `say which one: { partition }; configured are ${someOf(ids)}`,
      },
    ]);
  }

  private definitionNamed(name: string): JobDefinition {
    const definition = this.parts.registry.definitionNamed(name);
    if (definition === undefined)
      throw new NotAJobClassError(typeof name === 'string' ? name : describe(name));
    return definition;
  }

  /** A job may have been changed, or made by hand, between `create` and `enqueue`; or it has been run before. */
  private renew(given: Job): Job {
    if (!isObject(given)) throw new NotAJobClassError(describe(given));
    const { id, name, partition, queue, args, priority, runNow, maxExecutionTimeSeconds, maxRetries } = given;
    const definition = this.definitionNamed(name);
    this.parts.gates.refuseInactive(name);
    const problems = problemsOfJson(args);
    if (problems.length > 0) throw new InvalidJobArgsError(name, problems);
    const keys = keysOf(definition, args);
    const queuedAt = Date.now();
    const delay = given.runAt === undefined ? {} : { runAt: given.runAt };
    refuseProblems(problemsOfDelay(delay, queuedAt));
    const due = dueAt(dueTimeOf(delay, queuedAt));
    // Undefined where it was left out, which is no wrong value.
    const call = { ...due, priority, runNow, maxExecutionTimeSeconds, maxRetries } as EnqueueOptions;
    refuseProblems(problemsOfCall(call));
    const job: Job = {
      ...{ id, name, partition, queue, ...keys, ...callOptionsOf(call), args },
      ...{ attempt: 1, queuedAt, ...due },
    };
    refuseProblems(problemsOfOptions({}, job));
    return job;
  }
}

async function refuseWrongArgs(job: Job, argsClass: Class): Promise<void> {
  const checked = await checkArgs(argsClass, job.args);
  if ('problems' in checked) throw new InvalidJobArgsError(job.name, checked.problems);
}

function outgoingOf({ job, body }: PreparedJob): OutgoingJob {
  const { id, partition, queue, runAt } = job;
  if (runAt === undefined) return { id, partition, queue, body, lane: firstLaneOf(job) };
  const afterSeconds = secondsUntil(runAt, Date.now());
  return { id, partition, queue, body, afterSeconds, lane: homeLaneOf(job) };
}

/** What a call says of its job only; what is left out, or as ever, doesn't go onto the wire. */
function callOptionsOf({
  priority = 0,
  runNow,
  maxExecutionTimeSeconds,
  maxRetries,
}: EnqueueOptions): Pick<Job, 'priority' | 'runNow' | 'maxExecutionTimeSeconds' | 'maxRetries'> {
  return {
    ...(priority === 0 ? {} : { priority }),
    ...(runNow === true ? { runNow } : {}),
    ...(maxExecutionTimeSeconds === undefined ? {} : { maxExecutionTimeSeconds }),
    ...(maxRetries === undefined ? {} : { maxRetries }),
  };
}

function problemsOfCall(options: EnqueueOptions): Problem[] {
  const { priority, runNow, maxExecutionTimeSeconds, maxRetries, delayMs, runAt } = options;
  if (priority === undefined && runNow === undefined && maxExecutionTimeSeconds === undefined) {
    if (maxRetries === undefined) return [];
  }
  const problems: Problem[] = [];
  const check = <T>(
    path: string,
    value: T | undefined,
    problemOf: (value: T) => string | undefined,
  ): void => {
    const message = value === undefined ? undefined : problemOf(value);
    if (message !== undefined) problems.push({ path, message });
  };
  check('priority', priority, problemOfPriority);
  check('runNow', runNow as unknown, (value) =>
    typeof value === 'boolean' ? undefined : `${describe(value)} is not true or false`,
  );
  check('maxExecutionTimeSeconds', maxExecutionTimeSeconds, problemOfExecutionTime);
  check('maxRetries', maxRetries, problemOfMaxRetries);
  if (runNow === true && (delayMs !== undefined || runAt !== undefined)) {
    problems.push({ path: 'runNow', message: 'say runNow, or when it is due, not both' });
  }
  return problems;
}

function dueAt(runAt: number | undefined): Pick<Job, 'runAt'> {
  return runAt === undefined ? {} : { runAt };
}

function problemsOfDelay({ delayMs, runAt }: EnqueueOptions, now: number): Problem[] {
  const problems: Problem[] = [];
  const check = (path: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ path, message });
  };
  if (delayMs !== undefined) check('delayMs', problemOfDelayMs(delayMs));
  if (runAt !== undefined) check('runAt', problemOfRunAt(runAt, now));
  if (delayMs !== undefined && runAt !== undefined) check('runAt', 'say delayMs or runAt, not both');
  return problems;
}

/** The options that there are none of. */
function problemsOfNames(options: EnqueueOptions): Problem[] {
  return Object.keys(options)
    .filter((key) => !Object.hasOwn(OPTION_NAMES, key))
    .map((key) => ({
      path: describe(key),
      message: `unknown option${nearest(key, Object.keys(OPTION_NAMES))}`,
    }));
}

function problemsOfOptions(options: EnqueueOptions, job: Job): Problem[] {
  const problems = problemsOfNames(options);
  if (options.held !== undefined) {
    problems.push({ path: 'held', message: 'only enqueue and enqueueMany of a job class take it' });
  }
  if (options.awaitable !== undefined) {
    problems.push({ path: 'awaitable', message: 'only enqueue of a job class takes it' });
  }
  const check = (path: string, message: string | undefined): void => {
    if (message !== undefined) problems.push({ path, message });
  };
  check('id', problemOfJobId(job.id));
  check('partition', problemOfPartitionId(job.partition));
  check('queue', problemOfQueueName(job.queue));
  return problems;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function refuseProblems(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new InvalidEnqueueOptionsError(problems);
}

function someOf(ids: readonly string[]): string {
  return ids.length > MANY
    ? `${ids.slice(0, MANY).join(', ')} and ${ids.length - MANY} more`
    : ids.join(', ');
}

const MANY = 10;
/** Why a job is held that was enqueued so. */
const HELD_BY_PRODUCER = 'producer';
