// The statements that write a batch: its records go in as they are, whichever row of two holds by the order of events.
import type { Column } from '../records/record-layout';
import { columnsOf, FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from '../records/record-layout';
import type { Counted } from '../writer/hourly-counts';

interface Table {
  readonly name: string;
  /** Its key first. */
  readonly columns: readonly Column[];
  readonly keys: number;
  /** A record that has this one has a row for the table. */
  readonly mark: string;
  /** What becomes of a row that is there. */
  readonly change: string;
}

const ORDER = ['queued_at', 'seq_phase', 'seq_at', 'seq_run'];
const tuple = (of: string): string => `(${ORDER.map((column) => `${of}.${column}`).join(', ')})`;

const FACTS = columnsOf(FACTS_LAYOUT);
const JOB_COLUMNS = [...FACTS, ...columnsOf(JOB_LAYOUT)];
/** Of the facts a run has only those that it is looked for by. */
const RUN_FACTS = new Set(['partition', 'job_id', 'queued_at', 'name', 'queue']);
const RUN_COLUMNS = [...columnsOf(RUN_LAYOUT), ...FACTS.filter(({ name }) => RUN_FACTS.has(name))];
const COUNT_COLUMNS = columnsOf({
  hour: ['a', 'integer'],
  name: ['b', 'text'],
  measure: ['c', 'text'],
  bucket: ['d', 'integer'],
  count: ['e', 'bigint'],
});

const JOBS: Table = {
  name: 'roger_jobs',
  columns: JOB_COLUMNS,
  keys: 2,
  mark: JOB_LAYOUT.state[0],
  change: `${replaceAll(JOB_COLUMNS, 2)} where ${tuple('excluded')} > ${tuple('roger_jobs')}`,
};

const RUNS: Table = {
  name: 'roger_runs',
  columns: RUN_COLUMNS,
  keys: 1,
  mark: RUN_LAYOUT.id[0],
  change: `${replaceAll(RUN_COLUMNS, 1)} where excluded.seq > roger_runs.seq`,
};

const COUNTS: Table = {
  name: 'roger_counts',
  columns: COUNT_COLUMNS,
  keys: 4,
  mark: 'a',
  change: 'count = roger_counts.count + excluded.count',
};

/** A statement that is carried out for each record that has `mark`, with what it has of these as parameters. */
export interface EachRecord {
  readonly sql: string;
  readonly mark: string;
  readonly columns: readonly Pick<Column, 'short' | 'otherwise'>[];
}

export const SQLITE_EVENTS: readonly EachRecord[] = [JOBS, RUNS].map(eachRecord);
export const SQLITE_COUNTS: readonly EachRecord[] = [COUNTS].map(eachRecord);

/** For all records, which are its one parameter, as a list. */
export const POSTGRES_EVENTS =
  `with ${given([...JOB_COLUMNS, ...columnsOf(RUN_LAYOUT)])}, ` +
  `written as (${postgresUpsert(RUNS)}) ${postgresUpsert(JOBS)}`;
export const POSTGRES_COUNTS = `with ${given(COUNT_COLUMNS)} ${postgresUpsert(COUNTS)}`;

/** The record of a count. */
export function recordOfCount({ hour, name, measure, bucket, count }: Counted): object {
  return { a: hour, b: name, c: measure, d: bucket, e: count };
}

function eachRecord(table: Table): EachRecord {
  const { columns, mark } = table;
  const values = columns.map(() => '?').join(', ');
  return {
    sql: `${insertInto(table)} values (${values}) ${onConflict(table)}`,
    mark,
    columns: columns.map(({ short, otherwise }) => ({ short, otherwise })),
  };
}

function given(columns: readonly Column[]): string {
  const types = columns.map(({ short, type }) => `${short} ${type}`);
  return `given as materialized (select * from json_to_recordset($1::json) as record (${types.join(', ')}))`;
}

function postgresUpsert(table: Table): string {
  const { columns, keys, mark } = table;
  const values = columns.map(({ short, otherwise }) =>
    otherwise === undefined ? short : `coalesce(${short}, ${otherwise})`,
  );
  // Two nodes that lock the same rows in another order would wait for each other.
  const order = columns
    .slice(0, keys)
    .map(({ short, type }) => `${short}${type === 'text' ? ' collate "C"' : ''}`);
  return (
    `${insertInto(table)} select ${values.join(', ')} from given where ${mark} is not null ` +
    `order by ${order.join(', ')} ${onConflict(table)}`
  );
}

function replaceAll(columns: readonly Column[], keys: number): string {
  return columns
    .slice(keys)
    .map(({ name }) => `"${name}" = excluded."${name}"`)
    .join(', ');
}

function insertInto({ name, columns }: Table): string {
  return `insert into ${name} (${columns.map((column) => `"${column.name}"`).join(', ')})`;
}

function onConflict({ columns, keys, change }: Table): string {
  const key = columns.slice(0, keys).map(({ name }) => `"${name}"`);
  return `on conflict (${key.join(', ')}) do update set ${change}`;
}
