// What the run history costs: the same jobs, enqueued and run by one process, without it and with it in either database.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseOptions } from 'nestjs-roger-engine';
import { RogerEngineModule, RunHistory } from 'nestjs-roger-engine';
import { ensurePostgres, startPrivatePostgres } from 'private-postgres';
import { Arena } from './arena';
import type { Benchmark, Conditions, Result, Row } from './benchmark';
import { ARGS, PlainJob } from './jobs';
import type { Contestant, Score } from './rounds';
import { compete, startSpan } from './rounds';
import { Tally } from './tally';

/** So many that the wait for the last interval is little beside them: it is a fortieth of 50 000. */
const JOBS = 100_000;
const ROUNDS = 5;
const QUICK_JOBS = 2_000;
const GOAL = { atLeast: 0.7 };
const POLL_MS = 5;

export const engine: Benchmark = async (conditions) => {
  const folder = mkdtempSync(join(tmpdir(), 'roger-bench-'));
  if (!(await ensurePostgres(console.error))) throw new Error('There is no PostgreSQL to measure with');
  const postgres = await startPrivatePostgres();
  try {
    return await Arena.during(conditions, (arena) =>
      measure(arena, conditions, {
        sqlite: { sqlite: join(folder, 'history.db') },
        postgres: { postgres: { connectionString: postgres.uri } },
      }),
    );
  } finally {
    await postgres.stop();
    rmSync(folder, { recursive: true });
  }
};

interface Databases {
  readonly sqlite: DatabaseOptions;
  readonly postgres: DatabaseOptions;
}

async function measure(
  arena: Arena,
  { isQuick }: Conditions,
  { sqlite, postgres }: Databases,
): Promise<Result> {
  const jobs = isQuick ? QUICK_JOBS : JOBS;
  const contestant =
    (database?: DatabaseOptions): Contestant =>
    () =>
      round(arena, jobs, database);
  const { without, inSqlite, inPostgres } = await compete(
    { without: contestant(), inSqlite: contestant(sqlite), inPostgres: contestant(postgres) },
    { rounds: ROUNDS, isQuick },
  );
  const rows = [
    row('history in SQLite; raw: without', without, inSqlite),
    row('history in PostgreSQL; raw: without', without, inPostgres),
  ];
  const [sqliteRatio, postgresRatio] = rows.map(({ ratio }) => ratio) as [number, number];
  return {
    rows,
    fields: {
      history_cost_ratio_sqlite: sqliteRatio,
      history_cost_ratio_postgres: postgresRatio,
      history_cpu_us_without: without.cpuUsPerJob,
      history_cpu_us_sqlite: inSqlite.cpuUsPerJob,
      history_cpu_us_postgres: inPostgres.cpuUsPerJob,
    },
  };
}

/** Ends when all jobs have run and all of the history is written, so that what is put off counts too. */
async function round(arena: Arena, jobs: number, database?: DatabaseOptions): ReturnType<Contestant> {
  const tally = new Tally();
  const imports = database === undefined ? [] : [RogerEngineModule.forRoot({ database })];
  const worker = await arena.startWorker({ default: 100 }, tally, imports);
  const history = database === undefined ? undefined : worker.app.get(RunHistory);
  const before = (await history?.count()) ?? 0;
  const ended = tally.expect(jobs);
  const endSpan = startSpan();
  await worker.jobs.enqueueMany(
    PlainJob,
    Array.from({ length: jobs }, () => ARGS),
  );
  await ended;
  while ((history?.status().buffered ?? 0) > 0) await sleep(POLL_MS);
  const span = endSpan(jobs);
  const written = history === undefined ? jobs : (await history.count()) - before;
  await worker.close();
  await arena.clear(0);
  if (written !== jobs) throw new Error(`${written} of ${jobs} runs are in the history`);
  return span;
}

function row(name: string, without: Score, recorded: Score): Row & { ratio: number } {
  return {
    name,
    unit: 'jobs/s',
    raw: without.jobsPerSecond,
    roger: recorded.jobsPerSecond,
    cpuUs: { raw: without.cpuUsPerJob, roger: recorded.cpuUsPerJob },
    ratio: recorded.ratioTo(without),
    goal: GOAL,
  };
}
