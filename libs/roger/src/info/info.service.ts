// What the broker knows of the jobs, for an operator.
import { checkArgument } from '../job/check-argument';
import { InvalidArgumentError, NoJournalError, QueueNotFoundError } from '../job/errors';
import { isCount } from '../job/is-count';
import type { Job } from '../job/job';
import { problemOfJobId, problemOfPartitionId, problemOfQueueName } from '../job/names';
import type { Ledgers } from '../ledger/ledgers';
import type { KeyedJobPlace, SurveyReply } from '../ledger/operation';
import type {
  ClusterPartitions,
  ClusterQueues,
  ClusterReports,
  ClusterRunningJobs,
  QueueRates,
} from './cluster-reports';
import type { JobProgress, ProgressListener, ProgressWatches } from '../reports/progress-watches';
import type { LevelDepths, QueueDepth, QueueDetails, Transport, TransportState } from '../transport';

/** A node that runs the job answers within milliseconds; a process's first question opens its mailbox before. */
const PROGRESS_TIMEOUT_MS = 2_000;

/** The jobs that stand in a queue. */
export interface QueuedJobs {
  /** The first ones, in the order in which they will be delivered: those of the express lane, then the others. */
  readonly jobs: readonly Job[];
  /** How many stand there in all, whatever was asked for. */
  readonly total: number;
  /** How many come to it later (delayed ones, retries), as far as its journal was read. */
  readonly delayed: number;
  /** How many of those asked for could not be shown: they are older than the journal, beyond its reach, or no jobs. */
  readonly unseen: number;
  /** Nodes that did not say what they have in hand: some of the jobs may run there. */
  readonly missing: readonly string[];
}

/** The jobs with keys of a partition, as its ledger knows them. */
export interface KeyedJobs {
  /** How many are where, by queue; a queue without any is left out. */
  readonly counts: ReadonlyMap<string, KeyedJobCounts>;
  /** The first of those that wait in line for their execution keys, in the order in which they were enqueued. */
  readonly waiting: readonly WaitingJob[];
}

/** How many jobs with keys are `waiting` in line, `queued`, `delayed`, between two attempts (`retrying`), `running` or `held`. */
export type KeyedJobCounts = Readonly<Record<KeyedJobPlace, number>>;

/** A job that waits for its execution key. */
export interface WaitingJob {
  readonly id: string;
  readonly queue: string;
  readonly executionKey: string;
}

export interface InfoParts {
  readonly transport: Transport;
  readonly watches: ProgressWatches;
  readonly ledgers: Pick<Ledgers, 'isUsed' | 'question'>;
  /** The seconds of all levels that this app knows of. */
  readonly retryLevels: () => ReadonlySet<number>;
  readonly reports: ClusterReports;
  /** Reads a job's bytes. @throws MalformedJobError */
  readonly decode: (body: Buffer) => Job;
}

const MAX_COUNT = 10_000;

/** What holds for the whole cluster, as the broker and the other nodes tell it. */
export class InfoService {
  /** @internal */
  constructor(private readonly parts: InfoParts) {}

  /** What carries the jobs (`RabbitMQ 3.10.8`, `memory`) and how it stands with the connection. */
  transportInfo(): { readonly transport: string; readonly state: TransportState } {
    const { transport } = this.parts;
    return { transport: transport.describe(), state: transport.state };
  }

  /**
   * All partitions that nodes serve or would like to, and how they stand on each.
   * @throws NotConnectedError, RogerClosedError
   */
  async partitions(): Promise<ClusterPartitions> {
    return this.parts.reports.partitions();
  }

  /** Those that run on a node, at least. @throws NotConnectedError, RogerClosedError */
  async runningPartitions(): Promise<ClusterPartitions> {
    return this.partitionsThatAre('running');
  }

  /** Those that wait on a node, at least, and why. @throws NotConnectedError, RogerClosedError */
  async waitingPartitions(): Promise<ClusterPartitions> {
    return this.partitionsThatAre('waiting');
  }

  /** The ids of {@link runningPartitions}. @throws NotConnectedError, RogerClosedError */
  async runningPartitionIds(): Promise<{
    readonly ids: readonly string[];
    readonly missing: readonly string[];
  }> {
    const { partitions, missing } = await this.runningPartitions();
    return { ids: partitions.map(({ partition }) => partition), missing };
  }

