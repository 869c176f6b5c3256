// Runs statements on a test's database, past the engine.
import type { DatabaseOptions } from 'nestjs-roger-engine';
import { Client } from 'pg';
import { eventually } from './app';

interface SqliteFile {
  exec(sql: string): void;
  close(): void;
}
// eslint-disable-next-line @typescript-eslint/no-require-imports -- it has no types here
const Sqlite = require('better-sqlite3') as new (
  path: string,
  options: { readonly timeout: number },
) => SqliteFile;

/** One after the other. */
export async function runSql(database: DatabaseOptions, statements: readonly string[]): Promise<void> {
  if ('sqlite' in database) {
    // Who waits for the lock in SQLite keeps an engine of this process from giving it back.
    const file = new Sqlite(database.sqlite, { timeout: 0 });
    for (const statement of statements) await eventually('the lock', () => isDone(file, statement));
    file.close();
    return;
  }
  const client = new Client(database.postgres as { connectionString: string });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

function isDone(file: SqliteFile, statement: string): boolean {
  try {
    file.exec(statement);
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'SQLITE_BUSY') throw error;
    return false;
  }
}
