// An operator's control of single jobs: each call says what it did, and does nothing the second time.
import type { JobQueue } from 'nestjs-roger';
import { MemoryBroker } from 'nestjs-roger';
import type { RunResult } from 'nestjs-roger-engine';
import { ArgsNotRecordedError } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import { begin, begun, behindOne, COMBINATIONS, inState, openGate, Task } from '../support/controlled-task';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine } from '../support/engine-app';
import { newDatabase } from '../support/engine-databases';
import { within } from '../support/within';

describe.each(COMBINATIONS)('over %s, recorded in %s', (transport, database) => {
  test('a held job waits until it is released, and so does a delayed one', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    await behindOne(app, ['a', 'b']);
    await jobs.enqueue(Task, {}, { partition, id: 'late', delayMs: 3_600_000 });
    expect(await engine.hold('a', { why: 'to be looked at' })).toEqual({ did: 'held' });
    expect(await engine.hold('a')).toEqual({ did: 'nothing', because: 'held' });
    expect(await engine.hold('late')).toEqual({ did: 'held' });
    expect(await engine.get('a')).toMatchObject({ state: 'held', reason: { message: 'to be looked at' } });
    openGate();
    await inState(app, 'b', 'done');
    expect(begun.seen).toEqual(['first', 'b']);
    expect(await engine.release('a')).toEqual({ did: 'released' });
    await inState(app, 'a', 'done');
    expect(await engine.release('a')).toEqual({ did: 'nothing', because: 'ended' });
    expect(await engine.release('late')).toEqual({ did: 'released' });
    expect(await engine.release('late')).toEqual({ did: 'nothing', because: 'not held' });
    expect(await engine.get('late')).toMatchObject({ state: 'delayed' });
    expect(begun.seen).toEqual(['first', 'b', 'a']);
  });

  test('a job that is to run now goes before all others, from the queue, a delay or a hold', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    const others = Array.from({ length: 12 }, (_, n) => `other-${n}`);
    await behindOne(app, [...others, 'z'], { ms: 50 });
    await jobs.enqueue(Task, {}, { partition, id: 'late', delayMs: 3_600_000 });
    await jobs.enqueue(Task, {}, { partition, id: 'held', held: true });
    expect(await engine.get('held')).toMatchObject({ state: 'held' });
    expect(await engine.position('z')).toBe(13);
    const ahead = ['z', 'late', 'held'];
    for (const id of ahead) expect(await engine.runNow(id)).toEqual({ did: 'sent ahead' });
    expect(await engine.runNow('first')).toEqual({ did: 'nothing', because: 'running' });
    openGate();
    for (const id of [...others, ...ahead]) await inState(app, id, 'done');
    expect([...begun.seen].sort()).toEqual([...ahead, ...others, 'first'].sort());
    // While one asks its ledger, or comes from the broker, the worker takes what it has; no more than that is before it.
    const places = ahead.map((id) => begun.seen.indexOf(id));
    expect(Math.max(...places)).toBeLessThan(begun.seen.indexOf('other-10'));
    expect(await engine.runNow('z')).toEqual({ did: 'nothing', because: 'ended' });
  });

  test('a removed job never runs, and its queue key is free', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    await behindOne(app, ['a'], { key: 'k' });
    await jobs.enqueue(Task, {}, { partition, id: 'b' });
    expect(await engine.remove('a')).toEqual({ did: 'removed' });
    expect(await engine.remove('a')).toEqual({ did: 'nothing', because: 'ended' });
    expect(await engine.remove('first')).toEqual({ did: 'nothing', because: 'running' });
    expect(await engine.remove('nobody')).toEqual({ did: 'nothing', because: 'unknown' });
    expect(await jobs.enqueue(Task, { key: 'k' }, { partition, id: 'heir' })).toMatchObject({
      status: 'enqueued',
    });
    openGate();
    await inState(app, 'heir', 'done');
    await inState(app, 'b', 'done');
    expect([...begun.seen].sort()).toEqual(['b', 'first', 'heir']);
    expect(await engine.get('a')).toMatchObject({ state: 'removed' });
  });

  test('a killed job ends as cancelled; one that does not run is left alone', async () => {
    const app = await begin(transport, database);
    const { engine, history } = app;
    await behindOne(app, ['a']);
    expect(await engine.kill('a')).toEqual({ did: 'nothing', because: 'not running' });
    expect(await engine.findRun('first')).toMatchObject({ isLive: true });
    expect(await engine.kill('first', { reason: 'enough' })).toEqual({ did: 'killed' });
    expect(await engine.kill('first')).toEqual({ did: 'nothing', because: 'ended' });
    await inState(app, 'a', 'done');
    expect(await engine.get('first')).toMatchObject({ state: 'cancelled' });
    const { items } = await history.runsOf('first');
    expect(items).toMatchObject([{ result: 'cancelled', reason: { message: 'enough' } }]);
    expect(await engine.findRun('first')).toBeUndefined();
  });

  test('a job that is said to have failed, or to be done, is so for good, whether it ran or not', async () => {
    const app = await begin(transport, database);
    const { engine, history } = app;
    await behindOne(app, ['a', 'b', 'c']);
    expect(await engine.fail('a', 'not wanted')).toEqual({ did: 'failed' });
    expect(await engine.complete('b', { result: { by: 'hand' } })).toEqual({ did: 'completed' });
    expect(await engine.complete('first', { result: 7 })).toEqual({ did: 'completed' });
    expect(await engine.fail('first', 'late')).toEqual({ did: 'nothing', because: 'ended' });
    await inState(app, 'c', 'done');
    expect(begun.seen).toEqual(['first', 'c']);
    expect(await engine.get('a')).toMatchObject({ state: 'failed', reason: { message: 'not wanted' } });
    expect(await engine.get('b')).toMatchObject({ state: 'done' });
    expect(await engine.get('first')).toMatchObject({ state: 'done' });
    const { items } = await history.runsOf('first');
    expect(items).toMatchObject([{ result: 'done' }]);
    await expect(engine.fail('c', '')).rejects.toThrow('reason');
  });

  test('what an operator has said of a run is what the statistics count, too', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    const calls = {
      failed: () => engine.fail('failed', 'not wanted'),
      done: () => engine.complete('done'),
      cancelled: () => engine.kill('cancelled'),
    };
    for (const [id, call] of Object.entries(calls)) {
      await jobs.enqueue(Task, { waits: true }, { partition, id });
      await inState(app, id, 'running');
      await call();
    }
    await expectStatisticsOf(app);
  });

  test('a job that is over runs again as a new one; a buried one is buried no more', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition, info } = app;
    await jobs.enqueue(Task, {}, { partition, id: 'done' });
    await jobs.enqueue(Task, { fails: true }, { partition, id: 'buried', maxRetries: 0 });
    const buried = async () => (await info.queueDepth(partition, 'default'))?.buried;
    await inState(app, 'done', 'done');
    await inState(app, 'buried', 'buried');
    expect(await engine.retry('done')).toEqual({ did: 'enqueued' });
    await within('it to run again', begun.count(3));
    await eventually('it to be buried', async () => (await buried()) === 1);
    expect(await engine.retry('buried')).toEqual({ did: 'enqueued' });
    await within('it to run again', begun.count(4));
    expect(begun.seen.slice(2)).toEqual(['done', 'buried']);
    // It has failed again, and is not there twice.
    await eventually(
      'it to be buried again',
      async () => (await engine.get('buried'))?.state === 'buried' && (await buried()) === 1,
    );
    await jobs.enqueue(Task, { fails: true }, { partition, id: 'waiting' });
    await inState(app, 'waiting', 'waiting');
    expect(await engine.retry('waiting')).toEqual({ did: 'nothing', because: 'not ended' });
    expect(await engine.retry('nobody')).toEqual({ did: 'nothing', because: 'unknown' });
  });

  test('what is marked as stopped goes on all the same; what a present node runs is not given up', async () => {
    const app = await begin(transport, database);
    const { engine } = app;
    await behindOne(app, ['a']);
    expect(await engine.markStopped('a')).toEqual({ did: 'marked' });
    expect(await engine.get('a')).toMatchObject({ state: 'stopped' });
    expect(await engine.expire('first')).toEqual({ did: 'nothing', because: 'node alive' });
    expect(await engine.expire('a')).toEqual({ did: 'nothing', because: 'not running' });
    openGate();
    await inState(app, 'a', 'done');
    expect(await engine.tick()).toEqual({ ok: 4, failed: 0 });
  });
});

