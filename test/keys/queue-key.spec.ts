// At most one job with a queue key exists in a partition, from its enqueue until it is over.
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import type { KeyedArgs } from '../support/keyed-work';
import { KEYED, KeyedOnce, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';

const KEY: KeyedArgs = { queueKey: 'key' };

interface Stage {
  readonly partition: string;
  readonly sightings: Sightings;
  readonly app: TestApp;
  /** Enqueues a job of the key and tells who is there: itself, or the holder. */
  readonly holderAfter: (id: string) => Promise<string>;
}

/** A producer, and a worker if it is wanted from the start. */
async function stage(isWorking: boolean): Promise<Stage & { readonly work: () => Promise<TestApp> }> {
  const { partition, worker, producer } = keyedPartition();
  const sightings = new Sightings();
  const work = async (): Promise<TestApp> => {
    const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
    await served(app, partition);
    return app;
  };
  const app = isWorking ? await work() : await startApp(producer, [...KEYED, sightings.of('producer')]);
  const holderAfter = async (id: string): Promise<string> => {
    const result = await app.jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition, id });
    return result.status === 'duplicate' ? result.existingJobId : result.job.id;
  };
  return { partition, sightings, app, holderAfter, work };
}

test('a job whose queue key is taken is not enqueued, and the answer names the holder', async () => {
  const { partition, app, sightings, work } = await stage(false);
  const first = await app.jobs.enqueue(KeyedWork, KEY, { partition, id: 'first' });
  const second = await app.jobs.enqueue(KeyedWork, KEY, { partition, id: 'second' });
  expect(first).toMatchObject({ status: 'enqueued', job: { id: 'first' } });
  expect(second).toMatchObject({ status: 'duplicate', existingJobId: 'first', job: { id: 'second' } });
  await expect(app.globalState.isQueued(partition, 'key')).resolves.toBe('first');

  await work();
  await sightings.ended(['first']);
  await app.jobs.enqueue(KeyedWork, {}, { partition, id: 'unkeyed' });
  await sightings.ended(['unkeyed']);
  expect(sightings.ids('began')).toEqual(['first', 'unkeyed']);
});

test('a queue key is held while its job is queued, runs and waits for its retry, and free when it is done', async () => {
  const { partition, app, sightings, holderAfter, work } = await stage(false);
  await app.jobs.enqueue(KeyedWork, { ...KEY, failures: 1, isHeld: true }, { partition, id: 'holder' });
  expect(await holderAfter('while-queued')).toBe('holder');

  await work();
  await sightings.seenOf('holder', 'began');
  expect(await holderAfter('while-running')).toBe('holder');

  sightings.release();
  await sightings.seenOf('holder', 'failed');
  expect(await holderAfter('while-retrying')).toBe('holder');
  expect(sightings.ids('began')).toEqual(['holder']);

  await sightings.seenOf('holder', 'ended');
  await eventually('the key to be free', async () => (await holderAfter('later')) === 'later');
});

test('a queue key is held by a job that waits behind an execution key', async () => {
  const { partition, app, sightings, holderAfter } = await stage(true);
  await app.jobs.enqueue(KeyedWork, { executionKey: 'line', isHeld: true }, { partition, id: 'runner' });
  await sightings.seenOf('runner', 'began');
  await app.jobs.enqueue(KeyedWork, { ...KEY, executionKey: 'line' }, { partition, id: 'waiting' });
  expect(await holderAfter('other')).toBe('waiting');
  sightings.release();
  await sightings.ended(['runner', 'waiting']);
  await eventually('the key to be free', async () => (await holderAfter('later')) === 'later');
});

test.each<[string, (stage: Stage) => Promise<void>]>([
  [
    'buried',
    async ({ partition, app, sightings }) => {
      await app.jobs.enqueue(KeyedWork, { ...KEY, failures: 9 }, { partition, id: 'holder' });
      await sightings.seenOf('holder', 'buried');
    },
  ],
  [
    'failed and not retryable',
    async ({ partition, app, sightings }) => {
      await app.jobs.enqueue(KeyedOnce, { ...KEY, failures: 1 }, { partition, id: 'holder' });
      await sightings.seenOf('holder', 'failed');
    },
  ],
  [
    'cancelled in its queue',
    async ({ partition, app }) => {
      app.partitions.pauseAll(partition);
      await app.jobs.enqueue(KeyedWork, KEY, { partition, id: 'holder' });
      await app.globalState.cancelJob(partition, 'holder');
    },
  ],
  [
    'cancelled while it ran',
    async ({ partition, app, sightings }) => {
      await app.jobs.enqueue(KeyedWork, { ...KEY, isHeld: true }, { partition, id: 'holder' });
      await sightings.seenOf('holder', 'began');
      await app.globalState.cancelJob(partition, 'holder');
      await sightings.seenOf('holder', 'cancelled');
    },
  ],
  [
    'purged',
    async ({ partition, app }) => {
      app.partitions.pauseAll(partition);
      await app.jobs.enqueue(KeyedWork, KEY, { partition, id: 'holder' });
      await eventually('the job to be in its queue', async () => {
        return (await app.info.queueDepth(partition, 'default'))?.ready === 1;
      });
      await app.globalState.purge(partition, 'default');
    },
  ],
])('a queue key is free when its job is %s', async (_, endIt) => {
  const staged = await stage(true);
  await endIt(staged);
  await eventually('the key to be free', async () => (await staged.holderAfter('later')) === 'later');
});

