// The runs of jobs, as they were recorded.
import type { Selectable, SelectQueryBuilder } from 'kysely';
import { sql } from 'kysely';
import { InvalidArgumentError } from 'nestjs-roger';
import { plainText } from '../records/plain-text';
import type { EngineStore } from '../store/engine-store';
import type { RunsTable, Tables } from '../store/schema';
import type { AfterRun, RunResult } from '../records/rows';
import { RUN_MISSED, RUN_RESULTS } from '../records/rows';
import type { WriterStatus } from '../writer/history-writer';
import type { Page, PageOptions } from './page';
import type { Pruned, Pruning } from './pruning';
import { limitOf, pageOf, placeOf } from './page';

/** Why a run or a job ended as it did. */
export interface RecordedReason {
  /** The code of a RogerError (`ROGER_JOB_TIMEOUT`, …), or the name of another error. */
  readonly type: string;
  readonly message: string;
  readonly stack?: string | undefined;
}

/** One attempt at a job. */
export interface JobRun {
  readonly id: string;
  readonly jobId: string;
  /** Of the job. */
  readonly name: string;
  readonly partition: string;
  readonly queue: string;
  readonly attempt: number;
  /** The id of the node, as in `ClusterService.nodes()` while it is there. */
  readonly node: string;
  /** The process id, on the node's host. */
  readonly pid: number;
  readonly isolation: 'process' | 'thread';
  readonly fence: number | undefined;
  readonly startedAt: Date;
  /** When it was, or will be, told to end. Undefined: it might take as long as it did. */
  readonly timeLimitAt: Date | undefined;
  /** Undefined while it runs, and where its node has gone without a word. */
  readonly endedAt: Date | undefined;
  readonly status: 'running' | 'ended' | 'lost';
  /** Undefined while it runs. */
  readonly result: RunResult | undefined;
  /** What became of the job. Undefined while it runs, and where its node has gone without a word. */
  readonly after: AfterRun | undefined;
  readonly reason: RecordedReason | undefined;
  /** What `perform` returned, as it comes out of JSON; undefined also where it was over `maxRecordedBytes`. */
  readonly value: unknown;
  /** The job's args, as far as they were recorded and the job is still known. */
  readonly args: unknown;
  readonly argsHash: string | undefined;
  /** Of a lost run: the one that followed. */
  readonly rerunId: string | undefined;
}

/** Which runs. All that is given has to be true of one. */
export interface RunFilter {
  readonly jobId?: string | undefined;
  readonly name?: string | undefined;
  readonly partition?: string | undefined;
  readonly queue?: string | undefined;
  readonly node?: string | undefined;
  /** One of them. */
  readonly result?: RunResult | readonly RunResult[] | undefined;
  readonly status?: JobRun['status'] | undefined;
  /** Begun then or later. */
  readonly from?: Date | undefined;
  /** Begun before. */
  readonly to?: Date | undefined;
}

type RunRowWithArgs = Selectable<RunsTable> & {
  readonly args: string | null;
  readonly args_hash: string | null;
};

/**
 * The runs of all nodes, as they were recorded; a run shows within about a tenth of a second. The newest come first.
 *
 * Every method rejects with the database's error where that is away, and with InvalidArgumentError.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { RunHistory } from 'nestjs-roger-engine';
 *
 * \@Injectable()
 * export class Report {
 *   constructor(private readonly history: RunHistory) {}
 *
 *   async failuresOfToday(name: string): Promise<string[]> {
 *     const from = new Date(new Date().setHours(0, 0, 0, 0));
 *     const { items } = await this.history.find({ name, result: ['failed', 'timedOut'], from });
 *     return items.map(({ jobId, reason }) => `${jobId}: ${reason?.message}`);
 *   }
 * }
 * ```
 */
export class RunHistory {
  /** @internal */
  constructor(
    private readonly store: EngineStore,
    private readonly writer: { readonly status: WriterStatus },
    private readonly pruning: Pick<Pruning, 'prune'>,
  ) {}