test('a job whose args were not recorded can be removed, but not sent again', async () => {
  const app = await begin('memory', 'SQLite', { argsRecording: 'hash' });
  const { engine } = app;
  await behindOne(app, ['a']);
  await expect(engine.runNow('a')).rejects.toThrow(ArgsNotRecordedError);
  expect(await engine.remove('a')).toEqual({ did: 'removed' });
  openGate();
});

test('a job is killed, ended and held from a node that does not run it', async () => {
  const database = await newDatabase('SQLite');
  const roger = rogerOn('RabbitMQ');
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  const partitions = { [partition]: { default: 1 } };
  const worker = await startEngine({ ...roger, partitions }, { database }, [Task]);
  const { engine } = await startEngine({ ...roger, partitions, mode: 'producer' }, { database }, [Task]);
  await behindOne(worker, ['a', 'b']);
  for (const id of ['first', 'a', 'b'])
    await eventually(`${id} to be known`, async () => (await engine.get(id)) !== undefined);
  await inState({ engine }, 'first', 'running');
  expect(await engine.findRun('first')).toMatchObject({ isLive: true });
  expect(await engine.hold('a')).toEqual({ did: 'held' });
  expect(await engine.fail('b', 'not wanted')).toEqual({ did: 'failed' });
  expect(await engine.kill('first')).toEqual({ did: 'killed' });
  expect(await engine.release('a')).toEqual({ did: 'released' });
  await inState({ engine }, 'a', 'done');
  expect(begun.seen).toEqual(['first', 'a']);
  expect(await engine.get('first')).toMatchObject({ state: 'cancelled' });
});

