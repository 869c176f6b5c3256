// The catalogue: what jobs there are, with the schema of their args; those made at run time run on every node.
import { IsInt, IsString, Min } from 'class-validator';
import type { JobHandler } from 'nestjs-roger';
import { InvalidArgumentError, InvalidJobArgsError, JobContext, MemoryBroker, RogerJob } from 'nestjs-roger';
import { TakesRuntimeDefinitions } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import { uniquePartition } from '../support/broker';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';

class Letter {
  @IsString() to!: string;
  @IsInt() @Min(1) pages!: number;
}

@RogerJob({
  name: 'letter',
  title: 'Send a letter',
  order: 2,
  args: Letter,
  retryable: { levels: [1, 5] },
  maxExecutionTimeSeconds: 30,
})
class SendLetter implements JobHandler<Letter> {
  perform(): void {
    // It only has to be there.
  }
}

const ran: string[] = [];

@TakesRuntimeDefinitions()
@RogerJob({ name: 'hook', order: 1, retryable: false })
class Hook implements JobHandler<object> {
  perform(args: object, { job }: JobContext): void {
    ran.push(`${job.name} ${JSON.stringify(args)}`);
  }
}

const PROVIDERS = [SendLetter, Hook];
const SCHEMA = {
  type: 'object',
  properties: { url: { type: 'string', minLength: 1 } },
  required: ['url'],
  additionalProperties: false,
};

