// The database of the engine: opened, brought to its present form, written to in batches, closed.
import type { HeldRelease, QueueAddress } from 'nestjs-roger';
import type { Kysely as Database, RawBuilder, Transaction } from 'kysely';
import { CompiledQuery, Kysely, Migrator, sql } from 'kysely';
import type { DatabaseOptions } from '../engine.options';
import { HELD, heldMessage } from '../records/event-rows';
import type { JobState } from '../records/rows';
import { RUN_UNSETTLED } from '../records/rows';
import type { BatchStore } from '../writer/history-writer';
import type { Line } from '../writer/lines';
import { linesOf } from '../writer/lines';
import type { Batch } from '../writer/record-buffer';
import type { EachRecord } from './batch-sql';
import { POSTGRES_COUNTS, POSTGRES_EVENTS, recordOfCount, SQLITE_COUNTS, SQLITE_EVENTS } from './batch-sql';
import type { Dialect } from './migrations';
import { migrations } from './migrations';
import { postgresDialect } from './postgres-dialect';
import type { Tables } from './schema';
import { Records } from './sqlite-connection';
import { sqliteDialect } from './sqlite-dialect';

/** Two tables of our own, so that an app may have Kysely's under their usual names. */
const MIGRATION_TABLES = {
  migrationTableName: 'roger_migrations',
  migrationLockTableName: 'roger_migrations_lock',
};

/** SQLSTATE classes: wrong data, a broken rule. */
const POSTGRES_REFUSALS = /^(22|23)/;
const SQLITE_REFUSALS = /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG)/;

export class EngineStore implements BatchStore {
  readonly dialect: Dialect;
  /** For who asks: in SQLite beside the writing, which must not wait for long questions. */
  readonly reading: Database<Tables>;
  readonly writing: Database<Tables>;

  constructor(
    database: DatabaseOptions,
    private readonly nodeId: string,
  ) {
    if ('sqlite' in database) {
      this.dialect = 'sqlite';
      this.writing = new Kysely<Tables>({ dialect: sqliteDialect(database.sqlite) });
      this.reading = new Kysely<Tables>({ dialect: sqliteDialect(database.sqlite) });
    } else {
      this.dialect = 'postgres';
      this.writing = new Kysely<Tables>({ dialect: postgresDialect(database.postgres) });
      this.reading = this.writing;
    }
  }

  /** Brings the tables to their present form. Safe when many nodes do so at once. */
  async migrate(): Promise<void> {
    const migrator = new Migrator({
      db: this.writing,
      provider: migrations(this.dialect, await this.migrated()),
      ...MIGRATION_TABLES,
    });
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw error instanceof Error ? error : new Error(JSON.stringify(error));
  }

  /** Those that have been carried out, by this version or a newer one. */
  private async migrated(): Promise<readonly string[]> {
    const tables = await this.writing.introspection.getTables({ withInternalKyselyTables: true });
    if (!tables.some(({ name }) => name === MIGRATION_TABLES.migrationTableName)) return [];
    const { rows } = await sql<{ name: string }>`select name from roger_migrations`.execute(this.writing);
    return rows.map(({ name }) => name);
  }

  async write({ events, counts }: Batch, number: number): Promise<void> {
    await this.writing.transaction().execute(async (trx) => {
      const { rows } = await sql`
        insert into roger_nodes (node, batch, seen_at) values (${this.nodeId}, ${number}, ${this.now})
        on conflict (node) do update set batch = excluded.batch, seen_at = excluded.seen_at
        where roger_nodes.batch < excluded.batch
        returning node`.execute(trx);
      // It was written before, and only the answer was lost: counts must not be added twice.
      if (rows.length === 0) return;
      const records = events.map(({ line }) => line);
      await this.upsert(trx, records, SQLITE_EVENTS, POSTGRES_EVENTS);
      const counted = linesOf(counts.map((count) => JSON.stringify(recordOfCount(count))));
      await this.upsert(trx, counted, SQLITE_COUNTS, POSTGRES_COUNTS);
    });
  }

  private async upsert(
    trx: Transaction<Tables>,
    records: readonly Line[],
    inSqlite: readonly EachRecord[],
    inPostgres: string,
  ): Promise<void> {
    if (records.length === 0) return;
    await trx.executeQuery(
      this.dialect === 'sqlite'
        ? CompiledQuery.raw('', [new Records(records, inSqlite)])
        : CompiledQuery.raw(inPostgres, [listOf(records)]),
    );
  }

  async markPurged({ partition, queue }: QueueAddress, at: number): Promise<void> {
    await this.writing
      .updateTable('roger_jobs')
      .set({ state: 'purged', ended_at: at })
      .where('partition', '=', partition)
      .where('queue', '=', queue)
      .where('state', '=', 'queued')
      .where('queued_at', '<=', at)
      .execute();
  }

  async markReleased(release: HeldRelease, at: number): Promise<void> {
    const isNow = 'isNow' in release && release.isNow;
    let query = this.writing
      .updateTable('roger_jobs')
      .set({
        state: isNow ? 'queued' : sql<JobState>`case when due_at > ${at} then 'delayed' else 'queued' end`,
        ...(isNow ? { due_at: null } : {}),
        ...{ reason_type: null, reason_message: null, seq_at: at * 1_000 },
      })
      .where('partition', '=', release.partition)
      .where('state', '=', 'held')
      // It may be held again meanwhile.
      .where('seq_at', '<=', at * 1_000);
    if ('jobId' in release) query = query.where('job_id', '=', release.jobId);
    else query = query.where('reason_type', '=', HELD).where('reason_message', '=', heldMessage(release.why));
    await query.execute();
  }

  async endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.writing
      .selectFrom('roger_runs')
      .select('id')
      .where('id', 'in', runIds)
      .where('seq', '>=', RUN_UNSETTLED)
      .execute();
    return new Set(rows.map(({ id }) => id));
  }

  isRefusal(error: unknown): boolean {
    const { code } = error as { readonly code?: unknown };
    if (typeof code !== 'string') return false;
    return this.dialect === 'sqlite' ? SQLITE_REFUSALS.test(code) : POSTGRES_REFUSALS.test(code);
  }

  async close(): Promise<void> {
    await this.writing.destroy();
    if (this.reading !== this.writing) await this.reading.destroy();
  }

  /** The database's time, in ms since the epoch: one clock for all nodes. */
  get now(): RawBuilder<number> {
    return this.dialect === 'sqlite'
      ? sql<number>`cast(unixepoch('subsec') * 1000 as integer)`
      : sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`;
  }
}

/** As bytes, as they are: to make one long string, only to have it encoded, takes several times as long. */
function listOf(lines: readonly Line[]): Buffer {
  const bytes = Buffer.allocUnsafeSlow(lines.reduce((sum, line) => sum + line.byteLength + 1, 1));
  let end = bytes.write('[');
  for (const line of lines) {
    if (end > 1) end += bytes.write(',', end);
    end = line.copyTo(bytes, end);
  }
  bytes.write(']', end);
  return bytes;
}
