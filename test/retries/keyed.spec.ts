// With keys too, a definition's function says when a job comes back, and an operator has buried ones run again.
import type { JobContext, JobHandler, RogerModuleOptions } from 'nestjs-roger';
import { BuriedJobs, BuryJob, RogerJob } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Signals } from '../support/signal';
import { within } from '../support/within';

const runs = new Signals<{ id: string; attempt: number; at: number }>();
beforeEach(() => {
  runs.seen.length = 0;
});

@RogerJob({
  queueKey: 'alone',
  executionKey: 'line',
  retryable: (error, attempt) => attempt < 3 && (error.message === 'soon' ? { delayMs: 1_000 } : true),
})
class Ruled implements JobHandler {
  perform(_args: unknown, { job, attempt }: JobContext): void {
    runs.add({ id: job.id, attempt, at: performance.now() });
    throw new Error(attempt === 1 ? 'soon' : 'by its level');
  }
}

@RogerJob({ queueKey: 'key', executionKey: 'line' })
class BuriedOnce implements JobHandler {
  perform(_args: unknown, { job, attempt }: JobContext): void {
    const isFirst = runs.seen.every(({ id }) => id !== job.id);
    runs.add({ id: job.id, attempt, at: performance.now() });
    if (isFirst && job.id === 'broken') throw new BuryJob('broken');
  }
}

test('a function rules over a job with keys: its key is taken from attempt to attempt, and free when it says that it is over', async () => {
  const { partition, worker } = keyedPartition({ default: 1 }, { retryLevels: [2, 2] });
  const { jobs, globalState, info } = await startApp(worker, [Ruled]);
  await jobs.enqueue(Ruled, {}, { partition, id: 'first' });
  await within('its first run', runs.count(1));
  const duplicate = { status: 'duplicate', existingJobId: 'first' };
  expect(await jobs.enqueue(Ruled, {}, { partition, id: 'second' })).toMatchObject(duplicate);
  await within('its second run', runs.count(2));
  expect(await jobs.enqueue(Ruled, {}, { partition, id: 'third' })).toMatchObject(duplicate);
  await within('its third run', runs.count(3));
  await eventually('its key to be free', async () => {
    return (await globalState.isQueued(partition, 'alone')) === undefined;
  });
  const [first, second, third] = runs.seen;
  expect(runs.seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(900);
  expect((third?.at ?? 0) - (second?.at ?? 0)).toBeGreaterThan(1_900);
  expect(await info.queueDepth(partition, 'default')).toMatchObject({ ready: 0, buried: 0 });
});

test.each<[string, () => { partition: string; worker: RogerModuleOptions }]>([
  ['RabbitMQ', () => keyedPartition({ default: 1 })],
  ['memory', () => ({ partition: 'acme', worker: { partitions: { acme: { default: 1 } } } })],
])(
  'on %s, a buried job takes its key again, and stays where it is while another has that',
  async (_name, place) => {
    const { partition, worker } = place();
    const app = await startApp(worker, [BuriedOnce]);
    const { jobs, globalState, info, partitions } = app;
    const buried = app.app.get(BuriedJobs);
    const depth = async (): Promise<number | undefined> =>
      (await info.queueDepth(partition, 'default'))?.buried;
    await jobs.enqueue(BuriedOnce, {}, { partition, id: 'broken' });
    await eventually('it to be buried', async () => (await depth()) === 1);
    expect(await globalState.isQueued(partition, 'key')).toBeUndefined();

    await globalState.pauseQueue(partition, 'default');
    await jobs.enqueue(BuriedOnce, {}, { partition, id: 'holder' });
    const duplicate = { status: 'duplicate', existingJobId: 'holder' };
    expect(await buried.retry(partition, 'default', 'broken')).toEqual(duplicate);
    expect(await depth()).toBe(1);
    await globalState.resumeQueue(partition, 'default');
    await within('the other to run', runs.count(2));
    await eventually('the key to be free', async () => {
      return (await globalState.isQueued(partition, 'key')) === undefined;
    });

    await globalState.pauseQueue(partition, 'default');
    expect(await buried.retry(partition, 'default', 'broken')).toEqual({ status: 'enqueued' });
    expect(await globalState.isQueued(partition, 'key')).toBe('broken');
    expect(await depth()).toBe(0);
    expect(await jobs.enqueue(BuriedOnce, {}, { partition, id: 'late' })).toMatchObject({
      status: 'duplicate',
      existingJobId: 'broken',
    });
    await globalState.resumeQueue(partition, 'default');
    await within('it to run again', runs.count(3));
    expect(runs.seen.map(({ id, attempt }) => `${id} ${attempt}`)).toEqual([
      'broken 1',
      'holder 1',
      'broken 1',
    ]);
    expect(partitions.queues(partition)).toHaveLength(1);
  },
);

test('what the broker itself has buried is enqueued again with its keys', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 1 }, { deliveryLimit: 1 });
  const sightings = new Sightings();
  const app = await startApp(producer, [...KEYED, sightings.of('producer')]);
  const { jobs, globalState, info } = app;
  const buried = app.app.get(BuriedJobs);
  const keys = { queueKey: 'key', executionKey: 'line' };
  await jobs.enqueue(KeyedWork, { ...keys, isHeld: true }, { partition, id: 'deadly' });
  for (let death = 1; death <= 2; death++) {
    const child = await ChildApp.start({ node: `child-${death}`, roger: worker, sightings });
    await sightings.seenOf('deadly', 'began', death);
    await child.kill('SIGKILL');
  }
  await eventually('it to be buried', async () => {
    return (await info.queueDepth(partition, 'default'))?.buried === 1;
  });
  await eventually('its key to be free', async () => {
    return (await globalState.isQueued(partition, 'key')) === undefined;
  });
  expect(await buried.list(partition, 'default')).toMatchObject([
    { id: 'deadly', reason: { type: 'delivery_limit' }, job: { queueKey: 'key', executionKey: 'line' } },
  ]);
  await jobs.enqueue(KeyedWork, keys, { partition, id: 'holder' });
  const duplicate = { status: 'duplicate', existingJobId: 'holder' };
  expect(await buried.retry(partition, 'default', 'deadly')).toEqual(duplicate);
  expect(await globalState.cancelJob(partition, 'holder')).toMatchObject({ met: 'queued' });
  expect(await buried.retry(partition, 'default', 'deadly')).toEqual({ status: 'enqueued' });
  expect(await globalState.isQueued(partition, 'key')).toBe('deadly');
  const heir = await startApp(worker, [...KEYED, sightings.of('heir')]);
  await sightings.seen('began', 1, 'heir');
  sightings.release();
  await sightings.ended(['deadly']);
  await heir.close();
});