  /**
   * Removes at once what `retention` says that is too old or too much, as is done every ten minutes anyway.
   * @returns how many rows of runs and jobs were removed
   */
  prune(): Promise<Pruned> {
    return this.pruning.prune();
  }

  /** How the writing of this node goes: what waits to be written, what had to be dropped, and why. Reads memory only. */
  status(): WriterStatus {
    return this.writer.status;
  }

  /** All runs of a job. An id that was enqueued several times (as an operator does with a buried job) has those of all lives. */
  runsOf(jobId: string, options: Pick<RunFilter, 'partition'> & PageOptions = {}): Promise<Page<JobRun>> {
    return this.find({ jobId, partition: options.partition }, options);
  }

  /** A run by its id. */
  async get(id: string): Promise<JobRun | undefined> {
    const row = await this.select().where('run.id', '=', plainText(id)).executeTakeFirst();
    return row === undefined ? undefined : runOf(row);
  }

  find(filter: RunFilter = {}, options: PageOptions = {}): Promise<Page<JobRun>> {
    return this.page((query) => filtered(query, filter), options);
  }

  /** Runs that go on beyond their time limit, by more than so many ms: they don't heed their signal, or their node hangs or is gone. */
  async overdue(options: { readonly byMs?: number } & PageOptions = {}): Promise<Page<JobRun>> {
    const { byMs = 0 } = options;
    if (!Number.isFinite(byMs) || byMs < 0)
      throw new InvalidArgumentError('byMs', 'must be a number of milliseconds, 0 or more');
    const before = Math.floor(Date.now() - byMs);
    return this.page(
      (query) =>
        query
          .where('run.ended_at', 'is', null)
          .where('run.result', 'is', null)
          .where('run.time_limit_at', '<', before),
      options,
    );
  }

  /** Runs whose outcome is unknown or doesn't count: see {@link RunResult} `lost`. */
  lost(filter: Omit<RunFilter, 'result' | 'status'> = {}, options: PageOptions = {}): Promise<Page<JobRun>> {
    return this.find({ ...filter, result: 'lost' }, options);
  }

