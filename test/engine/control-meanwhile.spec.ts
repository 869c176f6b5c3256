// What happens to a job while an operator's call is under way: the call tells it as it was, and overwrites nothing.
import { ClusterService, LedgerFullError } from 'nestjs-roger';
import type { JobEngine, JobRecord } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import type { EngineApp } from '../support/engine-app';
import { newDatabase } from '../support/engine-databases';
import { runSql } from '../support/run-sql';
import { begin, begun, behindOne, COMBINATIONS, inState, openGate, Task } from '../support/controlled-task';

afterEach(() => {
  jest.restoreAllMocks();
});

/** The next look at what runs sees what ran before this was done. */
function afterTheNextLook({ info }: EngineApp, work: () => Promise<unknown>): void {
  const look = info.runningJobs.bind(info);
  jest.spyOn(info, 'runningJobs').mockImplementationOnce(async (partition) => {
    const seen = await look(partition);
    await work();
    return seen;
  });
}

const CALLS: readonly (readonly [string, (engine: JobEngine, id: string) => Promise<unknown>])[] = [
  ['hold', (engine, id) => engine.hold(id)],
  ['runNow', (engine, id) => engine.runNow(id)],
  ['remove', (engine, id) => engine.remove(id)],
  ['fail', (engine, id) => engine.fail(id, 'not wanted')],
  ['complete', (engine, id) => engine.complete(id)],
  ['markStopped', (engine, id) => engine.markStopped(id)],
];
const ENDED = { did: 'nothing', because: 'ended' };

describe.each(COMBINATIONS)('over %s, recorded in %s', (transport, database) => {
  test.each([
    ['without keys', {}],
    ['with a key', { key: 'k' }],
  ])(
    'a job %s that begins while it is being removed runs on, and the call says that it runs',
    async (_kind, args) => {
      const app = await begin(transport, database);
      const { engine, jobs, partition, globalState } = app;
      await globalState.pauseQueue(partition, 'default');
      await jobs.enqueue(Task, { waits: true, ...args }, { partition, id: 'a' });
      await inState(app, 'a', 'queued');
      afterTheNextLook(app, async () => {
        await globalState.resumeQueue(partition, 'default');
        await begun.count(1);
      });
      expect(await engine.remove('a')).toEqual({ did: 'nothing', because: 'running' });
      openGate();
      await inState(app, 'a', 'done');
    },
  );

  test.each(CALLS)('a job that ends while %s is under way has ended, and stays done', async (_name, call) => {
    const app = await begin(transport, database);
    const { engine, jobs, partition, records, globalState } = app;
    await globalState.pauseQueue(partition, 'default');
    const stale = new Map<string, JobRecord | undefined>();
    for (const [id, args] of [
      ['plain', {}],
      ['keyed', { key: 'k' }],
    ] as const) {
      await jobs.enqueue(Task, args, { partition, id });
      await inState(app, id, 'queued');
      stale.set(id, await engine.get(id));
    }
    await globalState.resumeQueue(partition, 'default');
    for (const id of stale.keys()) await inState(app, id, 'done');
    for (const [id, record] of stale) {
      jest.spyOn(records, 'get').mockResolvedValueOnce(record);
      expect(await call(engine, id)).toEqual(ENDED);
      expect(await engine.get(id)).toMatchObject({ state: 'done' });
      expect(await globalState.isHeld(partition, id)).toBe(false);
    }
    // Nothing that was left behind runs, or is in the way.
    await jobs.enqueue(Task, {}, { partition, id: 'plain' });
    await jobs.enqueue(Task, {}, { partition, id: 'last' });
    await inState(app, 'last', 'done');
    expect([...begun.seen].sort()).toEqual(['keyed', 'last', 'plain', 'plain']);
  });

  test('a run that ends well although it is told to end is done, and neither killed nor failed', async () => {
    const app = await begin(transport, database);
    const { engine, history, jobs, partition } = app;
    const args = { waits: true, aborted: 'ends well' } as const;
    for (const [id, call] of [
      ['killed', () => engine.kill('killed')],
      ['failed', () => engine.fail('failed', 'not wanted')],
    ] as const) {
      await jobs.enqueue(Task, args, { partition, id });
      await inState(app, id, 'running');
      expect(await call()).toEqual(ENDED);
      expect(await engine.get(id)).toMatchObject({ state: 'done' });
      expect((await history.runsOf(id)).items).toMatchObject([{ result: 'done', value: { by: id } }]);
    }
  });

  test('a run that goes on after it was told to end counts as the call has said, whatever it comes to', async () => {
    const app = await begin(transport, database, {}, { abortGraceMs: 60_000 });
    const { engine, history, info, jobs, partition } = app;
    await jobs.enqueue(Task, { waits: true, aborted: 'goes on' }, { partition, id: 'a' });
    await inState(app, 'a', 'running');
    expect(await engine.fail('a', 'enough')).toEqual({ did: 'told to end' });
    expect(await engine.get('a')).toMatchObject({ state: 'failed', reason: { message: 'enough' } });
    expect(await engine.fail('a', 'once more')).toEqual(ENDED);
    // Not beside the run.
    expect(await engine.retry('a')).toEqual({ did: 'nothing', because: 'cancelled' });
    openGate();
    await eventually('its end', async () => (await info.runningJobs(partition)).total === 0);
    expect(await engine.get('a')).toMatchObject({ state: 'failed', reason: { message: 'enough' } });
    expect((await history.runsOf('a')).items).toMatchObject([
      { result: 'failed', reason: { message: 'enough' } },
    ]);
  });

  test('what a process that died while it hurried a job has left held is sent on, by the next call or a tick', async () => {
    const app = await begin(transport, database);
    const { engine, globalState, jobs, partition } = app;
    const others = Array.from({ length: 12 }, (_, n) => `other-${n}`);
    await behindOne(app, others, { ms: 50 });
    const left = ['called', 'ticked', 'unsaid'];
    for (const id of left) {
      const { job } = await jobs.enqueue(Task, {}, { partition, id });
      await globalState.hold(job, { why: 'run now' });
    }
    const { job } = await jobs.enqueue(Task, {}, { partition, id: 'held' });
    await globalState.hold(job);
    expect(await engine.runNow('called')).toEqual({ did: 'sent ahead' });
    expect(await engine.tick()).toEqual({ ok: 4, failed: 0 });
    expect(await globalState.heldJobs(partition)).toMatchObject([{ id: 'held' }]);
    openGate();
    for (const id of [...others, ...left]) await inState(app, id, 'done');
    const places = left.map((id) => begun.seen.indexOf(id));
    expect(Math.max(...places)).toBeLessThan(begun.seen.indexOf('other-10'));
  });
});

