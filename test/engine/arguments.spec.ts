// What can't be meant is refused before anything is done; what no row can have is just not found, whatever the database.
import { InvalidArgumentError } from 'nestjs-roger';
import { begin, behindOne, openGate, Task } from '../support/controlled-task';
import type { EngineApp } from '../support/engine-app';
import { DATABASES } from '../support/engine-databases';

function argumentOf(call: () => Promise<unknown>): Promise<unknown> {
  return call().then(
    (answer) => answer,
    (error: unknown) => (error instanceof InvalidArgumentError ? error.argument : error),
  );
}

const UNKNOWN = { did: 'nothing', because: 'unknown' };
const NONE = { items: [] };
const CONTROLS = [
  ...(['hold', 'release', 'runNow', 'remove', 'kill'] as const),
  ...(['markStopped', 'complete', 'expire', 'retry'] as const),
];

describe.each(DATABASES)('with rows in %s', (database) => {
  test.each([
    ['an unknown name', 'nobody'],
    ['no name', ''],
    ['a name with NUL', 'a\0b'],
    ['a name with half a character', '\ud800'],
    ['a very long name', 'ü'.repeat(5_000)],
    ['a name like a statement', "'; drop table roger_jobs"],
  ])('nothing is found of %s', async (_kind, text) => {
    const { engine, history, records, statistics, catalog } = await begin('memory', database);
    for (const name of CONTROLS) {
      const control = (...args: unknown[]): Promise<unknown> =>
        (engine[name] as (...args: unknown[]) => Promise<unknown>).apply(engine, args);
      expect(await control(text)).toEqual(UNKNOWN);
      expect(await control('a', { partition: text })).toEqual(UNKNOWN);
    }
    expect(await engine.fail(text, 'not wanted')).toEqual(UNKNOWN);
    const gets = [engine.get(text), engine.position(text), engine.findRun(text), history.get(text)];
    expect(await Promise.all<unknown>([...gets, catalog.get(text)])).toEqual(Array(5).fill(undefined));
    for (const field of ['name', 'partition', 'queue', 'queueKey', 'executionKey'])
      expect(await records.find({ [field]: text })).toEqual(NONE);
    for (const field of ['jobId', 'name', 'partition', 'queue', 'node'])
      expect(await history.find({ [field]: text })).toEqual(NONE);
    expect(await statistics.byHour({ name: text })).toEqual([]);
    for (const call of [
      () => catalog.setActive(text, true),
      () => catalog.update(text, { order: 1 }),
      () => catalog.delete(text),
      () => catalog.enqueue(text, {}),
    ])
      expect(await argumentOf(call)).toBe('name');
  });

  test('a question that makes no sense is refused', async () => {
    const { history, records, catalog } = await begin('memory', database);
    const place = (...parts: unknown[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');
    for (const after of [place(1.5, 'a'), place(1e300, 'a'), place(1), place(1, 'a', 2), 'x'])
      for (const list of [history, records])
        expect(await argumentOf(() => list.find({}, { after }))).toBe('after');
    expect(await argumentOf(() => catalog.list({ after: place(1e300, 'a') }))).toBe('after');
    expect(await records.find({}, { after: place(1, 'a\0') })).toEqual(NONE);
    for (const byMs of [Number.NaN, -1, '1', Infinity] as number[])
      expect(await argumentOf(() => history.overdue({ byMs }))).toBe('byMs');
    expect(await history.overdue({ byMs: 0.5 })).toEqual(NONE);
    expect(await argumentOf(() => history.find({ result: [] }))).toBe('result');
    expect(await argumentOf(() => history.count({ status: 'over' as never }))).toBe('status');
    expect(await argumentOf(() => records.count({ state: [] }))).toBe('state');
  });

  test('a job is found by its key, whatever that is made of', async () => {
    const app = await begin('memory', database);
    const { jobs, records, partition } = app;
    await behindOne(app, []);
    await jobs.enqueue(Task, { key: 'a\0b' }, { partition, id: 'a' });
    expect(await app.engine.get('a')).toMatchObject({ state: 'queued' });
    expect((await records.find({ queueKey: 'a\0b' })).items).toMatchObject([{ id: 'a' }]);
    openGate();
  });

  test('what an operator writes may have any characters', async () => {
    const app = await begin('memory', database);
    const { engine } = app;
    await behindOne(app, ['a', 'b', 'c']);
    expect(await engine.hold('a', { why: 'a\0b' })).toEqual({ did: 'held' });
    expect(await reasonOf(app, 'a')).toBe('a\ufffdb');
    expect(await engine.release('a')).toEqual({ did: 'released' });
    expect(await engine.fail('b', 'a\0b')).toEqual({ did: 'failed' });
    expect(await reasonOf(app, 'b')).toBe('a\ufffdb');
    expect(await engine.complete('first', { result: 'a\0b' })).toEqual({ did: 'completed' });
    expect((await app.history.runsOf('first')).items).toMatchObject([{ value: 'a\0b' }]);
  });

  test('what an operator may not write is refused, and nothing is done', async () => {
    const app = await begin('memory', database);
    const { engine } = app;
    await behindOne(app, ['a']);
    const circular: { self?: object } = {};
    circular.self = circular;
    for (const reason of ['', 'x'.repeat(1_001), undefined as never])
      expect(await argumentOf(() => engine.fail('a', reason))).toBe('reason');
    for (const result of [1n, circular, () => 1, 'x'.repeat(70_000)])
      expect(await argumentOf(() => engine.complete('a', { result }))).toBe('result');
    expect(await argumentOf(() => engine.kill('first', { reason: 'x'.repeat(1_001) }))).toBe('reason');
    expect(await argumentOf(() => engine.hold('a', { why: '' }))).toBe('why');
    expect(await engine.get('a')).toMatchObject({ state: 'queued' });
    expect(await engine.get('first')).toMatchObject({ state: 'running' });
    expect(await app.globalState.isHeld(app.partition, 'a')).toBe(false);
    openGate();
  });
});

async function reasonOf({ engine }: EngineApp, id: string): Promise<string | undefined> {
  return (await engine.get(id))?.reason?.message;
}
