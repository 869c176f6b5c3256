// Databases of a test's own for the engine: a SQLite file, or a database of a private PostgreSQL that the file's tests share.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseOptions } from 'nestjs-roger-engine';
import { Client } from 'pg';
import type { PrivatePostgres } from 'private-postgres';
import { ensurePostgres, startPrivatePostgres } from 'private-postgres';

export type DatabaseKind = 'SQLite' | 'PostgreSQL';
export const DATABASES: readonly DatabaseKind[] = ['SQLite', 'PostgreSQL'];

let starting: Promise<PrivatePostgres> | undefined;
const folders: string[] = [];

/** The server that the tests of this file share. */
export function sharedPostgres(): Promise<PrivatePostgres> {
  starting ??= start();
  return starting;
}

async function start(): Promise<PrivatePostgres> {
  if (!(await ensurePostgres((line) => process.stderr.write(`${line}\n`)))) {
    throw new Error('These tests need PostgreSQL: on Debian, apt-get install postgresql');
  }
  return startPrivatePostgres();
}

/** An empty one. */
export async function newDatabase(kind: DatabaseKind): Promise<DatabaseOptions> {
  if (kind === 'SQLite') {
    const folder = mkdtempSync(join(tmpdir(), 'roger-engine-'));
    folders.push(folder);
    return { sqlite: join(folder, 'jobs.db') };
  }
  const { uri } = await sharedPostgres();
  const name = `t_${randomBytes(6).toString('hex')}`;
  const client = new Client({ connectionString: uri });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  return { postgres: { connectionString: uri.replace(/postgres$/, name) } };
}

afterAll(async () => {
  await (await starting)?.stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