test('two partitions share no queue keys', async () => {
  const { partition, worker } = keyedPartition();
  const other = `${partition}-too`;
  const { jobs } = await startApp(
    {
      ...worker,
      mode: 'producer',
      partitions: { [partition]: { default: 1 }, [other]: { default: 1 } },
    },
    [...KEYED, new Sightings().of('producer')],
  );
  expect(await jobs.enqueue(KeyedWork, KEY, { partition })).toMatchObject({ status: 'enqueued' });
  expect(await jobs.enqueue(KeyedWork, KEY, { partition: other })).toMatchObject({ status: 'enqueued' });
});

test('of a thousand jobs of one queue key that three processes enqueue at once, one is enqueued', async () => {
  const { partition, producer } = keyedPartition();
  const sightings = new Sightings();
  const children = await Promise.all(
    ['a', 'b', 'c'].map((node) => ChildApp.start({ node, roger: producer, sightings, isStartEnough: true })),
  );
  const outcomes = await Promise.all(
    children.map((child, at) =>
      child.enqueued({
        partition,
        orders: Array.from({ length: 334 }, (_, n) => ({ id: `job-${at}-${n}`, args: KEY })),
      }),
    ),
  );
  const all = outcomes.flat();
  const enqueued = all.filter(({ status }) => status === 'enqueued');
  expect(enqueued).toHaveLength(1);
  const holders = all.flatMap(({ existingJobId }) => existingJobId ?? []);
  expect(holders).toHaveLength(all.length - 1);
  expect([...new Set(holders)]).toEqual([enqueued[0]?.id]);
});

test('a job that is enqueued again under its id while it exists is no second job', async () => {
  const { partition, app, sightings, work } = await stage(false);
  const enqueue = () => app.jobs.enqueue(KeyedWork, KEY, { partition, id: 'job' });
  const results = [await enqueue(), ...(await Promise.all([enqueue(), enqueue()]))];
  expect(results.map(({ status }) => status)).toEqual(['enqueued', 'enqueued', 'enqueued']);
  await work();
  await sightings.ended(['job']);
  await app.jobs.enqueue(KeyedWork, {}, { partition, id: 'later' });
  await sightings.ended(['later']);
  expect(sightings.ids('began')).toEqual(['job', 'later']);
});

test('enqueueMany reports each duplicate with its place and the holder', async () => {
  const { partition, app } = await stage(false);
  const args = ['a', 'b', 'a', undefined, 'b', undefined].map((queueKey) =>
    queueKey === undefined ? {} : { queueKey },
  );
  const jobs = args.map((one, index) => app.jobs.create(KeyedWork, one, { partition, id: `job-${index}` }));
  expect(await app.jobs.enqueueMany(jobs)).toEqual({
    enqueued: 4,
    duplicates: [
      { index: 2, existingJobId: 'job-0' },
      { index: 4, existingJobId: 'job-1' },
    ],
    failures: [],
  });
});

test('a producer that is killed in the midst of a burst leaves no stuck key and no second job', async () => {
  const { partition, producer, worker } = keyedPartition({ default: 20 });
  const sightings = new Sightings();
  // The survivor keeps the ledger.
  const survivor = await startApp(producer, [...KEYED, sightings.of('survivor')]);
  await survivor.jobs.enqueue(KeyedWork, KEY, { partition, id: 'opener' });
  const doomed = await ChildApp.start({ node: 'doomed', roger: producer, sightings, isStartEnough: true });
  const orders = Array.from({ length: 2_500 }, (_, n) => ({
    id: `job-${n}`,
    args: { queueKey: `key-${n}` },
  }));
  doomed.enqueue({ partition, orders });
  await doomed.outcomes.count(200);
  await doomed.kill('SIGKILL');
  const confirmed = doomed.outcomes.seen.map(({ id }) => id);
  expect(confirmed.length).toBeLessThan(orders.length);

  await served(await startApp(worker, [...KEYED, sightings.of('worker')]), partition);
  await sightings.ended(confirmed, 30_000);
  // Whatever of the rest had reached the ledger runs; then every key is free.
  const again = orders.map(({ args }, n) =>
    survivor.jobs.create(KeyedWork, args, { partition, id: `again-${n}` }),
  );
  let left = again;
  await eventually(
    'every key to be free',
    async () => {
      const { duplicates, failures } = await survivor.jobs.enqueueMany(left);
      expect(failures).toEqual([]);
      left = duplicates.flatMap(({ index }) => left[index] ?? []);
      // Thousands of questions without a pause would leave the ledger no time for the jobs that are asked about.
      if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 500));
      return left.length === 0;
    },
    60_000,
    () => {
      const ended = sightings.ids('ended');
      return `${left.length} of ${again.length} keys are taken, the first is of ${left[0]?.id}; ${confirmed.length} had been confirmed, ${ended.length} jobs ended, the last ${ended.at(-1)}`;
    },
  );
  await sightings.ended(
    again.map(({ id }) => id),
    30_000,
  );
  expect(sightings.repeated('began')).toEqual([]);
});
