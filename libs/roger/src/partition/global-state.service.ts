// What holds for a partition on every node: keys, cancels, pauses.
import { checkArgument } from '../job/check-argument';
import type { Job } from '../job/job';
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
   * `running` (or granted to a worker, to be run next), or `unseen`: a job without keys that doesn't run at the moment,
   * or none at all.
   */
  readonly met: CancelMet;
  /** Nodes that did not say within 3 s that they know; empty when all do. They know before they run anything more. */
  readonly missing: readonly string[];
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

function checkQueue({ partition, queue }: QueueAddress): void {
  checkArgument('partition', problemOfPartitionId(partition));
  checkArgument('queue', problemOfQueueName(queue));
}
