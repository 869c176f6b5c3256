// The tables, as Kysely's types.
import type { ColumnType, Generated } from 'kysely';
import type { JobFacts, JobRow, RunRow } from '../records/rows';

/** PostgreSQL gives whole numbers of 64 bits as text. */
type Whole = ColumnType<number | string, number, number>;
type MaybeWhole = ColumnType<number | string | null, number | null, number | null>;

type Stored<Row> = {
  [Column in keyof Row]: Row[Column] extends number
    ? Whole
    : Row[Column] extends number | null
      ? MaybeWhole
      : ColumnType<Row[Column], Row[Column], Row[Column]>;
};

export type JobsTable = Stored<Omit<JobRow, 'facts'> & JobFacts>;

type RunColumns = Omit<RunRow, 'facts'> &
  Pick<JobFacts, 'partition' | 'job_id' | 'queued_at' | 'name' | 'queue'>;

export interface RunsTable extends Stored<RunColumns> {
  /** The run that followed a lost one. */
  readonly rerun_id: Generated<string | null>;
}

interface CountsTable {
  /** In hours since the epoch. */
  readonly hour: Whole;
  readonly name: string;
  readonly measure: string;
  readonly bucket: Whole;
  readonly count: Whole;
}

interface NodesTable {
  readonly node: string;
  /** The number of the last batch that it wrote. */
  readonly batch: Whole;
  /** By the database's clock, in ms since the epoch. */
  readonly seen_at: Whole;
}

export interface DefinitionsTable {
  readonly name: string;
  readonly source: 'code' | 'runtime';
  readonly title: string | null;
  readonly sort_order: Whole;
  /** Of one made at run time: the name of the job whose handler takes it. */
  readonly handler: string | null;
  readonly queue: string | null;
  readonly max_execution_time_seconds: number | null;
  /** As JSON: `false`, `true`, a list of seconds, or `"rule"`. */
  readonly retries: string;
  readonly priority: Whole;
  /** The JSON Schema of its args, as JSON. */
  readonly args_schema: string | null;
  /** 1 or 0. */
  readonly is_active: Whole;
  readonly updated_at: Whole;
}

export interface Tables {
  readonly roger_jobs: JobsTable;
  readonly roger_runs: RunsTable;
  readonly roger_counts: CountsTable;
  readonly roger_nodes: NodesTable;
  readonly roger_definitions: DefinitionsTable;
}
