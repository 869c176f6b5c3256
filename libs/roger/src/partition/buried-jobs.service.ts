// What an operator does with buried jobs: looks at them, has them run again, removes them.
import type { JobQueue } from '../enqueue/job-queue';
import { checkArgument } from '../job/check-argument';
import {
  InvalidArgumentError,
  InvalidEnqueueOptionsError,
  InvalidJobArgsError,
  InvalidJobDefinitionError,
  JobTooLargeError,
  MalformedJobError,
  MisroutedJobError,
  NotAJobClassError,
} from '../job/errors';
import type { Job } from '../job/job';
import { problemOfPartitionId, problemOfQueueName, type QueueAddress } from '../job/names';
import type { Ledgers } from '../ledger/ledgers';
import type { BuriedMessage, BuriedReason, Transport } from '../transport';

/** A job in the list of the buried. */
export interface BuriedEntry {
  /** The job's; of what can't be read as a job, the message's. */
  readonly id: string;
  /** The job as it last ran: name, args, attempt, `queuedAt`, keys. Undefined when it can't be read as one. */
  readonly job: Job | undefined;
  /** What can't be read as a job, as it came. */
  readonly bytes: Buffer | undefined;
  /** Why it is here: the error's code or name, its message, its stack; `delivery_limit` when the broker has buried it. */
  readonly reason: BuriedReason;
  /** In ms since the epoch, by the clock of who buried it; undefined when that is not known. */
  readonly buriedAt: number | undefined;
}

/** Which of the buried jobs are meant. */
export type BuriedFilter = (entry: BuriedEntry) => boolean;

/** What became of a buried job that was to run again. */
export type RetryBuriedResult =
  | { readonly status: 'enqueued' }
  /** A job with the same queue key exists: it stays buried. */
  | { readonly status: 'duplicate'; readonly existingJobId: string }
  /** No such job is buried there, or somebody else has it in hand. */
  | { readonly status: 'notFound' };

/** What became of those that were to run again. */
export interface RetryAllBuriedResult {
  readonly enqueued: number;
  /** Those that stay buried because another job has their queue key. */
  readonly duplicates: readonly { readonly id: string; readonly existingJobId: string }[];
  /** Those that stay buried because they can't be enqueued. */
  readonly failures: readonly { readonly id: string; readonly error: Error }[];
  /** False: the broker or a ledger takes no jobs at the moment (the last of the failures says why), and the rest was left. */
  readonly isComplete: boolean;
}

export interface BuriedJobsParts {
  readonly transport: Pick<Transport, 'visitBuried'>;
  readonly jobs: Pick<JobQueue, 'enqueueMany'>;
  readonly ledgers: Pick<Ledgers, 'discard'>;
  /** Reads a job's bytes. @throws MalformedJobError */
  readonly decode: (body: Buffer) => Job;
}

/**
 * The jobs that failed for good, kept in a queue beside their own. Works from any process, a producer too; one that has
 * jobs run again must know their classes.
 *
 * Nothing is lost and nothing doubled when two operators work at once: whoever has a job in hand has it alone, and others
 * don't see it meanwhile (not in `list` either). A job that runs again is removed from the buried only when its queue has
 * it safely; if the process dies between the two, it is in both.
 *
 * Every method throws QueueNotFoundError when no worker has ever declared the queue, NotConnectedError,
 * BrokerRefusedError, and InvalidArgumentError for an argument that is none.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { BuriedJobs } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Cemetery {
 *   constructor(private readonly buried: BuriedJobs) {}
 *
 *   async afterTheOutage(): Promise<number> {
 *     for (const { id, job, reason } of await this.buried.list('acme', 'mail')) {
 *       console.log(id, job?.name ?? 'no job', reason.message);
 *     }
 *     const { enqueued } = await this.buried.retryAll('acme', 'mail', ({ reason }) => reason.type === 'ECONNREFUSED');
 *     return enqueued;
 *   }
 * }
 * ```
 */
