// Jobs run on while the database is away: the history is kept up to its bound, the gap is counted and said, nothing hangs.
import type { JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { startPrivatePostgres } from 'private-postgres';
import { eventually } from '../support/app';
import { rogerOn, startEngine } from '../support/engine-app';
import type { EngineApp } from '../support/engine-app';

@RogerJob({ name: 'quick' })
class Quick implements JobHandler<object> {
  perform(): void {
    // It only has to run.
  }
}

function messages({ log }: EngineApp): string[] {
  return log.messages('log', 'warn', 'error');
}

async function runMany(engine: EngineApp, count: number): Promise<void> {
  const { partition, jobs, partitions } = engine;
  const doneOf = (): number => partitions.queues(partition)[0]?.counts.done ?? 0;
  const before = doneOf();
  const args = Array.from({ length: count }, () => ({}));
  expect((await jobs.enqueueMany(Quick, args, { partition })).failures).toEqual([]);
  await eventually(`${count} jobs to be done`, () => doneOf() === before + count);
}

test('a database that goes and comes back costs no job, and no row within the bound', async () => {
  const postgres = await startPrivatePostgres();
  try {
    const database = { postgres: { connectionString: postgres.uri } };
    const engine = await startEngine(rogerOn('RabbitMQ'), { database }, [Quick]);
    await runMany(engine, 100);
    await eventually('the rows', async () => (await engine.history.count({ result: 'done' })) === 100);

    await postgres.kill();
    await runMany(engine, 1_000);
    await eventually('the trouble', () => engine.history.status().trouble !== undefined);
    await expect(engine.history.count()).rejects.toThrow();

    await postgres.start();
    await eventually('the rows', () => engine.history.status().buffered === 0, 30_000);
    expect(await engine.history.count({ result: 'done' })).toBe(1_100);
    expect(await engine.records.count({ state: 'done' })).toBe(1_100);
    const [hour] = await engine.statistics.byHour({ name: 'quick' });
    expect(hour?.results.done).toBe(1_100);
    expect(engine.history.status()).toEqual({ buffered: 0, dropped: 0, trouble: undefined });
    const said = messages(engine).filter((line) => line.includes('job history'));
    expect(said.map((line) => line.replace(/memory:.*/, 'memory'))).toEqual([
      "The job history can't be written, and is kept in memory",
      'The job history is written again; nothing is missing',
    ]);
  } finally {
    await postgres.stop();
  }
});

test('beyond the bound the oldest rows are dropped, counted and told of; the jobs go on', async () => {
  const postgres = await startPrivatePostgres();
  try {
    const database = { postgres: { connectionString: postgres.uri } };
    const engine = await startEngine(rogerOn('memory'), { database, maxBufferedRows: 1_000 }, [Quick]);
    await postgres.kill();
    await runMany(engine, 2_000);
    const { dropped } = engine.history.status();
    expect(dropped).toBeGreaterThanOrEqual(2_000);
    await postgres.start();
    await eventually('the rows', () => engine.history.status().buffered === 0, 30_000);
    const jobs = await engine.records.count();
    const runs = await engine.history.count();
    expect(jobs + runs + engine.history.status().dropped).toBeGreaterThanOrEqual(4_000);
    expect(messages(engine).join('\n')).toContain(
      `${engine.history.status().dropped} updates of rows are missing`,
    );
    await runMany(engine, 10);
    await eventually('new rows', async () => (await engine.history.count()) === runs + 10);
  } finally {
    await postgres.stop();
  }
});

test('an app starts, works and stops while its database is away, and writes what it kept when that comes', async () => {
  const postgres = await startPrivatePostgres();
  try {
    await postgres.kill();
    const database = { postgres: { connectionString: postgres.uri } };
    const engine = await startEngine(rogerOn('memory'), { database }, [Quick]);
    await runMany(engine, 50);
    await postgres.start();
    await eventually('the rows', () => engine.history.status().buffered === 0, 30_000);
    expect(await engine.history.count({ result: 'done' })).toBe(50);
    await postgres.kill();
    await runMany(engine, 5);
    const begunAt = performance.now();
    await engine.close();
    expect(performance.now() - begunAt).toBeLessThan(30_000);
    expect(messages(engine).join('\n')).toContain('The job history of this process has gaps');
  } finally {
    await postgres.stop();
  }
});
