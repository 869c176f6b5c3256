// Kysely on PostgreSQL, by a pool of ours or of the app's.
import type { Dialect } from 'kysely';
import { PostgresDialect } from 'kysely';
import type { Pool, PoolClient, PoolConfig } from 'pg';
import { InvalidOptionsError } from 'nestjs-roger';

/** What a database that hangs may keep us waiting for. */
const DEFAULTS: PoolConfig = {
  max: 4,
  connectionTimeoutMillis: 5_000,
  statement_timeout: 60_000,
  query_timeout: 65_000,
  keepAlive: true,
  application_name: 'nestjs-roger-engine',
};

/** Whether it is a pool of the app's: that one stays open. */
function isPool(postgres: Pool | PoolConfig): postgres is Pool {
  return typeof (postgres as { connect?: unknown }).connect === 'function';
}

/** @throws InvalidOptionsError where the package `pg` is not installed */
export function postgresDialect(postgres: Pool | PoolConfig): Dialect {
  if (isPool(postgres)) {
    return new PostgresDialect({ pool: { connect: () => connect(postgres), end: () => Promise.resolve() } });
  }
  const { Pool: PoolClass } = loadPg();
  const pool = new PoolClass({ ...DEFAULTS, ...postgres });
  // A connection that breaks while nobody uses it: the next query opens another.
  pool.on('error', () => undefined);
  return new PostgresDialect({ pool: { connect: () => connect(pool), end: () => pool.end() } });
}

const listened = new WeakSet<PoolClient>();

/** A pool hands out clients that nobody listens to: one that loses its connection between two queries would end the process. */
async function connect(pool: Pool): Promise<PoolClient> {
  const client = await pool.connect();
  if (listened.has(client)) return client;
  listened.add(client);
  // The next query of it is refused, which is told of where it is asked.
  return client.on('error', () => undefined);
}

function loadPg(): typeof import('pg') {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- only who uses PostgreSQL needs the package
    return require('pg') as typeof import('pg');
  } catch {
    throw new InvalidOptionsError(
      [{ path: 'database.postgres', message: 'the package pg is not installed: npm install pg' }],
      'RogerEngineModule options',
    );
  }
}
