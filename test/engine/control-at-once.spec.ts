// Several operators call the same for one job at once: it happens once, and one of them is told that it did.
import { eventually } from '../support/app';
import { begin, begun, behindOne, COMBINATIONS, inState, openGate, Task } from '../support/controlled-task';
import { rogerOn, startEngine } from '../support/engine-app';
import { newDatabase } from '../support/engine-databases';
import { within } from '../support/within';

function atOnce<T>(call: () => Promise<T>): Promise<T[]> {
  return Promise.all([call(), call(), call(), call()]);
}

const NOT_ENDED = { did: 'nothing', because: 'not ended' };

describe.each(COMBINATIONS)('over %s, recorded in %s', (transport, database) => {
  test('a job that is retried by several at once runs once more, a buried one too', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition, info } = app;
    await jobs.enqueue(Task, {}, { partition, id: 'done' });
    await jobs.enqueue(Task, { fails: true }, { partition, id: 'buried', maxRetries: 0 });
    await inState(app, 'done', 'done');
    await inState(app, 'buried', 'buried');
    for (const id of ['done', 'buried']) {
      const outcomes = await atOnce(() => engine.retry(id));
      expect(outcomes.filter(({ did }) => did === 'enqueued')).toHaveLength(1);
      expect(outcomes.filter(({ did }) => did === 'nothing')).toEqual([NOT_ENDED, NOT_ENDED, NOT_ENDED]);
    }
    // Behind whatever else may have been enqueued.
    await jobs.enqueue(Task, {}, { partition, id: 'last' });
    await inState(app, 'last', 'done');
    await inState(app, 'buried', 'buried');
    expect([...begun.seen].sort()).toEqual(['buried', 'buried', 'done', 'done', 'last']);
    await eventually(
      'one to be buried',
      async () => (await info.queueDepth(partition, 'default'))?.buried === 1,
    );
  });

  test('a retry that fails, or meets a duplicate, can be repeated at once', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    await jobs.enqueue(Task, { key: 'k' }, { partition, id: 'a' });
    await inState(app, 'a', 'done');
    await behindOne(app, ['heir'], { key: 'k' });
    expect(await engine.retry('a')).toEqual({ did: 'nothing', because: 'duplicate' });
    jest.spyOn(jobs, 'enqueue').mockRejectedValueOnce(new Error('no broker'));
    await expect(engine.retry('a')).rejects.toThrow('no broker');
    openGate();
    await inState(app, 'heir', 'done');
    expect(await engine.retry('a')).toEqual({ did: 'enqueued' });
    await inState(app, 'a', 'done');
    expect(begun.seen.filter((id) => id === 'a')).toHaveLength(2);
  });

  test('a job is removed, or ended, by one of several', async () => {
    const app = await begin(transport, database);
    const { engine } = app;
    await behindOne(app, ['a', 'b', 'c', 'd']);
    const calls = [
      () => engine.remove('a'),
      () => engine.fail('b', 'not wanted'),
      () => engine.complete('c'),
      () => engine.complete('first'),
    ];
    for (const call of calls) {
      const outcomes = await atOnce<{ readonly did: string }>(call);
      expect(outcomes.filter(({ did }) => did !== 'nothing')).toHaveLength(1);
    }
    await inState(app, 'd', 'done');
    expect(begun.seen).toEqual(['first', 'd']);
  });

  test('a job that several hold, let go or hurry runs once', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    await behindOne(app, ['a', 'b', 'c']);
    expect(await atOnce(() => engine.hold('a'))).toContainEqual({ did: 'held' });
    const released = await atOnce(() => engine.release('a'));
    expect(released.filter(({ did }) => did === 'released')).toHaveLength(1);
    expect(await atOnce(() => engine.runNow('b'))).toContainEqual({ did: 'sent ahead' });
    expect(await Promise.all([engine.hold('c'), engine.runNow('c')])).toContainEqual({ did: 'sent ahead' });
    await engine.release('c');
    openGate();
    for (const id of ['a', 'b', 'c']) await inState(app, id, 'done');
    await jobs.enqueue(Task, {}, { partition, id: 'last' });
    await inState(app, 'last', 'done');
    expect([...begun.seen].sort()).toEqual(['a', 'b', 'c', 'first', 'last']);
  });
});

test('a job that is retried from two nodes runs once more', async () => {
  const database = await newDatabase('PostgreSQL');
  const roger = rogerOn('RabbitMQ');
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  const one = await startEngine(roger, { database }, [Task]);
  const other = await startEngine({ ...roger, mode: 'producer' }, { database }, [Task]);
  await one.jobs.enqueue(Task, {}, { partition, id: 'a' });
  await inState(one, 'a', 'done');
  const outcomes = await Promise.all([one.engine.retry('a'), other.engine.retry('a')]);
  expect(outcomes.map(({ did }) => did).sort()).toEqual(['enqueued', 'nothing']);
  await within('its second run', begun.count(2));
  await inState(one, 'a', 'done');
  await one.jobs.enqueue(Task, {}, { partition, id: 'last' });
  await inState(one, 'last', 'done');
  expect(begun.seen).toEqual(['a', 'a', 'last']);
});
