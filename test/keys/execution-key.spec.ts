// Jobs with one execution key run one after the other, in the order of their enqueueing, wherever they run.
import type { RogerModuleOptions } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import type { KeyedArgs } from '../support/keyed-work';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

async function startWorker(
  worker: RogerModuleOptions,
  partition: string,
  sightings: Sightings,
  node = 'worker',
): Promise<TestApp> {
  const app = await startApp(worker, [...KEYED, sightings.of(node)]);
  await served(app, partition);
  return app;
}

/** The ids of the jobs in the order in which their runs began. */
function beginnings(sightings: Sightings, prefix = ''): string[] {
  return sightings
    .inOrder()
    .filter(({ what, id }) => what === 'began' && id.startsWith(prefix))
    .map(({ id }) => id);
}

test('jobs of one key run one at a time and in order over three processes, each under a fence that has grown', async () => {
  const { partition, worker } = keyedPartition({ default: 10 });
  const sightings = new Sightings();
  const [app] = await Promise.all([
    startWorker(worker, partition, sightings, 'here'),
    ChildApp.start({ node: 'child-1', roger: worker, sightings }),
    ChildApp.start({ node: 'child-2', roger: worker, sightings }),
  ]);
  const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const enqueue = (key: string, n: number): Promise<unknown> =>
    app.jobs.enqueue(
      KeyedWork,
      { executionKey: key, ms: n % 7 === 0 ? 20 : 1 },
      { partition, id: `${key}-${n}` },
    );
  const rounds = 60;
  for (let n = 0; n < rounds; n++) await Promise.all(keys.map((key) => enqueue(key, n)));
  await sightings.ended(keys.flatMap((key) => Array.from({ length: rounds }, (_, n) => `${key}-${n}`)));

  for (const key of keys) {
    const isOfKey = (id: string): boolean => id.startsWith(`${key}-`);
    expect(sightings.peakOf(isOfKey)).toBe(1);
    expect(beginnings(sightings, `${key}-`)).toEqual(Array.from({ length: rounds }, (_, n) => `${key}-${n}`));
    const fences = sightings
      .inOrder()
      .filter(({ what, id }) => what === 'began' && isOfKey(id))
      .map(({ fence }) => fence ?? 0);
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
    expect(fences[0]).toBeGreaterThan(0);
  }
  // Or the three would have proved no more than one.
  for (const node of ['here', 'child-1', 'child-2']) expect(sightings.ids('ended', node)).not.toEqual([]);
});

test('a job without keys has no fence', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  await jobs.enqueue(KeyedWork, {}, { partition, id: 'unkeyed' });
  const { fence } = await sightings.seenOf('unkeyed', 'ended');
  expect(fence).toBeUndefined();
});

test('while one key is held, jobs of other keys and without keys go on', async () => {
  const { partition, worker } = keyedPartition({ default: 2 });
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  await jobs.enqueue(KeyedWork, { executionKey: 'held', isHeld: true }, { partition, id: 'holder' });
  await sightings.seenOf('holder', 'began');
  for (let n = 0; n < 20; n++) {
    await jobs.enqueue(KeyedWork, { executionKey: 'held' }, { partition, id: `waiting-${n}` });
  }
  await jobs.enqueue(KeyedWork, { executionKey: 'other' }, { partition, id: 'other' });
  await jobs.enqueue(Work, {}, { partition, id: 'unkeyed' });
  await sightings.ended(['other', 'unkeyed']);
  expect(sightings.ids('began')).toEqual(expect.not.arrayContaining(['waiting-0']));
  sightings.release();
  await sightings.ended(Array.from({ length: 20 }, (_, n) => `waiting-${n}`));
});

test('a job may have both keys', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  const args = (queueKey: string): KeyedArgs => ({ queueKey, executionKey: 'line' });
  await jobs.enqueue(KeyedWork, { ...args('a'), isHeld: true }, { partition, id: 'a' });
  await jobs.enqueue(KeyedWork, args('b'), { partition, id: 'b' });
  expect(await jobs.enqueue(KeyedWork, args('a'), { partition })).toMatchObject({ existingJobId: 'a' });
  expect(await jobs.enqueue(KeyedWork, args('b'), { partition })).toMatchObject({ existingJobId: 'b' });
  await sightings.seenOf('a', 'began');
  sightings.release();
  await sightings.ended(['a', 'b']);
  expect(beginnings(sightings)).toEqual(['a', 'b']);
  expect(sightings.peakOf(() => true)).toBe(1);
  await eventually('both keys to be free', async () => {
    const results = await jobs.enqueueMany(KeyedWork, [args('a'), args('b')], { partition });
    return results.duplicates.length === 0;
  });
});

test('a key serialises the jobs of two queues', async () => {
  const { partition, worker } = keyedPartition({ default: 5, mail: 5 });
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  const ids = Array.from({ length: 40 }, (_, n) => `job-${n}`);
  for (const [n, id] of ids.entries()) {
    const queue = n % 2 === 0 ? 'default' : 'mail';
    await jobs.enqueue(KeyedWork, { executionKey: 'line', ms: 2 }, { partition, queue, id });
  }
  await sightings.ended(ids);
  expect(beginnings(sightings)).toEqual(ids);
  expect(sightings.peakOf(() => true)).toBe(1);
});

