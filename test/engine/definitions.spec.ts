// Definitions made at run time, while their jobs are queued and by several at once; what they take from their handlers.
import type { JobHandler } from 'nestjs-roger';
import { JobContext, RogerJob } from 'nestjs-roger';
import { TakesRuntimeDefinitions } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import type { EngineApp } from '../support/engine-app';
import { inState } from '../support/controlled-task';
import { rogerOn, startEngine } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';

const ran: string[] = [];

@TakesRuntimeDefinitions()
@RogerJob({ name: 'hook', retryable: false })
class Hook implements JobHandler<object> {
  perform(_args: object, { job }: JobContext): void {
    ran.push(`hook ${job.name} ${job.id}`);
  }
}

@TakesRuntimeDefinitions()
@RogerJob({
  ...{ name: 'call', queue: 'calls', priority: 4 },
  ...{ retryable: { levels: [1, 5] }, maxExecutionTimeSeconds: 7 },
})
class Call implements JobHandler<object> {
  perform(_args: object, { job }: JobContext): void {
    ran.push(`call ${job.name} ${job.id}`);
  }
}

const OF_CALL = { queue: 'calls', priority: 4, retries: [1, 5], maxExecutionTimeSeconds: 7 };

describe.each(DATABASES)('with rows in %s', (kind) => {
  async function begin(): Promise<EngineApp> {
    ran.length = 0;
    const roger = rogerOn('memory');
    const [partition = ''] = Object.keys(roger.partitions ?? {});
    const partitions = { [partition]: { default: 1, calls: 1 } };
    const app = await startEngine({ ...roger, partitions }, { database: await newDatabase(kind) }, [
      Hook,
      Call,
    ]);
    await eventually('the catalogue', async () => (await app.catalog.list()).items.length === 2);
    return app;
  }

  test('a definition has the queue, the limits and the priority of its handler, of another one when it is changed', async () => {
    const { catalog, engine, partition } = await begin();
    const { job } = await catalog.create({ name: 'x', handler: 'call', schema: {} });
    expect(job).toMatchObject(OF_CALL);
    await catalog.update('x', { handler: 'hook' });
    expect(await catalog.get('x')).toMatchObject({
      ...{ queue: 'default', priority: 0, retries: false, maxExecutionTimeSeconds: undefined },
    });
    await catalog.update('x', { handler: 'call' });
    const { items } = await catalog.list();
    expect(items.find(({ name }) => name === 'x')).toMatchObject(OF_CALL);
    await catalog.enqueue('x', {}, { partition, id: 'a' });
    await inState({ engine }, 'a', 'done');
    expect(await engine.get('a')).toMatchObject({ queue: 'calls', priority: 4 });
    expect(ran).toEqual(['call x a']);
    await catalog.create({ name: 'y', handler: 'call', schema: {}, queue: 'default' });
    expect(await catalog.get('y')).toMatchObject({ ...OF_CALL, queue: 'default' });
  });

  test('a job of one is held from the beginning, where that is asked for', async () => {
    const { catalog, engine, partition } = await begin();
    await catalog.create({ name: 'x', handler: 'hook', schema: {} });
    await catalog.enqueue('x', {}, { partition, id: 'a', held: true });
    await catalog.enqueue('hook', {}, { partition, id: 'b', held: true });
    for (const id of ['a', 'b']) {
      expect(await engine.get(id)).toMatchObject({ state: 'held' });
      expect(await engine.release(id)).toEqual({ did: 'released' });
      await inState({ engine }, id, 'done');
    }
  });

  test('queued jobs of one that is deleted run when it comes back, those held while it was off, too', async () => {
    const { catalog, engine, globalState, partition } = await begin();
    const definition = { name: 'odd:/-_.Name', handler: 'hook', schema: {} };
    const { name } = definition;
    await catalog.create(definition);
    await globalState.pauseQueue(partition, 'default');
    await catalog.enqueue(name, {}, { partition, id: 'queued' });
    await catalog.enqueue(name, {}, { partition, id: 'held' });
    await catalog.setActive(name, false);
    await globalState.resumeQueue(partition, 'default');
    for (const id of ['queued', 'held']) await inState({ engine }, id, 'held');
    await catalog.delete(name);
    for (const id of ['queued', 'held']) await inState({ engine }, id, 'waiting');
    expect(ran).toEqual([]);
    await catalog.create({ ...definition, handler: 'call' });
    expect(catalog.isInactive(name)).toBe(false);
    for (const id of ['queued', 'held']) await inState({ engine }, id, 'done');
    expect([...ran].sort()).toEqual([`call ${name} held`, `call ${name} queued`]);
  });

  test('of several that create, change or delete one at once, each is told what came of it', async () => {
    const { catalog } = await begin();
    const outcomes = async (call: () => Promise<unknown>): Promise<string[]> =>
      (await Promise.allSettled([call(), call(), call()])).map(({ status }) => status).sort();
    const one = ['fulfilled', 'rejected', 'rejected'];
    expect(await outcomes(() => catalog.create({ name: 'x', handler: 'hook', schema: {} }))).toEqual(one);
    const [all] = one;
    expect(await outcomes(() => catalog.update('x', { title: 'X' }))).toEqual([all, all, all]);
    expect(await outcomes(() => catalog.setActive('x', false))).toEqual([all, all, all]);
    expect(await catalog.get('x')).toMatchObject({ title: 'X', isActive: false });
    expect(await outcomes(() => catalog.delete('x'))).toEqual(one);
    expect((await catalog.list()).items.map(({ name }) => name)).toEqual(['call', 'hook']);
  });
});

test('a node does not run the jobs of one whose handler was changed to one that it does not have', async () => {
  const database = await newDatabase('SQLite');
  const roger = rogerOn('RabbitMQ');
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  const one = await startEngine(roger, { database }, [Hook, Call]);
  const other = await startEngine(roger, { database }, [Hook]);
  await eventually('the catalogue', async () => (await other.catalog.list()).items.length === 2);
  await one.catalog.create({ name: 'x', handler: 'hook', schema: {} });
  await one.catalog.update('x', { handler: 'call', queue: 'default' });
  await eventually('the news', () =>
    other.catalog.enqueue('x', {}, { partition, delayMs: 3_600_000 }).then(
      () => false,
      () => true,
    ),
  );
  const before = ran.length;
  const ids = Array.from({ length: 8 }, (_, n) => `${n}`);
  for (const id of ids) await one.catalog.enqueue('x', {}, { partition, id });
  for (const id of ids) await inState(one, id, 'done');
  expect(ran.slice(before).filter((line) => line.startsWith('hook'))).toEqual([]);
});