/** That they agree with the runs. */
async function expectStatisticsOf({ history, statistics }: EngineApp): Promise<void> {
  const counted: Partial<Record<RunResult, number>> = {};
  // Two where the hour has changed meanwhile.
  for (const { results } of await statistics.byHour({ name: 'task' }))
    for (const result of Object.keys(results) as RunResult[])
      counted[result] = (counted[result] ?? 0) + (results[result] ?? 0);
  expect(counted).toEqual(await history.countByResult({ name: 'task' }));
}

/** Whether it refuses the job's definition, for it is switched off. */
function refuses(jobs: JobQueue, partition: string): Promise<boolean> {
  return jobs.enqueue(Task, { key: 'refused' }, { partition, delayMs: 3_600_000 }).then(
    () => false,
    (error: unknown) => (error as { code?: string }).code === 'ROGER_JOB_DEFINITION_INACTIVE',
  );
}

test('a definition that is switched off on one node is refused and held on all, until it is switched on', async () => {
  const database = await newDatabase('SQLite');
  const roger = rogerOn('RabbitMQ');
  const worker = await startEngine(roger, { database }, [Task]);
  const producer = await startEngine({ ...roger, mode: 'producer' }, { database }, [Task]);
  const { partition } = worker;
  await eventually('the catalogue', async () => (await producer.catalog.list()).items.length === 1);
  const queued = worker.jobs.create(Task, {}, { partition, id: 'queued' });
  await producer.catalog.setActive('task', false);
  await eventually('the other node to refuse it', () => refuses(worker.jobs, partition));
  await expect(worker.jobs.enqueue(queued)).rejects.toMatchObject({ code: 'ROGER_JOB_DEFINITION_INACTIVE' });
  await producer.catalog.setActive('task', true);
  await eventually('it to be enqueued', async () =>
    worker.jobs.enqueue(queued).then(
      () => true,
      () => false,
    ),
  );
  await inState(worker, 'queued', 'done');
});

test('what two nodes have in hand of a definition that is switched off is held, and runs when it is on again', async () => {
  const database = await newDatabase('SQLite');
  const roger = rogerOn('RabbitMQ');
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  const options = { ...roger, partitions: { [partition]: { default: 1 } } };
  const nodes = [
    await startEngine(options, { database }, [Task]),
    await startEngine(options, { database }, [Task]),
  ] as const;
  const [one, other] = nodes;
  await eventually('the catalogue', async () => (await other.catalog.list()).items.length === 1);
  const [busy, queued] = [
    ['first', 'second'],
    ['a', 'b', 'c', 'd'],
  ];
  for (const id of busy) await one.jobs.enqueue(Task, { waits: true }, { partition, id });
  await within('both to be busy', begun.count(2));
  for (const id of queued) await one.jobs.enqueue(Task, {}, { partition, id });
  await other.catalog.setActive('task', false);
  for (const { jobs } of nodes) await eventually('it to be off', () => refuses(jobs, partition));
  openGate();
  for (const id of queued) await inState(one, id, 'held');
  expect([...begun.seen].sort()).toEqual(busy);
  await one.catalog.setActive('task', true);
  for (const id of queued) await inState(other, id, 'done');
  expect([...begun.seen].sort()).toEqual([...queued, ...busy]);
});

test('what is queued of a definition that is switched off is held, and runs when it is on again', async () => {
  const database = await newDatabase('SQLite');
  const memory = new MemoryBroker();
  const roger = { ...rogerOn('memory'), memory };
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  const app = await startEngine({ ...roger, partitions: { [partition]: { default: 1 } } }, { database }, [
    Task,
  ]);
  await eventually('the catalogue', async () => (await app.catalog.list()).items.length === 1);
  await behindOne(app, ['a', 'b']);
  await app.catalog.setActive('task', false);
  openGate();
  for (const id of ['a', 'b']) await inState(app, id, 'held');
  expect(begun.seen).toEqual(['first']);
  await app.catalog.setActive('task', true);
  for (const id of ['a', 'b']) await inState(app, id, 'done');
});
