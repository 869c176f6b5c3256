// What holds for a partition on every node: keys, cancels, pauses.
import { checkArgument } from '../job/check-argument';
import { MalformedJobError } from '../job/errors';
import { isCount } from '../job/is-count';
import type { Job } from '../job/job';
import { encodeForLedger } from '../job/job-codec';
import { problemsOfJson } from '../job/json-args';
import { isOfLedger } from '../job/keys';
import type { QueueAddress } from '../job/names';
import { problemOfJobId, problemOfKey, problemOfPartitionId, problemOfQueueName } from '../job/names';
import type { Ledgers } from '../ledger/ledgers';
import type { CancelMet } from '../ledger/operation';
import type { JobRecorders } from '../reports/job-recorders';
import type { Transport } from '../transport';

/** What a cancel came to. */
export interface CancelResult {
  /**
   * Where it met the job: `waiting` in line for its execution key, `queued`, `delayed` (not due yet), `retrying` (between two attempts),
   * `running` (or granted to a worker, to be run next), `held`, or `unseen`: a job without keys that doesn't run at the moment,
   * or none at all.
   */
  readonly met: CancelMet;
  /** Nodes that did not say within 3 s that they know; empty when all do. They know before they run anything more. */
  readonly missing: readonly string[];
}

/** What a hold came to. */
export interface HoldResult {
  /**
   * `held`: it doesn't start until it is released. `running`: it had begun (or was about to), and goes on. `cancelled`: it
   * won't run anyway. `unknown`: a job with keys that isn't there (it has ended, or is buried), or one under whose id the
   * ledger holds another.
   */
  readonly outcome: 'held' | 'running' | 'cancelled' | 'unknown';
  /** Where it met the job, as with {@link CancelResult}; `held` when it was held already. */
  readonly met: CancelMet;
  /** Nodes that did not say within 3 s that they know; empty when all do. They know before they run anything more. */
  readonly missing: readonly string[];
}

/** What a release came to. */
export interface ReleaseResult {
  /** Whether the job was held. */
  readonly released: boolean;
  /** Where it was: `held`, or elsewhere and nothing has changed; `unseen`: the ledger doesn't know it. */
  readonly met: CancelMet;
}

/** A job that is held. */
export interface HeldJob {
  readonly id: string;
  readonly queue: string;
  /** As said by who holds it; `producer` when it was enqueued so, `definition:<name>` when its definition is off. */
  readonly why: string;
  /** Since when, in ms since the epoch. */
  readonly heldAt: number;
}

/** What a pause or resume came to. */
export interface PauseResult {
  /** Nodes that did not say within 3 s that they know; empty when all do. */
  readonly missing: readonly string[];
}

export interface GlobalStateParts {
  readonly transport: Transport;
  readonly ledgers: Ledgers;
  /** Reads a job's bytes. @throws MalformedJobError */
  readonly decode: (body: Buffer) => Job;
  /** Who keeps a record of jobs. */
  readonly recorders?: JobRecorders | undefined;
}

/**
 * Acts on a partition cluster-wide: what it does holds on every node, those that join later too, and outlives restarts.
 *
 * Every method asks the ledger of the partition and throws LedgerUnavailableError when that doesn't answer within
 * `ledgerTimeoutMs`, NotConnectedError when it can't even be learned whether there is one, LedgerShardsMismatchError, and
 * InvalidArgumentError for a name that is none. All are safe to repeat. A ledger that was never used is not made by a
 * question.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { GlobalStateService } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Desk {
 *   constructor(private readonly globalState: GlobalStateService) {}
 *
 *   async stopMail(): Promise<void> {
 *     await this.globalState.pauseQueue('acme', 'mail');
 *     const { met } = await this.globalState.cancelJob('acme', 'job-17', { reason: 'wrong address' });
 *     console.log(`The job was ${met}`);
 *   }
 * }
 * ```
 */
export class GlobalStateService {
  /** @internal */
  constructor(private readonly parts: GlobalStateParts) {}