export class BuriedJobs {
  /** @internal */
  constructor(private readonly parts: BuriedJobsParts) {}

  /** The oldest of them, at most `limit` (1 to 10 000). They stay where they are. */
  async list(
    partition: string,
    queue: string,
    { limit = 100 }: { readonly limit?: number } = {},
  ): Promise<BuriedEntry[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIST) {
      throw new InvalidArgumentError('limit', `it must be a whole number from 1 to ${MAX_LIST}`);
    }
    const entries: BuriedEntry[] = [];
    const look = (shown: ReadonlyMap<BuriedEntry, BuriedMessage>): boolean => {
      entries.push(...shown.keys());
      return false;
    };
    await this.visit({ partition, queue }, look, limit);
    return entries;
  }

  /**
   * Enqueues a buried job anew: with its first attempt, queued now, under its old id, and keys from its args. The oldest,
   * when there are several of that id.
   * @throws what `JobQueue.enqueue` throws; then it stays buried (and is enqueued, too, where `maybeEnqueued` is true)
   */
  async retry(partition: string, queue: string, id: string): Promise<RetryBuriedResult> {
    let result: RetryBuriedResult = NOT_FOUND;
    await this.find({ partition, queue }, id, async (entry) => {
      const { enqueued, duplicates, failures } = await this.enqueue({ partition, queue }, [entry]);
      const [failure] = failures;
      if (failure !== undefined) throw failure.error;
      const [duplicate] = duplicates;
      if (duplicate !== undefined) result = { status: 'duplicate', existingJobId: duplicate.existingJobId };
      else result = { status: 'enqueued' };
      return enqueued.length > 0;
    });
    return result;
  }

  /**
   * The same for all that stand there at the beginning, or those that the filter picks, from the oldest on. One that can't
   * be enqueued is reported and stays.
   */
  async retryAll(
    partition: string,
    queue: string,
    filter: BuriedFilter = ALL,
  ): Promise<RetryAllBuriedResult> {
    const total = {
      enqueued: 0,
      duplicates: [] as { id: string; existingJobId: string }[],
      failures: [] as { id: string; error: Error }[],
      isComplete: true,
    };
    await this.visit({ partition, queue }, async (shown, remove) => {
      const meant = [...shown.keys()].filter(filter);
      const { enqueued, duplicates, failures } = await this.enqueue({ partition, queue }, meant);
      remove(enqueued);
      total.enqueued += enqueued.length;
      total.duplicates.push(...duplicates);
      total.failures.push(...failures);
      total.isComplete = failures.every(({ error }) => isOfTheJob(error));
      return !total.isComplete;
    });
    return total;
  }

  /** Removes a buried job for good; the oldest, when there are several of that id. @returns whether there was one. */
  async delete(partition: string, queue: string, id: string): Promise<boolean> {
    return this.find({ partition, queue }, id, () => Promise.resolve(true));
  }

  /** Removes all that stand there at the beginning, or those that the filter picks, for good. @returns how many. */
  async deleteAll(partition: string, queue: string, filter: BuriedFilter = ALL): Promise<number> {
    let deleted = 0;
    await this.visit({ partition, queue }, (shown, remove) => {
      const meant = [...shown.keys()].filter(filter);
      remove(meant);
      deleted += meant.length;
      return false;
    });
    return deleted;
  }

  /** Acts on one job; looks again when it isn't there, for somebody may be just looking at it. @returns whether it was. */
  private async find(
    address: QueueAddress,
    id: string,
    act: (entry: BuriedEntry) => Promise<boolean>,
  ): Promise<boolean> {
    if (typeof id !== 'string') throw new InvalidArgumentError('id', 'it must be a text');
    for (let looks = 1; ; looks++) {
      const found: BuriedEntry[] = [];
      await this.visit(address, async (shown, remove) => {
        found.push(...[...shown.keys()].filter((one) => one.id === id).slice(0, 1));
        for (const entry of found) if (await act(entry)) remove([entry]);
        return found.length > 0;
      });
      if (found.length > 0 || looks === LOOKS) return found.length > 0;
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** @param look is given a part of them, and resolves to whether that is enough. */
  private async visit(
    { partition, queue }: QueueAddress,
    look: (
      shown: ReadonlyMap<BuriedEntry, BuriedMessage>,
      remove: (entries: readonly BuriedEntry[]) => void,
    ) => boolean | Promise<boolean>,
    limit = Infinity,
  ): Promise<void> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('queue', problemOfQueueName(queue));
    await this.parts.transport.visitBuried(
      { partition, queue },
      async (messages) => {
        const shown = new Map(messages.map((message) => [this.entryOf(message), message]));
        const removed: BuriedMessage[] = [];
        const isOver = await look(shown, (entries) => {
          for (const entry of entries) removed.push(shown.get(entry) as BuriedMessage);
        });
        return { removed, isOver };
      },
      limit,
    );
  }

  private entryOf({ id, body, reason, buriedAt }: BuriedMessage): BuriedEntry {
    try {
      const job = this.parts.decode(body);
      return { id: job.id, job, bytes: undefined, reason, buriedAt };
    } catch {
      return { id, job: undefined, bytes: body, reason, buriedAt };
    }
  }

  private async enqueue(
    { partition, queue }: QueueAddress,
    entries: readonly BuriedEntry[],
  ): Promise<{
    enqueued: BuriedEntry[];
    duplicates: { id: string; existingJobId: string }[];
    failures: { id: string; error: Error }[];
  }> {
    const failures: { id: string; error: Error }[] = [];
    const sound: { entry: BuriedEntry; job: Job }[] = [];
    for (const entry of entries) {
      const { id, job } = entry;
      if (job === undefined) failures.push({ id, error: new MalformedJobError('it was buried as such') });
      else if (job.partition !== partition || job.queue !== queue)
        // Or one tenant's queue would lead into another's.
        failures.push({
          id,
          error: new MisroutedJobError(`${job.partition}/${job.queue}`, `${partition}/${queue}`),
        });
      else sound.push({ entry, job });
    }
    try {
      // The broker has buried it, and the word of it may be on its way: until then it would pass for one that exists.
      await this.parts.ledgers.discard(sound.flatMap(({ job }) => (job.ledger === undefined ? [] : [job])));
    } catch (error) {
      const all = sound.map(({ entry: { id } }) => ({ id, error: error as Error }));
      return { enqueued: [], duplicates: [], failures: [...failures, ...all] };
    }
    const result = await this.parts.jobs.enqueueMany(sound.map(({ job }) => job));
    const kept = new Set<number>();
    const idAt = (index: number): string => {
      kept.add(index);
      return sound[index]?.entry.id ?? '';
    };
    const duplicates = result.duplicates.map(({ index, existingJobId }) => ({
      id: idAt(index),
      existingJobId,
    }));
    failures.push(...result.failures.map(({ index, error }) => ({ id: idAt(index), error })));
    const enqueued = sound.filter((_, index) => !kept.has(index)).map(({ entry }) => entry);
    return { enqueued, duplicates, failures };
  }
}

const MAX_LIST = 10_000;
const LOOKS = 3;
const LOOK_AGAIN_MS = 200;
const NOT_FOUND: RetryBuriedResult = { status: 'notFound' };
const ALL: BuriedFilter = () => true;

/** Whether the job itself can't be enqueued; anything else would hit the next one too. */
function isOfTheJob(error: Error): boolean {
  return OF_THE_JOB.some((kind) => error instanceof kind);
}

const OF_THE_JOB = [
  InvalidEnqueueOptionsError,
  InvalidJobArgsError,
  InvalidJobDefinitionError,
  JobTooLargeError,
  MalformedJobError,
  MisroutedJobError,
  NotAJobClassError,
];
