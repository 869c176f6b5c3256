// The statements that write a batch: one per table, its rows as one JSON text, whichever row holds by the order of events.
import type { RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { JobRow, RunRow } from '../records/rows';
import type { Counted } from '../writer/record-buffer';
import type { Dialect } from './migrations';

type ColumnType = 'text' | 'bigint' | 'integer';
type Columns<Row> = Readonly<Record<keyof Row & string, ColumnType>>;

const JOB_COLUMNS: Columns<JobRow> = {
  partition: 'text',
  job_id: 'text',
  queued_at: 'bigint',
  name: 'text',
  queue: 'text',
  priority: 'integer',
  queue_key: 'text',
  execution_key: 'text',
  args: 'text',
  args_hash: 'text',
  state: 'text',
  attempt: 'integer',
  due_at: 'bigint',
  run_id: 'text',
  node: 'text',
  started_at: 'bigint',
  ended_at: 'bigint',
  reason_type: 'text',
  reason_message: 'text',
  seq_phase: 'bigint',
  seq_at: 'bigint',
  seq_run: 'text',
};

const RUN_COLUMNS: Columns<RunRow> = {
  id: 'text',
  partition: 'text',
  job_id: 'text',
  queued_at: 'bigint',
  name: 'text',
  queue: 'text',
  attempt: 'integer',
  node: 'text',
  pid: 'integer',
  isolation: 'text',
  fence: 'bigint',
  started_at: 'bigint',
  time_limit_at: 'bigint',
  ended_at: 'bigint',
  result: 'text',
  after: 'text',
  reason_type: 'text',
  reason_message: 'text',
  reason_stack: 'text',
  value: 'text',
  seq: 'integer',
};

export interface CountRow extends Counted {
  readonly count: number;
}

const COUNT_COLUMNS: Columns<CountRow> = {
  hour: 'integer',
  name: 'text',
  measure: 'text',
  bucket: 'integer',
  count: 'bigint',
};

interface Upsert {
  readonly table: string;
  readonly columns: Readonly<Record<string, ColumnType>>;
  readonly key: readonly string[];
  /** What becomes of a row that is there; `old` and `excluded` are the two. */
  readonly change: string;
}

function replaceAll(columns: Readonly<Record<string, ColumnType>>, key: readonly string[]): string {
  return Object.keys(columns)
    .filter((column) => !key.includes(column))
    .map((column) => `${quoted(column)} = excluded.${quoted(column)}`)
    .join(', ');
}

const ORDER = ['queued_at', 'seq_phase', 'seq_at', 'seq_run'];
const tuple = (of: string): string => `(${ORDER.map((column) => `${of}.${column}`).join(', ')})`;

const JOB_KEY = ['partition', 'job_id'];
const UPSERTS = {
  jobs: {
    table: 'roger_jobs',
    columns: JOB_COLUMNS,
    key: JOB_KEY,
    change: `${replaceAll(JOB_COLUMNS, JOB_KEY)} where ${tuple('excluded')} > ${tuple('roger_jobs')}`,
  },
  runs: {
    table: 'roger_runs',
    columns: RUN_COLUMNS,
    key: ['id'],
    change: `${replaceAll(RUN_COLUMNS, ['id'])} where excluded.seq > roger_runs.seq`,
  },
  counts: {
    table: 'roger_counts',
    columns: COUNT_COLUMNS,
    key: ['hour', 'name', 'measure', 'bucket'],
    change: 'count = roger_counts.count + excluded.count',
  },
} satisfies Record<string, Upsert>;

/** The statement for these rows. */
export function upsert(
  what: keyof typeof UPSERTS,
  rows: readonly (JobRow | RunRow | CountRow)[],
  dialect: Dialect,
): RawBuilder<unknown> {
  return sql`${sql.raw(HEADS[dialect][what])}${JSON.stringify(rows)}${sql.raw(TAILS[dialect][what])}`;
}

type Texts = Readonly<Record<Dialect, Readonly<Record<keyof typeof UPSERTS, string>>>>;

const HEADS: Texts = { sqlite: eachUpsert(sqliteHead), postgres: eachUpsert(postgresHead) };
const TAILS: Texts = { sqlite: eachUpsert(sqliteTail), postgres: eachUpsert(postgresTail) };

function eachUpsert(text: (upsert: Upsert) => string): Record<keyof typeof UPSERTS, string> {
  return { jobs: text(UPSERTS.jobs), runs: text(UPSERTS.runs), counts: text(UPSERTS.counts) };
}

function insertInto({ table, columns }: Upsert): string {
  return `insert into ${table} (${Object.keys(columns).map(quoted).join(', ')}) `;
}

function onConflict({ key, change }: Upsert): string {
  return `on conflict (${key.map(quoted).join(', ')}) do update set ${change}`;
}

function sqliteHead(upsert: Upsert): string {
  const values = Object.keys(upsert.columns).map((column) => `value ->> '$.${column}'`);
  return `${insertInto(upsert)} select ${values.join(', ')} from json_each(`;
}

function sqliteTail(upsert: Upsert): string {
  // Without a condition SQLite reads `on` as that of a join.
  return `) where true ${onConflict(upsert)}`;
}

function postgresHead(upsert: Upsert): string {
  const columns = Object.keys(upsert.columns).map(quoted).join(', ');
  return `${insertInto(upsert)} select ${columns} from json_to_recordset(`;
}

function postgresTail(upsert: Upsert): string {
  const types = Object.entries(upsert.columns).map(([column, type]) => `${quoted(column)} ${type}`);
  // Two nodes that lock the same rows in another order would wait for each other.
  const order = upsert.key.map((column) => `rows.${quoted(column)} collate "C"`);
  const sorted =
    upsert.table === 'roger_counts' ? upsert.key.map((column) => `rows.${quoted(column)}`) : order;
  return `::json) as rows (${types.join(', ')}) order by ${sorted.join(', ')} ${onConflict(upsert)}`;
}

function quoted(column: string): string {
  return `"${column}"`;
}