  /**
   * Cancels a job, wherever it is. One that has not begun never does once this has resolved; one that runs sees
   * `context.signal` abort with JobCancelledError and the reason, and what it throws then ends it as cancelled (one that
   * ends well all the same counts as done). One that ignores its signal is left behind after `abortGraceMs`: it counts as
   * cancelled, and what it comes to is refused. `onCancel` is called by the worker that
   * meets it. Its keys are free at once,
   * those of a running job when it has ended.
   *
   * A job without keys is known by its id alone: the cancel waits for it up to a day.
   */
  async cancelJob(
    partition: string,
    jobId: string,
    { reason = '' }: { readonly reason?: string } = {},
  ): Promise<CancelResult> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('jobId', problemOfJobId(jobId));
    if (typeof reason !== 'string' || reason.length > MAX_REASON_LENGTH) {
      checkArgument('reason', `it must be a text of at most ${MAX_REASON_LENGTH} characters`);
    }
    return this.parts.ledgers.cancel(partition, jobId, reason);
  }

  /**
   * Holds a job: it doesn't start until it is released. One that runs goes on, which the result says. A held job has no
   * place in line for its execution key, and keeps its queue key; it counts towards `maxWaitingJobs`. To hold it again
   * changes the reason, and nothing else.
   *
   * The job is given whole, as it was enqueued or stands now (from `enqueue`, a callback, or a look into the queue): the
   * ledger of the partition keeps its bytes from now on, and sends those when it is released, from the attempt that it says. Of a job that the ledger
   * has the bytes of itself, those count.
   *
   * A job without keys is taken over by the ledger, which can't know whether there is one: give only one that is known to
   * wait. Its message stays where it is and is dropped by whoever meets it; it is known by its id and `queuedAt`, so that
   * what is enqueued anew under the id is another job, and runs.
   *
   * @param options.why said by {@link heldJobs}, and names those for {@link releaseAll}; up to 200 characters. @default 'operator'
   * @throws LedgerFullError, InvalidArgumentError also for a job that is none
   */
  async hold(job: Job, { why = HELD_BY_OPERATOR }: { readonly why?: string } = {}): Promise<HoldResult> {
    checkWhy(why);
    const { body, decoded } = this.bytesOf(job);
    const result = await this.parts.ledgers.holds.hold(decoded, body, why);
    if (result.outcome === 'held') this.parts.recorders?.held(decoded, why);
    return result;
  }

  /**
   * Takes back a {@link hold} by which the ledger took a job without keys over: it is as if it had not been held, and a copy
   * of it that stands in the queue runs. For who learns after the hold that the job was over. Any other hold stays.
   */
  async undoHold({ partition, id, queuedAt }: Pick<Job, 'partition' | 'id' | 'queuedAt'>): Promise<void> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('id', problemOfJobId(id));
    if (!isCount(queuedAt)) checkArgument('queuedAt', 'it must be a time in milliseconds');
    await this.ask(partition, undefined, async () => {
      await this.parts.ledgers.holds.undo({ partition, id, queuedAt });
    });
  }

  /**
   * Lets a held job go: it is sent as if it were enqueued now, behind those that wait in line for its execution key, and
   * when it is not due yet, at its time. Once: the second release finds it where it went.
   * @param options.now it runs before what waits in its queue and line, though it is not due; never beside the job that
   * runs under its execution key. @default false
   */
  async release(
    partition: string,
    jobId: string,
    { now = false }: { readonly now?: boolean } = {},
  ): Promise<ReleaseResult> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('jobId', problemOfJobId(jobId));
    if (typeof now !== 'boolean') checkArgument('now', 'it must be true or false');
    return this.ask(partition, { released: false, met: 'unseen' }, async () => {
      const at = Date.now();
      const met = await this.parts.ledgers.holds.release(partition, jobId, now);
      const released = met === 'held';
      if (released) this.parts.recorders?.released({ partition, jobId, isNow: now }, at);
      return { released, met };
    });
  }

  /**
   * Releases all jobs of the partition that are held for this reason, in the order in which they came to be held, some
   * hundreds at a time. When it fails in between, repeat it.
   * @returns how many were released.
   */
  async releaseAll(partition: string, why: string): Promise<number> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkWhy(why);
    return this.ask(partition, 0, async () => {
      const at = Date.now();
      const released = await this.parts.ledgers.holds.releaseAll(partition, why);
      if (released > 0) this.parts.recorders?.released({ partition, why }, at);
      return released;
    });
  }

  /**
   * The jobs of the partition that are held, those of the longest standing first for each reason.
   * @param options.why only those that are held for this reason
   * @param options.count so many at most, 1 to 10000. @default 100
   */
  async heldJobs(
    partition: string,
    { why, count = 100 }: { readonly why?: string; readonly count?: number } = {},
  ): Promise<HeldJob[]> {
    checkArgument('partition', problemOfPartitionId(partition));
    if (why !== undefined) checkWhy(why);
    if (!isCount(count) || count < 1 || count > MAX_HELD_JOBS)
      checkArgument('count', `it must be a whole number from 1 to ${MAX_HELD_JOBS}`);
    return this.ask(partition, [], async () => {
      const rows = await this.parts.ledgers.holds.held(partition, why, count);
      return rows.map(([id, queue, reason, heldAt]) => ({ id, queue, why: reason, heldAt }));
    });
  }

  /** Whether the job is held. */
  async isHeld(partition: string, jobId: string): Promise<boolean> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('jobId', problemOfJobId(jobId));
    return this.ask(partition, false, async () => {
      return (await this.parts.ledgers.holds.heldWhy(partition, jobId)) !== undefined;
    });
  }

  /** Whether the job was cancelled and has not been met since. */
  async isCancelled(partition: string, jobId: string): Promise<boolean> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('jobId', problemOfJobId(jobId));
    return this.ask(partition, false, () =>
      this.parts.ledgers.question({ op: 'is cancelled', partition, id: jobId }, ({ yes }) => yes === true),
    );
  }

  /**
   * No node begins a job of the queue any more; those that run end normally. Within 500 ms on every node that is well,
   * and, when it resolves, on all but those in `missing`.
   */
  async pauseQueue(partition: string, queue: string): Promise<PauseResult> {
    checkQueue({ partition, queue });
    return { missing: await this.parts.ledgers.setPaused({ partition, queue }, true) };
  }

  /** Undoes {@link pauseQueue}. What a node has paused for itself stays paused there. */
  async resumeQueue(partition: string, queue: string): Promise<PauseResult> {
    checkQueue({ partition, queue });
    return this.ask(partition, { missing: [] }, async () => ({
      missing: await this.parts.ledgers.setPaused({ partition, queue }, false),
    }));
  }

  /** The queues of the partition that are paused on all nodes. */
  async pausedQueues(partition: string): Promise<string[]> {
    checkArgument('partition', problemOfPartitionId(partition));
    return this.ask(partition, [], () =>
      this.parts.ledgers.question({ op: 'paused', partition }, ({ queues }) => queues as string[]),
    );
  }

  /** The id of the job that has this queue key; undefined when there is none. */
  async isQueued(partition: string, queueKey: string): Promise<string | undefined> {
    return this.askOfKey('is queued', partition, queueKey);
  }

  /** The id of the job that runs under this execution key; undefined when none does. */
  async isExecuting(partition: string, executionKey: string): Promise<string | undefined> {
    return this.askOfKey('is executing', partition, executionKey);
  }

  /**
   * Frees a queue key whatever has it: a repair for an operator who knows that the job is gone. The job itself stays;
   * if it does run after all, there may be two of its key at a time.
   * @returns the id of the job that had it; undefined when it was free.
   */
  async removeQueued(partition: string, queueKey: string): Promise<string | undefined> {
    return this.askOfKey('remove queued', partition, queueKey);
  }

  /**
   * Gives the turn of an execution key to the next in line, whoever has it: a repair for an operator who knows that the
   * run is gone. If it does go on after all, two jobs of the key run at a time; only their fences tell them apart.
   * @returns the id of the job that had the turn; undefined when nobody had.
   */
  async removeExecuted(partition: string, executionKey: string): Promise<string | undefined> {
    return this.askOfKey('remove executed', partition, executionKey);
  }

  /**
   * Removes all jobs that stand in a queue, or wait in line for their execution key, and are with no worker; running,
   * retrying and buried ones stay. The keys of the removed are free. They are gone for good, and no callback is told.
   * @returns how many were removed.
   * @throws QueueNotFoundError, NotConnectedError, BrokerRefusedError
   */
  async purge(partition: string, queue: string): Promise<number> {
    checkQueue({ partition, queue });
    const { transport, ledgers } = this.parts;
    if (!(await ledgers.isUsed(partition))) {
      const count = await transport.purge({ partition, queue });
      this.parts.recorders?.purged({ partition, queue });
      return count;
    }
    const waiting = await ledgers.question({ op: 'purge waiting', partition, queue }, ({ removed }) =>
      Number(removed),
    );
    const removed = await transport.purge({ partition, queue }, (bodies) => this.freeKeys(bodies));
    this.parts.recorders?.purged({ partition, queue });
    return waiting + removed;
  }

  /** What a caller hands in may be no job. */
  private bytesOf(job: Job): { readonly body: Buffer; readonly decoded: Job } {
    const [problem] = isObject(job) ? problemsOfJson(job.args, 'job.args') : [NO_JOB];
    if (problem !== undefined) checkArgument(problem.path, problem.message);
    const body = encodeForLedger(job);
    try {
      return { body, decoded: { ...this.parts.decode(body), ...ledgerOf(job) } };
    } catch (error) {
      if (!(error instanceof MalformedJobError)) throw error;
      checkArgument('job', error.message);
      throw error;
    }
  }

  private async freeKeys(bodies: readonly Buffer[]): Promise<void> {
    const keyed = bodies.flatMap((body) => {
      try {
        const job = this.parts.decode(body);
        return isOfLedger(job) ? [job] : [];
      } catch {
        // What is no job has no keys.
        return [];
      }
    });
    await this.parts.ledgers.discard(keyed);
  }

  private async askOfKey(
    op: 'is queued' | 'is executing' | 'remove queued' | 'remove executed',
    partition: string,
    key: string,
  ): Promise<string | undefined> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('key', problemOfKey(key));
    return this.ask(partition, undefined, () =>
      this.parts.ledgers.question({ op, partition, key }, ({ job }) => job as string | undefined),
    );
  }

  /** A ledger that nobody has ever used is not made by asking. */
  private async ask<T>(partition: string, unused: T, question: () => Promise<T>): Promise<T> {
    return (await this.parts.ledgers.isUsed(partition)) ? question() : unused;
  }
}

const MAX_REASON_LENGTH = 1_000;
const MAX_WHY_LENGTH = 200;
const MAX_HELD_JOBS = 10_000;
/** Why a job is held when nothing is said. */
const HELD_BY_OPERATOR = 'operator';
const NO_JOB = { path: 'job', message: 'it must be a job, as `create` and `enqueue` give them' };

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** A ledger has sent it, so that it knows the job, keys or none. */
function ledgerOf({ ledger }: Job): Pick<Job, 'ledger'> {
  return ledger === undefined ? {} : { ledger };
}

function checkWhy(why: string): void {
  const isFine = typeof why === 'string' && why.length > 0 && why.length <= MAX_WHY_LENGTH;
  if (!isFine) checkArgument('why', `it must be a text of 1 to ${MAX_WHY_LENGTH} characters`);
}

function checkQueue({ partition, queue }: QueueAddress): void {
  checkArgument('partition', problemOfPartitionId(partition));
  checkArgument('queue', problemOfQueueName(queue));
}
