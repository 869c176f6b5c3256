// What can be asked of the history: by result, name, time and place, in pages; what is kept of args; statistics; what is pruned.
import { createHash } from 'node:crypto';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import type { DatabaseOptions, HourlyStatistics, RogerEngineOptions } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';
import { runSql } from '../support/run-sql';

@RogerJob({ name: 'even', retryable: false })
class Even implements JobHandler<{ n: number }> {
  perform({ n }: { n: number }): number {
    if (n % 2 === 1) throw new RangeError(`${n} is odd\0`);
    return n;
  }
}

@RogerJob({ name: 'held', retryable: false, maxExecutionTimeSeconds: 0.05 })
class Held implements JobHandler<object> {
  async perform(_args: object, { job }: JobContext): Promise<void> {
    // It does not heed its signal.
    while (job.id !== released) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

let released = '';

describe.each(DATABASES)('the history in %s', (kind) => {
  let engine: EngineApp;
  let database: DatabaseOptions;

  async function begin(options: Omit<RogerEngineOptions, 'database'> = {}): Promise<void> {
    database = await newDatabase(kind);
    engine = await startEngine(rogerOn('memory'), { database, ...options }, [Even, Held]);
  }

  async function run(count: number): Promise<string[]> {
    const { jobs, partition, history } = engine;
    const ids: string[] = [];
    for (let n = 0; n < count; n++) ids.push((await jobs.enqueue(Even, { n }, { partition })).job.id);
    await eventually('the runs', async () => (await history.count({ status: 'ended' })) === count);
    return ids;
  }

  test('finds runs by what is asked, newest first, page by page', async () => {
    await begin();
    const from = new Date();
    const ids = await run(10);
    const { history, partition } = engine;
    const count = history.count.bind(history);
    expect(await count({ result: 'done' })).toBe(5);
    expect(await count({ result: ['failed', 'done'] })).toBe(10);
    expect(await count({ name: 'odd' })).toBe(0);
    expect(await count({ name: 'even', partition, queue: 'default', from })).toBe(10);
    expect(await count({ partition: 'other' })).toBe(0);
    expect(await count({ to: from })).toBe(0);
    expect(await count({ node: (await history.runsOf(ids[0] ?? '')).items[0]?.node })).toBe(10);

    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const { items, next } = await history.find({}, { limit: 3, after });
      seen.push(...items.map(({ jobId }) => jobId));
      if (next === undefined) break;
      after = next;
    }
    expect(seen).toHaveLength(10);
    expect(new Set(seen)).toEqual(new Set(ids));
    await expect(history.find({}, { limit: 0 })).rejects.toThrow('limit');
    await expect(history.find({}, { after: 'anything' })).rejects.toThrow('after');
    await expect(history.find({ result: 'great' as never })).rejects.toThrow('result');
    await expect(history.find({ from: new Date(Number.NaN) })).rejects.toThrow('from');
    const [failed] = (await history.find({ result: 'failed' })).items;
    expect(failed?.reason?.message).toMatch(/^\d is odd\ufffd$/);
  });

  test('pages have each job and run that was there once, though more is written meanwhile', async () => {
    await begin();
    const { history, records, jobs, partition } = engine;
    const ids = await run(10);
    const seen = { runs: [] as string[], jobs: [] as string[] };
    let after: { runs?: string | undefined; jobs?: string | undefined } | undefined = {};
    for (let page = 0; after !== undefined; page++) {
      const runs = await history.find({}, { limit: 3, after: after.runs });
      const rows = await records.find({}, { limit: 3, after: after.jobs });
      seen.runs.push(...runs.items.map(({ jobId }) => jobId));
      seen.jobs.push(...rows.items.map(({ id }) => id));
      after = runs.next === undefined ? undefined : { runs: runs.next, jobs: rows.next };
      await jobs.enqueue(Even, { n: 0 }, { partition, id: `meanwhile-${page}` });
      await eventually('its row', async () => (await history.count({ status: 'ended' })) === 11 + page);
    }
    expect([...seen.runs].sort()).toEqual([...ids].sort());
    expect([...seen.jobs].sort()).toEqual([...ids].sort());
  });

  test('finds what runs beyond its time', async () => {
    await begin();
    const { jobs, partition, history, records } = engine;
    released = '';
    const { job } = await jobs.enqueue(Held, {}, { partition });
    await eventually('it to be overdue', async () => (await history.overdue()).items.length === 1);
    expect((await history.overdue({ byMs: 60_000 })).items).toEqual([]);
    released = job.id;
    await eventually('its end', async () => (await records.get(job.id))?.endedAt !== undefined);
    expect((await history.overdue()).items).toEqual([]);
  });

  test('tells where a queued job stands in its line, by priority and time', async () => {
    await begin();
    const { jobs, partition, partitions, records } = engine;
    partitions.pause(partition, 'default');
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      ids.push((await jobs.enqueue(Even, { n: 0 }, { partition, id: `${n}` })).job.id);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await eventually('the rows', async () => (await records.count({ state: 'queued' })) === 3);
    expect(await Promise.all(ids.map((id) => records.position(id)))).toEqual([1, 2, 3]);
    expect(await records.position('nobody')).toBeUndefined();
    expect((await records.find({ state: 'queued' }, { limit: 2 })).items.map(({ id }) => id)).toEqual([
      '2',
      '1',
    ]);
    await engine.globalState.purge(partition, 'default');
    await eventually('them to be purged', async () => (await records.count({ state: 'purged' })) === 3);
    expect(await records.position('0')).toBeUndefined();
  });

  test.each([
    ['full', { args: { n: 0 }, argsHash: undefined }],
    ['hash', { args: undefined, argsHash: createHash('sha256').update('{"n":0}').digest('hex') }],
    ['none', { args: undefined, argsHash: undefined }],
  ] as const)('keeps of args what is asked for: %s', async (argsRecording, kept) => {
    await begin({ argsRecording });
    const [id = ''] = await run(1);
    expect(await engine.records.get(id)).toMatchObject(kept);
    expect((await engine.history.runsOf(id)).items[0]).toMatchObject(kept);
  });

  test('keeps no args that are too large, but their hash', async () => {
    await begin({ maxRecordedBytes: 3 });
    const [id = ''] = await run(1);
    expect(await engine.records.get(id)).toMatchObject({
      args: undefined,
      argsHash: createHash('sha256').update('{"n":0}').digest('hex'),
    });
  });

  test('counts by hour, for each name', async () => {
    await begin();
    await run(20);
    const hours = await engine.statistics.byHour({ name: 'even' });
    // Two where the hour has changed meanwhile.
    const sumOf = (what: (hour: HourlyStatistics) => number): number =>
      hours.reduce((sum, one) => sum + what(one), 0);
    expect(sumOf(({ runs }) => runs)).toBe(20);
    expect([sumOf(({ results }) => results.done ?? 0), sumOf(({ results }) => results.failed ?? 0)]).toEqual([
      10, 10,
    ]);
    expect(sumOf(({ failureRate, runs }) => failureRate * runs)).toBeCloseTo(10);
    for (const { runTime, waitTime, throughput } of hours) {
      expect(runTime?.p50).toBeLessThanOrEqual(runTime?.p99 ?? 0);
      expect(waitTime?.p95).toBeGreaterThan(0);
      expect(throughput).toBeGreaterThan(0);
    }
    expect(await engine.statistics.byHour({ name: 'nobody' })).toEqual([]);
  });

  test('removes the rows of jobs whose runs are beyond the count, and of no others', async () => {
    await begin({ retention: { maxRuns: 5 } });
    const ids = await run(10);
    const { history, records, jobs, partition, partitions } = engine;
    partitions.pause(partition, 'default');
    await jobs.enqueue(Even, { n: 0 }, { partition, id: 'waits' });
    await eventually('its row', async () => (await records.count({ state: 'queued' })) === 1);
    // Begun a second apart; the fifth ends when it is beyond the count already, and the one that waits is the oldest.
    const first = Date.now() - 20_000;
    await runSql(database, [
      ...ids.flatMap((id, n) => [
        `update roger_runs set started_at = ${first + n * 1_000}, queued_at = ${first} where job_id = '${id}'`,
        `update roger_jobs set queued_at = ${first + n}, ended_at = ${first + n * 1_000 + 500} where job_id = '${id}'`,
      ]),
      `update roger_jobs set queued_at = ${first - 1} where job_id = 'waits'`,
    ]);
    expect(await history.prune()).toEqual({ runs: 5, jobs: 4 });
    const left = (await records.find()).items.map(({ id }) => id);
    expect(left).toEqual([...ids.slice(4).reverse(), 'waits']);
    expect((await history.find()).items.map(({ jobId }) => jobId)).toEqual(ids.slice(5).reverse());
    expect(await history.prune()).toEqual({ runs: 0, jobs: 0 });
  });

  test('removes jobs that an operator has marked as stopped, once they are too old', async () => {
    await begin({ retention: { days: 1 } });
    const { history, records, jobs, partition, partitions, engine: control } = engine;
    partitions.pause(partition, 'default');
    for (const id of ['old', 'recent', 'waits']) await jobs.enqueue(Even, { n: 0 }, { partition, id });
    for (const id of ['old', 'recent']) expect(await control.markStopped(id)).toEqual({ did: 'marked' });
    const long =
      "queued_at = queued_at - 86400000000, seq_at = seq_at - 86400000000000 where job_id <> 'recent'";
    await runSql(database, [`update roger_jobs set ${long}`]);
    expect(await history.prune()).toEqual({ runs: 0, jobs: 1 });
    expect((await records.find()).items.map(({ id }) => id)).toEqual(['recent', 'waits']);
  });

  test('removes the oldest runs beyond a count, and what is older than its days', async () => {
    await begin({ retention: { days: 1, maxRuns: 5 } });
    await run(10);
    await runSql(database, [
      "update roger_runs set started_at = started_at - 86400000000 where attempt = 1 and result = 'failed'",
    ]);
    await runSql(database, [
      `update roger_jobs set queued_at = queued_at - 86400000000, ended_at = ended_at - 86400000000 where state = 'failed'`,
    ]);
    const { history, records } = engine;
    await engine.history.prune();
    expect(await history.count({ result: 'failed' })).toBe(0);
    expect(await records.count({ state: 'failed' })).toBe(0);
    expect(await records.count({ state: 'done' })).toBe(5);
    expect(await history.count()).toBeLessThanOrEqual(5);
  });
});
