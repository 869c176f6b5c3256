// The jobs, as they were recorded: what state each is in.
import type { Selectable, SelectQueryBuilder } from 'kysely';
import { sql } from 'kysely';
import type { Job } from 'nestjs-roger';
import { InvalidArgumentError } from 'nestjs-roger';
import { plainText } from '../records/plain-text';
import type { JobState } from '../records/rows';
import type { EngineStore } from '../store/engine-store';
import type { JobsTable, Tables } from '../store/schema';
import type { Page, PageOptions } from './page';
import { limitOf, pageOf, placeOf } from './page';
import type { RecordedReason } from './run-history.service';
import { dateOf, jsonOf, timeOf } from './run-history.service';

/** A job as it was last heard of. */
export interface JobRecord {
  readonly id: string;
  readonly name: string;
  readonly partition: string;
  readonly queue: string;
  readonly state: JobState;
  /** The one that runs, or that comes next, or that was the last. */
  readonly attempt: number;
  readonly priority: number;
  readonly queueKey: string | undefined;
  readonly executionKey: string | undefined;
  readonly queuedAt: Date;
  /** Of one that is delayed, or waits for its next attempt: when that comes. */
  readonly dueAt: Date | undefined;
  /** Of its last run. */
  readonly startedAt: Date | undefined;
  /** Undefined while it is not over. */
  readonly endedAt: Date | undefined;
  /** Of its last run, or who said last what became of it. */
  readonly node: string | undefined;
  readonly runId: string | undefined;
  /** Why it is in this state, after a failure, a cancel and the like. */
  readonly reason: Omit<RecordedReason, 'stack'> | undefined;
  /** As far as they were recorded. */
  readonly args: unknown;
  readonly argsHash: string | undefined;
  /** As given to its enqueueing. Undefined: as its definition says. */
  readonly maxRetries: number | undefined;
  /** As given to its enqueueing. Undefined: as its definition says. */
  readonly maxExecutionTimeSeconds: number | undefined;
  /** Who waits for its outcome, as in `Job.replyTo`. */
  readonly replyTo: Job['replyTo'];
}

/** Which jobs. All that is given has to be true of one. */
export interface JobFilter {
  /** One of them. */
  readonly state?: JobState | readonly JobState[] | undefined;
  readonly name?: string | undefined;
  readonly partition?: string | undefined;
  readonly queue?: string | undefined;
  readonly queueKey?: string | undefined;
  readonly executionKey?: string | undefined;
  /** Enqueued then or later. */
  readonly from?: Date | undefined;
  /** Enqueued before. */
  readonly to?: Date | undefined;
}

const STATES: readonly JobState[] = [
  'queued',
  'delayed',
  'running',
  'waiting',
  'held',
  'done',
  'failed',
  'discarded',
  'cancelled',
  'buried',
  'purged',
  'removed',
  'stopped',
];

/**
 * The jobs of all nodes, as they were recorded: each in its last known state, within about a tenth of a second of it (that
 * it waits, within five seconds, at most thirty, where its node has enqueued more than a thousand that have not begun). The
 * broker has the truth; these rows are what can be asked of it at any time, and what is left when a job is over. The newest
 * come first.
 *
 * Every method rejects with the database's error where that is away, and with InvalidArgumentError.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobRecords } from 'nestjs-roger-engine';
 *
 * \@Injectable()
 * export class Support {
 *   constructor(private readonly records: JobRecords) {}
 *
 *   async whereIs(jobId: string): Promise<string> {
 *     const job = await this.records.get(jobId, { partition: 'acme' });
 *     if (job?.state !== 'queued') return job?.state ?? 'unknown';
 *     return `number ${await this.records.position(jobId, { partition: 'acme' })} in line`;
 *   }
 * }
 * ```
 */
export class JobRecords {
  /** @internal */
  constructor(private readonly store: EngineStore) {}

  /** The job; of several partitions that have one of this id, the newest. */
  async get(id: string, options: { readonly partition?: string } = {}): Promise<JobRecord | undefined> {
    let query = this.select().where('job_id', '=', plainText(id));
    if (options.partition !== undefined) query = query.where('partition', '=', plainText(options.partition));
    const row = await query.orderBy('queued_at', 'desc').limit(1).executeTakeFirst();
    return row === undefined ? undefined : jobOf(row as JobRow);
  }