test('a job of unrecorded args that begins while it is being removed is told to end, and the call says so', async () => {
  const app = await begin('memory', 'SQLite', { argsRecording: 'hash' });
  const { engine, globalState, jobs, partition } = app;
  await globalState.pauseQueue(partition, 'default');
  await jobs.enqueue(Task, { waits: true }, { partition, id: 'a' });
  await inState(app, 'a', 'queued');
  afterTheNextLook(app, async () => {
    await globalState.resumeQueue(partition, 'default');
    await begun.count(1);
  });
  expect(await engine.remove('a')).toEqual({ did: 'told to end' });
  await inState(app, 'a', 'cancelled');
});

describe('the run of a node that lives is not given up by one that', () => {
  test('is cut off from the broker', async () => {
    const app = await begin('memory', 'SQLite');
    await behindOne(app, []);
    await inState(app, 'first', 'running');
    const cluster = app.app.get(ClusterService);
    jest.spyOn(cluster, 'nodes').mockReturnValue([]);
    jest.spyOn(cluster, 'isConnected').mockReturnValue(false);
    expect(await app.engine.expire('first')).toEqual({ did: 'nothing', because: 'not connected' });
    openGate();
  });

  test('does not see it, while it writes or answers', async () => {
    const database = await newDatabase('PostgreSQL');
    const app = await begin('memory', 'PostgreSQL', { database });
    await behindOne(app, []);
    await inState(app, 'first', 'running');
    jest.spyOn(app.app.get(ClusterService), 'nodes').mockReturnValue([]);
    const runs = jest.spyOn(app.info, 'runningJobs');
    expect(await app.engine.expire('first')).toEqual({ did: 'nothing', because: 'node alive' });
    expect(runs).not.toHaveBeenCalled();
    await runSql(database, ['update roger_nodes set seen_at = 0']);
    expect(await app.engine.expire('first')).toEqual({ did: 'nothing', because: 'node alive' });
    expect(runs).toHaveBeenCalled();
    openGate();
  });
});

test('a job that its ledger has no room to hold is removed all the same', async () => {
  const app = await begin('memory', 'SQLite', {}, { maxWaitingJobs: 1 });
  const { engine, jobs, partition } = app;
  await jobs.enqueue(Task, {}, { partition, id: 'full', held: true });
  await behindOne(app, ['a', 'b']);
  await expect(engine.hold('a')).rejects.toThrow(LedgerFullError);
  expect(await engine.remove('a')).toEqual({ did: 'removed' });
  openGate();
  await inState(app, 'b', 'done');
  expect(begun.seen).toEqual(['first', 'b']);
});

test('a job with a key that its ledger does not know any more is ended by the record alone', async () => {
  const database = await newDatabase('PostgreSQL');
  const app = await begin('memory', 'PostgreSQL', { database });
  const { engine, globalState, jobs, partition } = app;
  await jobs.enqueue(Task, { key: 'k' }, { partition, id: 'a' });
  await inState(app, 'a', 'done');
  await runSql(database, ["update roger_jobs set state = 'queued', ended_at = null"]);
  expect(await engine.hold('a')).toEqual(ENDED);
  expect(await engine.remove('a')).toEqual({ did: 'removed' });
  expect(await engine.get('a')).toMatchObject({ state: 'removed' });
  // No cancel waits for the next of its id.
  expect(await globalState.isCancelled(partition, 'a')).toBe(false);
});
