// How a record is laid out: which short name holds which column, and of which table. The text of a record goes to the
// spool and to the database as it is.
import type { JobFacts, JobRow, RunRow } from './rows';

type ColumnType = 'text' | 'bigint' | 'integer' | 'double precision';

export interface Column {
  readonly name: string;
  /** Its name in a record. */
  readonly short: string;
  readonly type: ColumnType;
  /** What the record has it under where it has nothing under `short`: what a job's row has from its run's stands once. */
  readonly otherwise: string | undefined;
}

type Layout<Row> = Readonly<
  Record<keyof Row, readonly [short: string, type: ColumnType, otherwise?: string | undefined]>
>;

/** Of a job's life, in the rows of the job and of its runs. */
export const FACTS_LAYOUT: Layout<JobFacts> = {
  partition: ['a', 'text'],
  job_id: ['b', 'text'],
  queued_at: ['c', 'bigint'],
  name: ['d', 'text'],
  queue: ['e', 'text'],
  priority: ['f', 'integer'],
  queue_key: ['g', 'text'],
  execution_key: ['h', 'text'],
  args: ['i', 'text'],
  args_hash: ['j', 'text'],
  max_retries: ['k', 'integer'],
  max_execution_time_seconds: ['l', 'double precision'],
  reply_to: ['m', 'text'],
};

export const JOB_LAYOUT: Layout<Omit<JobRow, 'facts'>> = {
  state: ['ja', 'text'],
  attempt: ['jb', 'integer', 'rb'],
  due_at: ['jc', 'bigint'],
  run_id: ['jd', 'text', 'ra'],
  node: ['je', 'text', 'rc'],
  started_at: ['jf', 'bigint', 'rg'],
  ended_at: ['jg', 'bigint'],
  reason_type: ['jh', 'text', 'rl'],
  reason_message: ['ji', 'text', 'rm'],
  seq_phase: ['jj', 'bigint'],
  seq_at: ['jk', 'bigint'],
  seq_run: ['jl', 'text', 'ra'],
};

export const RUN_LAYOUT: Layout<Omit<RunRow, 'facts'>> = {
  id: ['ra', 'text'],
  attempt: ['rb', 'integer'],
  node: ['rc', 'text'],
  pid: ['rd', 'integer'],
  isolation: ['re', 'text'],
  fence: ['rf', 'bigint'],
  started_at: ['rg', 'bigint'],
  time_limit_at: ['rh', 'bigint'],
  ended_at: ['ri', 'bigint'],
  result: ['rj', 'text'],
  after: ['rk', 'text'],
  reason_type: ['rl', 'text'],
  reason_message: ['rm', 'text'],
  reason_stack: ['rn', 'text'],
  value: ['ro', 'text'],
  seq: ['rp', 'integer'],
};

export function columnsOf(layout: Layout<Readonly<Record<string, unknown>>>): Column[] {
  return Object.entries(layout).map(([name, [short, type, otherwise]]) => ({ name, short, type, otherwise }));
}