  async find(filter: JobFilter = {}, options: PageOptions = {}): Promise<Page<JobRecord>> {
    const limit = limitOf(options);
    const place = placeOf(options);
    let query = filtered(this.select(), filter);
    if (place !== undefined) {
      query = query.where((eb) => eb(eb.refTuple('queued_at', 'job_id'), '<', eb.tuple(place.at, place.id)));
    }
    const rows = await query
      .orderBy('queued_at', 'desc')
      .orderBy('job_id', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf(rows as JobRow[], limit, jobOf, ({ queued_at, job_id }) => ({
      at: Number(queued_at),
      id: job_id,
    }));
  }

  /** How many jobs there are. */
  async count(filter: JobFilter = {}): Promise<number> {
    const { count } = await filtered(this.select(), filter)
      .clearSelect()
      .select(({ fn }) => fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** How many there are in each state. */
  async countByState(filter: Omit<JobFilter, 'state'> = {}): Promise<Partial<Record<JobState, number>>> {
    const rows = await filtered(this.select(), filter)
      .clearSelect()
      .select(({ fn }) => ['state', fn.countAll<number | string>().as('count')])
      .groupBy('state')
      .execute();
    return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]));
  }

  /**
   * Where a queued job stands in its queue by the rows: 1 for the next one. Before it count the queued ones of a higher
   * priority, and of the same priority those that were enqueued earlier (by their producers' clocks). It is what an
   * operator wants to know, no promise: jobs come back from retries, and lines of execution keys overtake. Undefined for
   * a job that is not queued.
   */
  async position(id: string, options: { readonly partition?: string } = {}): Promise<number | undefined> {
    const job = await this.get(id, options);
    if (job?.state !== 'queued') return undefined;
    const { partition, queue, priority } = job;
    const queuedAt = job.queuedAt.getTime();
    const { count } = await this.select()
      .clearSelect()
      .select(({ fn }) => fn.countAll<number | string>().as('count'))
      .where('state', '=', 'queued')
      .where('state', '<>', sql.lit('done'))
      .where('partition', '=', partition)
      .where('queue', '=', queue)
      .where((eb) =>
        eb.or([
          eb('priority', '>', priority),
          eb.and([
            eb('priority', '=', priority),
            eb(eb.refTuple('queued_at', 'job_id'), '<', eb.tuple(queuedAt, id)),
          ]),
        ]),
      )
      .executeTakeFirstOrThrow();
    return Number(count) + 1;
  }

  private select(): JobQuery {
    return this.store.reading.selectFrom('roger_jobs').selectAll();
  }
}

type JobRow = Selectable<JobsTable>;
type JobQuery = SelectQueryBuilder<Tables, 'roger_jobs', object>;

function filtered(given: JobQuery, filter: JobFilter): JobQuery {
  let query = given;
  const { state, name, partition, queue, queueKey, executionKey, from, to } = filter;
  if (state !== undefined) {
    const states = statesOf(state);
    query = query.where('state', 'in', states);
    // Said twice, so that the index of what is not done can be used.
    if (!states.includes('done')) query = query.where('state', '<>', sql.lit('done'));
  }
  if (name !== undefined) query = query.where('name', '=', plainText(name));
  if (partition !== undefined) query = query.where('partition', '=', plainText(partition));
  if (queue !== undefined) query = query.where('queue', '=', plainText(queue));
  if (queueKey !== undefined) query = query.where('queue_key', '=', plainText(queueKey));
  if (executionKey !== undefined) query = query.where('execution_key', '=', plainText(executionKey));
  if (from !== undefined) query = query.where('queued_at', '>=', timeOf('from', from));
  if (to !== undefined) query = query.where('queued_at', '<', timeOf('to', to));
  return query;
}

function statesOf(state: JobState | readonly JobState[]): readonly JobState[] {
  const states = typeof state === 'string' ? [state] : state;
  if (states.length > 0 && states.every((one) => STATES.includes(one))) return states;
  throw new InvalidArgumentError('state', `must be of ${STATES.join(', ')}`);
}

function jobOf(row: JobRow): JobRecord {
  const { reason_type: type, reason_message: message } = row;
  return {
    id: row.job_id,
    name: row.name,
    partition: row.partition,
    queue: row.queue,
    state: row.state,
    attempt: Number(row.attempt),
    priority: Number(row.priority),
    queueKey: row.queue_key ?? undefined,
    executionKey: row.execution_key ?? undefined,
    queuedAt: new Date(Number(row.queued_at)),
    dueAt: dateOf(row.due_at),
    startedAt: dateOf(row.started_at),
    endedAt: dateOf(row.ended_at),
    node: row.node ?? undefined,
    runId: row.run_id ?? undefined,
    reason: type === null ? undefined : { type, message: message ?? '' },
    args: jsonOf(row.args),
    argsHash: row.args_hash ?? undefined,
    maxRetries: row.max_retries === null ? undefined : Number(row.max_retries),
    maxExecutionTimeSeconds:
      row.max_execution_time_seconds === null ? undefined : Number(row.max_execution_time_seconds),
    replyTo: jsonOf(row.reply_to) as Job['replyTo'],
  };
}