test('jobs that are enqueued at once for several queues keep their order too', async () => {
  const { partition, worker } = keyedPartition({ a: 2, b: 2, c: 2, d: 2 });
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  const ids = Array.from({ length: 40 }, (_, n) => `job-${n}`);
  // None of the queues has been asked for before.
  const result = await jobs.enqueueMany(
    ids.map((id, n) =>
      jobs.create(KeyedWork, { executionKey: 'line' }, { partition, id, queue: 'abcd'.charAt(n % 4) }),
    ),
  );
  expect(result.enqueued).toBe(ids.length);
  await sightings.ended(ids);
  expect(beginnings(sightings)).toEqual(ids);
});

test('while a failed job waits for its retry the next has its turn, and then it comes before later ones', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const { jobs, partitions } = await startWorker(worker, partition, sightings);
  const enqueue = (id: string, args: KeyedArgs = {}): Promise<unknown> =>
    jobs.enqueue(KeyedWork, { executionKey: 'line', ...args }, { partition, id });
  await enqueue('first', { failures: 1 });
  await enqueue('second');
  await enqueue('third', { isHeld: true });
  await enqueue('fourth');
  await enqueue('fifth');
  await sightings.seenOf('third', 'began');
  expect(beginnings(sightings)).toEqual(['first', 'second', 'third']);
  // The retry is due while the third runs: it has to wait, at the head of the line.
  await eventually('the retried one to stand in line', () => {
    return partitions.queues(partition)[0]?.counts.parked === 1;
  });
  sightings.release();
  await sightings.ended(['first', 'second', 'third', 'fourth', 'fifth']);
  expect(beginnings(sightings)).toEqual(['first', 'second', 'third', 'first', 'fourth', 'fifth']);
  expect(sightings.peakOf(() => true)).toBe(1);
});

test('a chain of serial jobs does not wait behind the backlog of other jobs once per link', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 2, mail: 2 });
  const sightings = new Sightings();
  const { jobs, info } = await startApp(producer, [...KEYED, sightings.of('producer')]);
  // From queue to queue, or one worker would take several links at once.
  const queues = ['default', 'mail'];
  const links = Array.from({ length: 20 }, (_, n) => `link-${n}`);
  const backlog = Array.from({ length: 4_000 }, (_, n) => `other-${n}`);
  await jobs.enqueueMany(
    links.map((id, n) =>
      jobs.create(
        KeyedWork,
        { executionKey: 'chain', ms: 10 },
        { partition, id, queue: queues[n % 2] ?? '' },
      ),
    ),
  );
  await eventually('the first link to be in its queue', async () => {
    return (await info.queueDepth(partition, 'default'))?.ready === 1;
  });
  await jobs.enqueueMany(
    backlog.map((id, n) => jobs.create(Work, { ms: 2 }, { partition, id, queue: queues[n % 2] ?? '' })),
  );
  await startWorker(worker, partition, sightings);
  await sightings.ended([...links, ...backlog], 40_000);
  const ends = sightings.ids('ended');
  expect(ends.filter((id) => id.startsWith('link-'))).toEqual(links);
  // Else the last link would come after ten times the backlog of each queue.
  expect(ends.indexOf('link-19')).toBeLessThan(backlog.length / 2);
});

test('a job that a running job of the same key enqueues runs after it', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const { jobs } = await startWorker(worker, partition, sightings);
  await jobs.enqueue(
    KeyedWork,
    { executionKey: 'line', ms: 50, enqueues: ['next-1', 'next-2'] },
    { partition, id: 'first' },
  );
  await sightings.ended(['next-1', 'next-2']);
  expect(beginnings(sightings)).toEqual(['first', 'next-1', 'next-2']);
  expect(sightings.peakOf(() => true)).toBe(1);
});

test('ten thousand waiting jobs over a thousand keys all run, in order and one at a time', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 20 });
  const sightings = new Sightings();
  const { jobs } = await startApp(producer, [...KEYED, sightings.of('producer')]);
  const ids = Array.from({ length: 10_000 }, (_, n) => `${n % 1_000}/${Math.floor(n / 1_000)}`);
  const result = await jobs.enqueueMany(
    ids.map((id) => jobs.create(KeyedWork, { executionKey: id.split('/')[0] ?? '' }, { partition, id })),
  );
  expect(result).toEqual({ enqueued: ids.length, duplicates: [], failures: [] });
  await startWorker(worker, partition, sightings);
  await sightings.ended(ids, 40_000);
  expect(sightings.repeated('began')).toEqual([]);
  const last = new Map<string, number>();
  const outOfOrder = sightings.inOrder().filter(({ what, id }) => {
    const [key = '', n] = id.split('/');
    // Each of a key begins after the end of the one before.
    if (what === 'began') return Number(n) !== (last.get(key) ?? -1) + 1;
    last.set(key, Number(n));
    return false;
  });
  expect(outOfOrder).toEqual([]);
});
