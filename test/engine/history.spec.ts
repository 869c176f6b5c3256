// Every run and every job is in the history, on each database and transport: when it ran, where, how it ended and why.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { BuryJob, DiscardJob, RogerJob } from 'nestjs-roger';
import type { DatabaseOptions } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine, TRANSPORTS } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';

interface ToDo {
  readonly what: 'work' | 'fail' | 'fail once' | 'bury' | 'discard' | 'wait';
  readonly note?: string;
}

@RogerJob({ name: 'chore', retryable: { levels: [1] }, maxExecutionTimeSeconds: 60 })
class Chore implements JobHandler<ToDo> {
  perform({ what }: ToDo, { attempt, signal }: JobContext): unknown {
    if (what === 'fail' || (what === 'fail once' && attempt === 1)) throw new TypeError(`can't ${what}`);
    if (what === 'bury') throw new BuryJob('nobody can');
    if (what === 'discard') throw new DiscardJob('not needed');
    if (what === 'wait') {
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      });
    }
    return { did: what };
  }
}

@RogerJob({ name: 'slow', retryable: false, maxExecutionTimeSeconds: 0.2 })
class Slow implements JobHandler<object> {
  perform(_args: object, { signal }: JobContext): Promise<never> {
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error);
      });
    });
  }
}

const cases = TRANSPORTS.flatMap((transport) => DATABASES.map((database) => [transport, database] as const));

describe.each(cases)('the history, with jobs on %s and rows in %s', (transport, database) => {
  let engine: EngineApp;
  let where: DatabaseOptions;

  async function begin(): Promise<void> {
    where = await newDatabase(database);
    engine = await startEngine(rogerOn(transport), { database: where }, [Chore, Slow]);
  }

  async function enqueue(what: ToDo['what']): Promise<string> {
    return (await engine.jobs.enqueue(Chore, { what }, { partition: engine.partition })).job.id;
  }

  function toBe(id: string, state: string): Promise<void> {
    return eventually(
      `job ${id} to be ${state}`,
      async () => (await engine.records.get(id))?.state === state,
    );
  }

  test('has each run once, with its result, its reason and what became of the job', async () => {
    await begin();
    const done = await enqueue('work');
    const retried = await enqueue('fail once');
    const buried = await enqueue('fail');
    const given = await enqueue('bury');
    const discarded = await enqueue('discard');
    const slow = (await engine.jobs.enqueue(Slow, {}, { partition: engine.partition })).job.id;
    await toBe(done, 'done');
    await toBe(retried, 'done');
    await toBe(buried, 'buried');
    await toBe(given, 'buried');
    await toBe(discarded, 'discarded');
    await toBe(slow, 'failed');

    const runsOf = async (id: string): Promise<unknown[]> => {
      const { items } = await engine.history.runsOf(id);
      return items.map(({ attempt, result, after, reason }) => [attempt, result, after, reason?.type]);
    };
    expect(await runsOf(done)).toEqual([[1, 'done', 'ended', undefined]]);
    expect(await runsOf(retried)).toEqual([
      [2, 'done', 'ended', undefined],
      [1, 'failed', 'retried', 'TypeError'],
    ]);
    expect(await runsOf(buried)).toEqual([
      [2, 'failed', 'buried', 'TypeError'],
      [1, 'failed', 'retried', 'TypeError'],
    ]);
    expect(await runsOf(given)).toEqual([[1, 'failed', 'buried', 'BuryJob']]);
    expect(await runsOf(discarded)).toEqual([[1, 'discarded', 'ended', 'DiscardJob']]);
    expect(await runsOf(slow)).toEqual([[1, 'timedOut', 'ended', 'ROGER_JOB_TIMEOUT']]);

    const [run] = (await engine.history.runsOf(done)).items;
    expect(run).toMatchObject({
      jobId: done,
      name: 'chore',
      partition: engine.partition,
      queue: 'default',
      pid: process.pid,
      isolation: 'process',
      status: 'ended',
      value: { did: 'work' },
      args: { what: 'work' },
    });
    const { startedAt, timeLimitAt, endedAt } = run ?? {};
    expect(endedAt?.getTime()).toBeGreaterThanOrEqual(startedAt?.getTime() ?? Infinity);
    expect(Number(timeLimitAt) - Number(startedAt)).toBeGreaterThanOrEqual(59_900);
    expect(await engine.history.get(run?.id ?? '')).toEqual(run);
    expect(await engine.history.countByResult()).toEqual({ done: 2, failed: 4, discarded: 1, timedOut: 1 });
  });

  test('shows what waits, what is delayed and what runs, and a cancel', async () => {
    await begin();
    const { partition } = engine;
    const running = await enqueue('wait');
    await toBe(running, 'running');
    const { items } = await engine.history.find({ status: 'running' });
    expect(items.map(({ jobId, result, endedAt }) => [jobId, result, endedAt])).toEqual([
      [running, undefined, undefined],
    ]);
    const runAt = new Date(Date.now() + 3_600_000);
    const delayed = (await engine.jobs.enqueue(Chore, { what: 'work' }, { partition, runAt })).job.id;
    await toBe(delayed, 'delayed');
    expect((await engine.records.get(delayed))?.dueAt).toEqual(runAt);

    await engine.globalState.cancelJob(partition, running, { reason: 'no longer wanted' });
    await toBe(running, 'cancelled');
    expect((await engine.records.get(running))?.reason?.message).toBe('no longer wanted');
    const [run] = (await engine.history.runsOf(running)).items;
    expect([run?.result, run?.after]).toEqual(['cancelled', 'ended']);
    expect(await engine.records.countByState()).toEqual({ cancelled: 1, delayed: 1 });
  });

  test('is whole when the app has closed', async () => {
    await begin();
    const { partition, partitions } = engine;
    await Promise.all(Array.from({ length: 200 }, () => enqueue('work')));
    await eventually('all to have run', () => partitions.queues(partition)[0]?.counts.done === 200);
    await engine.close();
    expect(engine.history.status()).toEqual({ buffered: 0, dropped: 0, trouble: undefined });
    const after = await startEngine({ mode: 'producer' }, { database: where });
    expect(await after.history.count({ partition, result: 'done' })).toBe(200);
    expect(await after.records.count({ partition, state: 'done' })).toBe(200);
  });
});
