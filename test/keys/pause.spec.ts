// A pause reaches every node at once and those that come later, outlives restarts, and costs no job anything.
import { eventually, served, startApp } from '../support/app';
import type { TestApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import type { KeyedPartition } from '../support/keyed-partition';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { sharedClock, Work } from '../support/work';

/** Longer than a job takes to reach an idle worker, by far. */
const QUIET_MS = 300;

interface Stage extends Pick<KeyedPartition, 'partition' | 'worker'> {
  readonly sightings: Sightings;
  readonly producer: TestApp;
  readonly work: (node: string) => Promise<TestApp>;
  readonly enqueue: (count: number) => Promise<string[]>;
}

async function stage(queues: Readonly<Record<string, number>> = { default: 2 }, more = {}): Promise<Stage> {
  const names = keyedPartition(queues, more);
  const { partition } = names;
  const sightings = new Sightings();
  const producer = await startApp(names.producer, [...KEYED, sightings.of('producer')]);
  let count = 0;
  return {
    ...names,
    sightings,
    producer,
    work: async (node) => {
      const app = await startApp(names.worker, [...KEYED, sightings.of(node)]);
      await served(app, partition);
      return app;
    },
    enqueue: async (more) => {
      const ids = Array.from({ length: more }, () => `job-${++count}`);
      await producer.jobs.enqueueMany(
        ids.map((id) => producer.jobs.create(Work, { ms: 5 }, { partition, id })),
      );
      return ids;
    },
  };
}

/** What began within the time; a pause sends no signal of what it prevents. */
async function beginsWithin(sightings: Sightings, ms: number): Promise<string[]> {
  const before = sightings.ids('began').length;
  await new Promise((resolve) => setTimeout(resolve, ms));
  return sightings.ids('began').slice(before);
}

test('pauseQueue stops all nodes within 500 ms and lets what runs end, resumeQueue starts them again', async () => {
  const { partition, worker, producer, sightings, work, enqueue } = await stage();
  const apps = await Promise.all([work('a'), work('b')]);
  const child = await ChildApp.start({ node: 'child', roger: worker, sightings });
  const held = ['held-1', 'held-2', 'held-3', 'held-4', 'held-5', 'held-6'];
  for (const id of held) await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id });
  await sightings.seen('began', held.length);
  const ids = await enqueue(500);
  sightings.release();
  child.release();
  await sightings.seen('ended', 50);

  const askedAt = sharedClock();
  expect(await producer.globalState.pauseQueue(partition, 'default')).toEqual({ missing: [] });
  const acknowledgedAt = sharedClock();
  expect(await producer.globalState.pausedQueues(partition)).toEqual(['default']);
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  const lastBegan = Math.max(...sightings.all.filter(({ what }) => what === 'began').map(({ at }) => at));
  expect(lastBegan - askedAt).toBeLessThan(500);
  expect(lastBegan).toBeLessThanOrEqual(acknowledgedAt);
  // What had begun has ended.
  expect(sightings.ids('ended').sort()).toEqual(sightings.ids('began').sort());
  expect(sightings.ids('ended').length).toBeLessThan(ids.length);
  for (const { partitions } of apps) expect(partitions.queues(partition)[0]?.paused).toBe(true);

  expect(await producer.globalState.resumeQueue(partition, 'default')).toEqual({ missing: [] });
  await sightings.ended([...held, ...ids]);
  expect(await producer.globalState.pausedQueues(partition)).toEqual([]);
  expect(sightings.repeated('began')).toEqual([]);
});

test('a job that runs when its queue is paused ends normally', async () => {
  const { partition, producer, sightings, work, enqueue } = await stage();
  await work('worker');
  await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seenOf('long', 'began');
  await producer.globalState.pauseQueue(partition, 'default');
  await enqueue(5);
  sightings.release();
  await sightings.ended(['long']);
  expect(sightings.whatOf('long')).toEqual(['began', 'ended']);
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
});

test('a paused queue is paused on nodes that start later, in other queues work goes on', async () => {
  const { partition, worker, producer, sightings, work, enqueue } = await stage({ default: 2, mail: 2 });
  await producer.globalState.pauseQueue(partition, 'default');
  const ids = await enqueue(20);
  await work('later');
  await ChildApp.start({ node: 'child', roger: worker, sightings });
  await producer.jobs.enqueue(Work, {}, { partition, queue: 'mail', id: 'mail' });
  await sightings.ended(['mail']);
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  await producer.globalState.resumeQueue(partition, 'default');
  await sightings.ended(ids);
});