describe.each(DATABASES)('the catalogue in %s', (kind) => {
  async function begin(): Promise<EngineApp> {
    const engine = await startEngine(rogerOn('RabbitMQ'), { database: await newDatabase(kind) }, PROVIDERS);
    await eventually('the catalogue', async () => (await engine.catalog.list()).items.length === 2);
    return engine;
  }

  test('lists the jobs of code in their order, with defaults and the schema of their args', async () => {
    const { catalog } = await begin();
    const { items, next } = await catalog.list();
    expect(next).toBeUndefined();
    expect(
      items.map(({ name, title, order, isActive, source }) => [name, title, order, isActive, source]),
    ).toEqual([
      ['hook', 'hook', 1, true, 'code'],
      ['letter', 'Send a letter', 2, true, 'code'],
    ]);
    expect(await catalog.get('letter')).toMatchObject({
      queue: 'default',
      maxExecutionTimeSeconds: 30,
      retries: [1, 5],
      priority: 0,
      schema: {
        type: 'object',
        properties: { to: { type: 'string' }, pages: { type: 'integer', minimum: 1 } },
        required: ['to', 'pages'],
      },
    });
    expect(await catalog.get('hook')).toMatchObject({ retries: false, schema: undefined });
    expect(await catalog.get('none')).toBeUndefined();
    const first = await catalog.list({ limit: 1 });
    const second = await catalog.list({ limit: 1, after: first.next });
    expect([...first.items, ...second.items].map(({ name }) => name)).toEqual(['hook', 'letter']);
    expect(second.next).toBeUndefined();
  });

  test('switches a job off and on for all nodes at once, and over restarts', async () => {
    // All nodes are asked: not those of other tests.
    const roger = { ...rogerOn('RabbitMQ'), namespace: uniquePartition('n') };
    const database = await newDatabase(kind);
    const one = await startEngine(roger, { database }, PROVIDERS);
    const other = await startEngine(roger, { database }, PROVIDERS);
    await eventually('the catalogue', async () => (await other.catalog.list()).items.length === 2);
    const { job, missing } = await one.catalog.setActive('letter', false);
    expect([job.isActive, missing]).toEqual([false, []]);
    expect(one.catalog.isInactive('letter')).toBe(true);
    await eventually('the news', () => other.catalog.isInactive('letter'));
    const names = async (isActive: boolean): Promise<string[]> =>
      (await other.catalog.list({ isActive })).items.map(({ name }) => name);
    expect([await names(true), await names(false)]).toEqual([['hook'], ['letter']]);

    await other.close();
    const later = await startEngine(roger, { database }, PROVIDERS);
    await eventually('what was said before', () => later.catalog.isInactive('letter'));
    await later.catalog.setActive('letter', true);
    await eventually('the news', () => !one.catalog.isInactive('letter'));
    await expect(one.catalog.setActive('nobody', false)).rejects.toThrow(InvalidArgumentError);
  });

  test('takes a definition at run time, and runs its jobs under its own name', async () => {
    const { catalog, partition, records, history, jobs } = await begin();
    const { job } = await catalog.create({
      name: 'hook:orders',
      handler: 'hook',
      schema: SCHEMA,
      title: 'Orders',
    });
    expect(job).toMatchObject({
      name: 'hook:orders',
      source: 'runtime',
      handler: 'hook',
      schema: SCHEMA,
      retries: false,
    });
    ran.length = 0;
    const { job: enqueued } = await catalog.enqueue('hook:orders', { url: 'x' }, { partition });
    await eventually('its run', async () => (await records.get(enqueued.id))?.state === 'done');
    expect(ran).toEqual(['hook:orders {"url":"x"}']);
    expect((await history.find({ name: 'hook:orders' })).items).toHaveLength(1);

    await expect(catalog.enqueue('hook:orders', { uri: 'x' }, { partition })).rejects.toThrow(
      new InvalidJobArgsError('hook:orders', [{ path: '', message: "must have required property 'url'" }]),
    );
    // Who enqueues past the catalogue, or enqueued before a change, is stopped before the run.
    const unchecked = await jobs.enqueue({ ...enqueued, id: 'unchecked', args: {} });
    await eventually(
      'it to be buried',
      async () => (await records.get(unchecked.job.id))?.state === 'buried',
    );
    expect((await records.get('unchecked'))?.reason?.message).toContain("must have required property 'url'");
    expect(ran).toHaveLength(1);
  });

  test('changes and deletes what was made at run time, and nothing else', async () => {
    const { catalog, partition } = await begin();
    await catalog.create({ name: 'h', handler: 'hook', schema: SCHEMA });
    const changed = await catalog.update('h', { title: 'Hook', schema: { type: 'object' } });
    expect(changed.job).toMatchObject({ title: 'Hook', schema: { type: 'object' } });
    await catalog.enqueue('h', { anything: 1 }, { partition });
    await expect(catalog.update('letter', { title: 'x' })).rejects.toThrow('made at run time');
    await expect(catalog.delete('letter')).rejects.toThrow('made at run time');
    await catalog.delete('h');
    expect(await catalog.get('h')).toBeUndefined();
    await expect(catalog.enqueue('h', {}, { partition })).rejects.toThrow('there is no job "h"');
  });

  test('refuses what is no definition, by the field that is wrong', async () => {
    const { catalog } = await begin();
    const right = { name: 'x', handler: 'hook', schema: SCHEMA };
    const refusal = (wrong: object): Promise<unknown> =>
      catalog.create({ ...right, ...wrong }).then(
        () => 'taken',
        (error: unknown) => (error instanceof InvalidArgumentError ? error.argument : error),
      );
    expect(await refusal({ name: 'no name' })).toBe('name');
    expect(await refusal({ name: 'letter' })).toBe('name');
    expect(await refusal({ handler: 'letter' })).toBe('handler');
    expect(await refusal({ handler: 'nobody' })).toBe('handler');
    expect(await refusal({ schema: { type: 'strin' } })).toBe('schema');
    expect(await refusal({ schema: { $ref: 'https://example.com/schema' } })).toBe('schema');
    expect(await refusal({ schema: { pattern: 'a'.repeat(201) } })).toBe('schema');
    expect(await refusal({ schema: { description: 'a'.repeat(70_000) } })).toBe('schema');
    expect(await refusal({ schema: 'object' })).toBe('schema');
    expect(await refusal({ title: '' })).toBe('title');
    expect(await refusal({ order: 0.5 })).toBe('order');
    expect(await refusal({ queue: 'no-queue' })).toBe('queue');
    expect(await refusal({})).toBe('taken');
    expect(await refusal({})).toBe('name');
  });
});

test('a node in the same process without a broker shares the catalogue too', async () => {
  const database = await newDatabase('SQLite');
  const memory = new MemoryBroker();
  const partitions = { p: { default: 5 } };
  const one = await startEngine({ memory, partitions }, { database }, PROVIDERS);
  const other = await startEngine({ memory, partitions }, { database }, PROVIDERS);
  await eventually('the catalogue', async () => (await one.catalog.list()).items.length === 2);
  await one.catalog.create({ name: 'shared', handler: 'hook', schema: {} });
  await eventually('the news', () =>
    other.catalog.enqueue('shared', {}, { partition: 'p' }).then(
      () => true,
      () => false,
    ),
  );
  expect((await other.catalog.get('shared'))?.handler).toBe('hook');
});