  /**
   * The jobs that run on all nodes, or those of one partition: since when, on which node, and how far they are.
   * @throws InvalidArgumentError, NotConnectedError, RogerClosedError
   *
   * @example
   * ```ts
   * import { InfoService } from 'nestjs-roger';
   *
   * export async function show(info: InfoService): Promise<void> {
   *   const { jobs, missing } = await info.runningJobs('acme');
   *   for (const { id, node, startedAt } of jobs) console.log(id, 'on', node, 'for', Date.now() - startedAt, 'ms');
   *   if (missing.length > 0) console.log('No answer from', missing.join(', '));
   * }
   * ```
   */
  async runningJobs(partition?: string): Promise<ClusterRunningJobs> {
    if (partition !== undefined) checkArgument('partition', problemOfPartitionId(partition));
    return this.parts.reports.runningJobs(partition);
  }

  /**
   * How the queues of a partition stand on each node that serves it.
   * @throws InvalidArgumentError, NotConnectedError, RogerClosedError
   */
  async queues(partition: string): Promise<ClusterQueues> {
    checkArgument('partition', problemOfPartitionId(partition));
    return this.parts.reports.queues(partition);
  }

  /**
   * How fast the jobs of a queue end on all nodes together, by how they end: counted over a while, so that it takes as
   * long.
   * @param overMs milliseconds, 100 to 60000
   * @throws InvalidArgumentError, NotConnectedError, RogerClosedError
   */
  async rates(partition: string, queue: string, overMs = 1_000): Promise<QueueRates> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('queue', problemOfQueueName(queue));
    const isSpan = typeof overMs === 'number' && overMs >= 100 && overMs <= 60_000;
    checkArgument('overMs', isSpan ? undefined : 'it must be a number of milliseconds from 100 to 60000');
    return this.parts.reports.rates({ partition, queue }, overMs);
  }

  /**
   * How many jobs of a queue are ready, how many consumers it has on all nodes, and how many jobs are buried; undefined
   * when no worker has ever declared it. Asks the broker; disturbs nothing.
   * @throws NotConnectedError
   */
  queueDepth(partition: string, queue: string): Promise<QueueDepth | undefined> {
    return this.parts.transport.depth({ partition, queue });
  }

  /**
   * How many jobs of all partitions come to their queues later: delayed ones, and those between two attempts by the seconds
   * of their level. Jobs with keys that wait there are among them.
   * @throws NotConnectedError, BrokerRefusedError
   */
  async levels(): Promise<LevelDepths> {
    return this.parts.transport.levels(this.parts.retryLevels());
  }

  /**
   * What the broker's management plugin says of a queue: rates, bytes, and what is with workers. Some seconds old. Needs
   * `connection.managementUri`; undefined when there is no such queue.
   * @throws InvalidArgumentError, ManagementUnavailableError
   */
  async queueDetails(partition: string, queue: string): Promise<QueueDetails | undefined> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('queue', problemOfQueueName(queue));
    return this.parts.transport.details({ partition, queue });
  }

  /**
   * The first jobs of a queue that have not begun, without touching them: order, delivery counts and marks of redelivery
   * stay as they are, however often one looks. With RabbitMQ it needs the module's `journal`. Right to within what comes and
   * goes meanwhile, and to within the clocks of the producers; an aid for people, not a record to compute with.
   * @param count how many, 1 to 10000
   * @throws InvalidArgumentError, QueueNotFoundError, NoJournalError, NotConnectedError, BrokerRefusedError
   *
   * @example
   * ```ts
   * import { InfoService } from 'nestjs-roger';
   *
   * export async function next(info: InfoService): Promise<string[]> {
   *   const { jobs } = await info.queuedJobs('acme', 'mail', 10);
   *   return jobs.map(({ id, name }) => `${id}: ${name}`);
   * }
   * ```
   */
  async queuedJobs(partition: string, queue: string, count = 100): Promise<QueuedJobs> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkArgument('queue', problemOfQueueName(queue));
    checkCount(count);
    const { transport } = this.parts;
    const address = { partition, queue };
    let inHand = await this.parts.reports.inHand(address);
    // Those that run stand before all others, so that many more have to be seen.
    const look = await transport.look(address, inHand.running.size + count, async () => {
      inHand = await this.parts.reports.inHand(address);
      return inHand.unsettled;
    });
    if (look === undefined) {
      if ((await transport.depth(address)) === undefined) throw new QueueNotFoundError(partition, queue);
      throw new NoJournalError(partition, queue);
    }
    const { running, missing } = inHand;
    const jobs = this.readable(look.bodies)
      .filter(({ id }) => !running.has(id))
      .slice(0, count);
    const total = Math.max(jobs.length, look.standing - running.size);
    return { jobs, total, delayed: look.delayed, unseen: Math.min(count, total) - jobs.length, missing };
  }

  /**
   * Where the jobs with keys of a partition stand, and which wait in line for their execution keys. Asks the ledger; one
   * that was never used is not made by it.
   * @param count how many of those that wait are listed, 1 to 10000
   * @throws InvalidArgumentError, LedgerUnavailableError, NotConnectedError, LedgerShardsMismatchError, RogerClosedError
   */
  async keyedJobs(partition: string, count = 100): Promise<KeyedJobs> {
    checkArgument('partition', problemOfPartitionId(partition));
    checkCount(count);
    const { ledgers } = this.parts;
    if (!(await ledgers.isUsed(partition))) return { counts: new Map(), waiting: [] };
    return ledgers.question({ op: 'survey', partition, count }, (reply) => {
      const { counts, waiting } = reply as unknown as SurveyReply;
      return {
        counts: new Map(Object.entries(counts)),
        waiting: waiting.map(([id, queue, executionKey]) => ({ id, queue, executionKey })),
      };
    });
  }

  /**
   * How far a job is that runs on whatever node: what it has told last by `context.progress`. Undefined when no node
   * says within 2 s that it runs it.
   * @throws InvalidArgumentError
   */
  async progress(partition: string, jobId: string): Promise<JobProgress | undefined> {
    checkJob(partition, jobId);
    return this.parts.watches.ask(partition, jobId, PROGRESS_TIMEOUT_MS);
  }

  /**
   * Calls the listener whenever the job tells how far it is, on whatever node, now or in a later attempt, until the
   * returned function is called. At most 10 times per second; the last one always comes (within 3 s where a message got
   * lost). What the job told before is told at once, if it runs.
   *
   * The end of a job is no progress: await that by `finished`, or end the watch when you learn of it.
   * @throws InvalidArgumentError
   *
   * @example
   * ```ts
   * import { InfoService } from 'nestjs-roger';
   *
   * export function show(info: InfoService, jobId: string): () => void {
   *   return info.onProgress('acme', jobId, ({ attempt, value }) => {
   *     console.log(`attempt ${attempt}:`, value);
   *   });
   * }
   * ```
   */
  onProgress(partition: string, jobId: string, listener: ProgressListener): () => void {
    checkJob(partition, jobId);
    if (typeof listener !== 'function') throw new InvalidArgumentError('listener', 'it must be a function');
    return this.parts.watches.watch(partition, jobId, listener);
  }

  private async partitionsThatAre(state: 'running' | 'waiting'): Promise<ClusterPartitions> {
    const { partitions, missing } = await this.partitions();
    const those = partitions.filter(({ nodes }) => nodes.some((node) => node.state === state));
    return { partitions: those, missing };
  }

  private readable(bodies: readonly Buffer[]): Job[] {
    return bodies.flatMap((body) => {
      try {
        return [this.parts.decode(body)];
      } catch {
        // It stands in the queue to be buried when its turn comes.
        return [];
      }
    });
  }
}

function checkCount(count: number): void {
  if (isCount(count) && count >= 1 && count <= MAX_COUNT) return;
  throw new InvalidArgumentError('count', `it must be a whole number from 1 to ${MAX_COUNT}`);
}

function checkJob(partition: string, jobId: string): void {
  checkArgument('partition', problemOfPartitionId(partition));
  checkArgument('jobId', problemOfJobId(jobId));
}