  /** How many runs there are. */
  async count(filter: RunFilter = {}): Promise<number> {
    const query = filtered(this.store.reading.selectFrom('roger_runs as run').selectAll('run'), filter);
    const { count } = await query
      .clearSelect()
      .select(({ fn }) => fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** How many there are with each result; what runs counts as `running`. */
  async countByResult(
    filter: Omit<RunFilter, 'result'> = {},
  ): Promise<Partial<Record<RunResult | 'running', number>>> {
    const query = filtered(this.store.reading.selectFrom('roger_runs as run').selectAll('run'), filter);
    const rows = await query
      .clearSelect()
      .select(({ fn }) => ['run.result', fn.countAll<number | string>().as('count')])
      .groupBy('run.result')
      .execute();
    return Object.fromEntries(rows.map(({ result, count }) => [result ?? 'running', Number(count)]));
  }

  private select() {
    return this.store.reading
      .selectFrom('roger_runs as run')
      .leftJoin('roger_jobs as job', (join) =>
        join
          .onRef('job.partition', '=', 'run.partition')
          .onRef('job.job_id', '=', 'run.job_id')
          // The args of another life are others.
          .onRef('job.queued_at', '=', 'run.queued_at'),
      )
      .selectAll('run')
      .select(['job.args', 'job.args_hash']);
  }

  private async page(narrow: (query: RunQuery) => RunQuery, options: PageOptions): Promise<Page<JobRun>> {
    const limit = limitOf(options);
    const place = placeOf(options);
    let query = narrow(this.select());
    if (place !== undefined) {
      query = query.where((eb) =>
        eb(eb.refTuple('run.started_at', 'run.id'), '<', eb.tuple(place.at, place.id)),
      );
    }
    const rows = await query
      .orderBy('run.started_at', 'desc')
      .orderBy('run.id', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf(rows as RunRowWithArgs[], limit, runOf, ({ started_at, id }) => ({
      at: Number(started_at),
      id,
    }));
  }
}

const STATUSES: readonly JobRun['status'][] = ['running', 'ended', 'lost'];

type RunQuery = SelectQueryBuilder<Tables & { run: RunsTable }, 'run', object>;

function filtered<Query extends RunQuery>(given: Query, filter: RunFilter): Query {
  let query: RunQuery = given;
  const { jobId, name, partition, queue, node, result, status, from, to } = filter;
  if (jobId !== undefined) query = query.where('run.job_id', '=', plainText(jobId));
  if (name !== undefined) query = query.where('run.name', '=', plainText(name));
  if (partition !== undefined) query = query.where('run.partition', '=', plainText(partition));
  if (queue !== undefined) query = query.where('run.queue', '=', plainText(queue));
  if (node !== undefined) query = query.where('run.node', '=', plainText(node));
  if (from !== undefined) query = query.where('run.started_at', '>=', timeOf('from', from));
  if (to !== undefined) query = query.where('run.started_at', '<', timeOf('to', to));
  if (result !== undefined) query = withResult(query, typeof result === 'string' ? [result] : result);
  if (status !== undefined && !STATUSES.includes(status))
    throw new InvalidArgumentError('status', `must be one of ${STATUSES.join(', ')}`);
  if (status === 'running') query = query.where('run.ended_at', 'is', null).where('run.result', 'is', null);
  if (status === 'ended') query = query.where('run.ended_at', 'is not', null);
  if (status === 'lost') query = query.where('run.seq', '=', RUN_MISSED);
  return query as Query;
}

function withResult(query: RunQuery, results: readonly RunResult[]): RunQuery {
  if (results.length === 0 || !results.every((result) => RUN_RESULTS.includes(result)))
    throw new InvalidArgumentError('result', `must be of ${RUN_RESULTS.join(', ')}`);
  const found = query.where('run.result', 'in', results);
  // Said twice, so that the index of what is not done can be used.
  return results.includes('done') ? found : found.where('run.result', '<>', sql.lit('done'));
}

/** @throws InvalidArgumentError */
export function timeOf(argument: string, time: Date): number {
  const value = time instanceof Date ? time.getTime() : Number.NaN;
  if (Number.isNaN(value)) throw new InvalidArgumentError(argument, 'must be a Date');
  return value;
}

function runOf(row: RunRowWithArgs): JobRun {
  const isLost = Number(row.seq) === RUN_MISSED;
  const { reason_type: type, reason_message: message, reason_stack: stack } = row;
  return {
    id: row.id,
    jobId: row.job_id,
    name: row.name,
    partition: row.partition,
    queue: row.queue,
    attempt: Number(row.attempt),
    node: row.node,
    pid: Number(row.pid),
    isolation: row.isolation,
    fence: row.fence === null ? undefined : Number(row.fence),
    startedAt: new Date(Number(row.started_at)),
    timeLimitAt: dateOf(row.time_limit_at),
    endedAt: dateOf(row.ended_at),
    status: isLost ? 'lost' : row.ended_at === null ? 'running' : 'ended',
    result: row.result ?? undefined,
    after: row.after ?? undefined,
    reason:
      type === null ? undefined : { type, message: message ?? '', ...(stack === null ? {} : { stack }) },
    value: jsonOf(row.value),
    args: jsonOf(row.args),
    argsHash: row.args_hash ?? undefined,
    rerunId: row.rerun_id ?? undefined,
  };
}

export function dateOf(time: number | string | null): Date | undefined {
  return time === null ? undefined : new Date(Number(time));
}

export function jsonOf(text: string | null): unknown {
  return text === null ? undefined : JSON.parse(text);
}
