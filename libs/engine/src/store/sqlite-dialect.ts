// Kysely on a SQLite file in a thread.
import type { DatabaseConnection, Dialect, Driver } from 'kysely';
import { CompiledQuery, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { SqliteConnection } from './sqlite-connection';

/** SQLite can take back a changed table: so one node migrates, and others that start meanwhile wait for its transaction. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** One connection, for one at a time. */
class SqliteDriver implements Driver {
  private readonly connection: SqliteConnection;
  private turn: Promise<void> = Promise.resolve();
  private giveBack: () => void = () => undefined;

  constructor(path: string) {
    this.connection = new SqliteConnection(path);
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.turn;
    let giveBack = (): void => undefined;
    this.turn = new Promise((resolve) => (giveBack = resolve));
    await before;
    this.giveBack = giveBack;
    return this.connection;
  }

  releaseConnection(): Promise<void> {
    this.giveBack();
    return Promise.resolve();
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // All our transactions write: to find out later that another process does would end them.
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  destroy(): Promise<void> {
    return this.connection.close();
  }
}

export function sqliteDialect(path: string): Dialect {
  return {
    createAdapter: () => new TransactionalAdapter(),
    createDriver: () => new SqliteDriver(path),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}
