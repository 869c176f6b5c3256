// The tables, step by step. A step that was released is never changed; what is to change becomes another step.
import type { CreateTableBuilder, Kysely, Migration, MigrationProvider } from 'kysely';
import { sql } from 'kysely';

export type Dialect = 'sqlite' | 'postgres';

/** Compared byte by byte, as JavaScript does; SQLite's default. */
function exactText(dialect: Dialect): ReturnType<typeof sql> {
  return dialect === 'postgres' ? sql`text collate "C"` : sql`text`;
}

/** @param done those that are done, maybe by a newer version: a node of an older one starts all the same */
export function migrations(dialect: Dialect, done: readonly string[]): MigrationProvider {
  const steps: Record<string, Migration> = {
    '0001-tables': { up: (db) => createTables(db, dialect) },
    '0002-limits': { up: addLimits },
  };
  const newer = done.filter((name) => !Object.hasOwn(steps, name)).map((name) => [name, NOTHING] as const);
  return { getMigrations: () => Promise.resolve({ ...steps, ...Object.fromEntries(newer) }) };
}

const NOTHING: Migration = { up: () => Promise.resolve() };

async function createTables(db: Kysely<unknown>, dialect: Dialect): Promise<void> {
  const exact = exactText(dialect);
  await withFacts(db.schema.createTable('roger_jobs'), exact)
    .addColumn('priority', 'integer', (column) => column.notNull())
    .addColumn('queue_key', exact)
    .addColumn('execution_key', exact)
    .addColumn('args', 'text')
    .addColumn('args_hash', 'text')
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('due_at', 'bigint')
    .addColumn('run_id', exact)
    .addColumn('node', exact)
    .addColumn('started_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .addColumn('reason_type', 'text')
    .addColumn('reason_message', 'text')
    .addColumn('seq_phase', 'bigint', (column) => column.notNull())
    .addColumn('seq_at', 'bigint', (column) => column.notNull())
    .addColumn('seq_run', exact, (column) => column.notNull())
    .addPrimaryKeyConstraint('roger_jobs_key', ['partition', 'job_id'] as never)
    .execute();
  await withFacts(db.schema.createTable('roger_runs'), exact)
    .addColumn('id', exact, (column) => column.notNull().primaryKey())
    .addColumn('node', exact, (column) => column.notNull())
    .addColumn('pid', 'integer', (column) => column.notNull())
    .addColumn('isolation', 'text', (column) => column.notNull())
    .addColumn('fence', 'bigint')
    .addColumn('started_at', 'bigint', (column) => column.notNull())
    .addColumn('time_limit_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .addColumn('result', 'text')
    .addColumn('after', 'text')
    .addColumn('reason_type', 'text')
    .addColumn('reason_message', 'text')
    .addColumn('reason_stack', 'text')
    .addColumn('value', 'text')
    .addColumn('seq', 'integer', (column) => column.notNull())
    .addColumn('rerun_id', exact)
    .execute();
  await db.schema
    .createTable('roger_counts')
    .addColumn('hour', 'integer', (column) => column.notNull())
    .addColumn('name', exact, (column) => column.notNull())
    .addColumn('measure', 'text', (column) => column.notNull())
    .addColumn('bucket', 'integer', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('roger_counts_key', ['hour', 'name', 'measure', 'bucket'])
    .execute();
  await db.schema
    .createTable('roger_nodes')
    .addColumn('node', exact, (column) => column.notNull().primaryKey())
    .addColumn('batch', 'bigint', (column) => column.notNull())
    .addColumn('seen_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('roger_definitions')
    .addColumn('name', exact, (column) => column.notNull().primaryKey())
    .addColumn('source', 'text', (column) => column.notNull())
    .addColumn('title', 'text')
    .addColumn('sort_order', 'bigint', (column) => column.notNull())
    .addColumn('handler', exact)
    .addColumn('queue', 'text')
    .addColumn('max_execution_time_seconds', 'double precision')
    .addColumn('retries', 'text', (column) => column.notNull())
    .addColumn('priority', 'integer', (column) => column.notNull())
    .addColumn('args_schema', 'text')
    .addColumn('is_active', 'integer', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute();
  await createIndexes(db);
}

function withFacts(
  table: CreateTableBuilder<string>,
  exact: ReturnType<typeof exactText>,
): CreateTableBuilder<string, string> {
  return table
    .addColumn('partition', exact, (column) => column.notNull())
    .addColumn('job_id', exact, (column) => column.notNull())
    .addColumn('queued_at', 'bigint', (column) => column.notNull())
    .addColumn('name', exact, (column) => column.notNull())
    .addColumn('queue', exact, (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull());
}

/** What one enqueueing has set. Nodes of the version before neither write nor read it, and go on. */
async function addLimits(db: Kysely<unknown>): Promise<void> {
  const jobs = db.schema.alterTable('roger_jobs');
  // SQLite adds one column at a time.
  await jobs.addColumn('max_retries', 'integer').execute();
  await jobs.addColumn('max_execution_time_seconds', 'double precision').execute();
  await jobs.addColumn('reply_to', 'text').execute();
}

/** Few: each is paid for with every job. */
async function createIndexes(db: Kysely<unknown>): Promise<void> {
  await sql`create index roger_jobs_by_time on roger_jobs (queued_at)`.execute(db);
  await sql`create index roger_jobs_not_done on roger_jobs (state, queued_at) where state <> 'done'`.execute(
    db,
  );
  await sql`create index roger_runs_by_job on roger_runs (job_id)`.execute(db);
  await sql`create index roger_runs_by_time on roger_runs (started_at)`.execute(db);
  await sql`create index roger_runs_going_on on roger_runs (node) where ended_at is null and result is null`.execute(
    db,
  );
  await sql`create index roger_runs_not_done on roger_runs (result, started_at) where result <> 'done'`.execute(
    db,
  );
}