test('a pause outlives the restart of all apps', async () => {
  const { partition, producer, worker, sightings, work, enqueue } = await stage();
  const first = await work('first');
  await producer.globalState.pauseQueue(partition, 'default');
  const ids = await enqueue(10);
  await Promise.all([producer.close(), first.close()]);

  const again = await work('again');
  expect(await again.globalState.pausedQueues(partition)).toEqual(['default']);
  await eventually('it to be known here', () => again.partitions.queues(partition)[0]?.paused === true);
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  expect(sightings.ids('began')).toEqual([]);
  await again.globalState.resumeQueue(partition, 'default');
  await sightings.ended(ids);
  await again.close();

  // And so does its end.
  const last = await startApp(worker, [...KEYED, sightings.of('last')]);
  await served(last, partition);
  await last.jobs.enqueue(Work, {}, { partition, id: 'last' });
  await sightings.ended(['last']);
});

test('pause, pauseAll and resume of the PartitionService act on one node only', async () => {
  const { partition, sightings, work, enqueue } = await stage({ default: 2, mail: 2 });
  const [here, there] = await Promise.all([work('here'), work('there')]);
  const first = await enqueue(1);
  await sightings.ended(first);
  here.partitions.pause(partition, 'default');
  const paused = (app: TestApp): boolean[] => app.partitions.queues(partition).map((queue) => queue.paused);
  expect(paused(here)).toEqual([true, false]);
  expect(paused(there)).toEqual([false, false]);
  const ids = await enqueue(50);
  await sightings.ended(ids);
  expect(sightings.ids('began', 'there')).toEqual(expect.arrayContaining(ids));

  here.partitions.pauseAll(partition);
  expect(paused(here)).toEqual([true, true]);
  there.partitions.pauseAll(partition);
  const later = await enqueue(20);
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  here.partitions.resume(partition, 'default');
  await sightings.ended(later);
  expect(sightings.ids('began', 'here')).toEqual(expect.arrayContaining(later));
  here.partitions.resume(partition);
  there.partitions.resume(partition);
  expect([...paused(here), ...paused(there)]).toEqual([false, false, false, false]);
});

test('a queue that is paused on all nodes stays so when one node resumes, and the other way round', async () => {
  const { partition, producer, sightings, work, enqueue } = await stage();
  const { partitions } = await work('worker');
  await producer.globalState.pauseQueue(partition, 'default');
  partitions.pause(partition, 'default');
  const ids = await enqueue(5);
  partitions.resume(partition, 'default');
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  partitions.pause(partition, 'default');
  await producer.globalState.resumeQueue(partition, 'default');
  expect(await beginsWithin(sightings, QUIET_MS)).toEqual([]);
  partitions.resume(partition, 'default');
  await sightings.ended(ids);
});

test('to pause or resume twice does no harm: there is never a second consumer', async () => {
  const { partition, producer, sightings, work, enqueue } = await stage();
  const { partitions, info } = await work('worker');
  const consumers = async (): Promise<number | undefined> =>
    (await info.queueDepth(partition, 'default'))?.consumers;
  for (let round = 0; round < 3; round++) {
    await producer.globalState.pauseQueue(partition, 'default');
    await producer.globalState.pauseQueue(partition, 'default');
    partitions.pause(partition, 'default');
    partitions.pause(partition, 'default');
    await eventually('no consumer to be left', async () => (await consumers()) === 0);
    partitions.resume(partition, 'default');
    partitions.resume(partition);
    await producer.globalState.resumeQueue(partition, 'default');
    await producer.globalState.resumeQueue(partition, 'default');
    await eventually('the consumer to be back', async () => (await consumers()) === 1);
  }
  // Few: after more of them the lane may hold more at hand, by another consumer.
  await sightings.ended(await enqueue(10));
  expect(await consumers()).toBe(1);
});

test('no pause counts as a failed delivery: with a limit of two, ten pauses bury no job', async () => {
  const { partition, producer, sightings, work, enqueue } = await stage({ default: 5 }, { deliveryLimit: 2 });
  const { info } = await work('worker');
  const ids = await enqueue(2_000);
  for (let round = 1; round <= 10; round++) {
    await sightings.seen('ended', round * 40);
    await producer.globalState.pauseQueue(partition, 'default');
    await producer.globalState.resumeQueue(partition, 'default');
  }
  await sightings.ended(ids, 40_000);
  expect(sightings.repeated('began')).toEqual([]);
  expect(await info.queueDepth(partition, 'default')).toMatchObject({ ready: 0, buried: 0 });
});

test('no pause on one node counts as a failed delivery either', async () => {
  const { partition, sightings, work, enqueue } = await stage({ default: 5 }, { deliveryLimit: 2 });
  const { info, partitions } = await work('worker');
  const ids = await enqueue(2_000);
  for (let round = 1; round <= 10; round++) {
    await sightings.seen('ended', round * 40);
    partitions.pause(partition, 'default');
    await eventually('no consumer to be left', async () => {
      return (await info.queueDepth(partition, 'default'))?.consumers === 0;
    });
    partitions.resume(partition, 'default');
  }
  await sightings.ended(ids, 40_000);
  expect(sightings.repeated('began')).toEqual([]);
  expect(await info.queueDepth(partition, 'default')).toMatchObject({ ready: 0, buried: 0 });
});
