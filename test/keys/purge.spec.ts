// A purge removes what no worker has, in the queue and in line, and frees the keys of what it removed.
import { eventually, served, startApp } from '../support/app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

test('a purge frees the queue keys and execution keys of what stood in the queue and in line', async () => {
  const { partition, worker, producer } = keyedPartition();
  const sightings = new Sightings();
  const { jobs, info, globalState } = await startApp(producer, [...KEYED, sightings.of('producer')]);
  await jobs.enqueueMany([
    jobs.create(KeyedWork, { queueKey: 'a', executionKey: 'line' }, { partition, id: 'queued' }),
    jobs.create(KeyedWork, { queueKey: 'b', executionKey: 'line' }, { partition, id: 'waiting-1' }),
    jobs.create(KeyedWork, { queueKey: 'c', executionKey: 'line' }, { partition, id: 'waiting-2' }),
    jobs.create(KeyedWork, { queueKey: 'd' }, { partition, id: 'queued-2' }),
    jobs.create(Work, {}, { partition, id: 'unkeyed' }),
  ]);
  await eventually('them to stand in their queue', async () => {
    return (await info.queueDepth(partition, 'default'))?.ready === 3;
  });
  expect(await globalState.purge(partition, 'default')).toBe(5);
  for (const key of ['a', 'b', 'c', 'd']) {
    expect(await globalState.isQueued(partition, key)).toBeUndefined();
  }

  await served(await startApp(worker, [...KEYED, sightings.of('worker')]), partition);
  const result = await jobs.enqueueMany(
    ['a', 'b', 'c', 'd'].map((queueKey) =>
      jobs.create(KeyedWork, { queueKey, executionKey: 'line' }, { partition, id: `new-${queueKey}` }),
    ),
  );
  expect(result).toEqual({ enqueued: 4, duplicates: [], failures: [] });
  await sightings.ended(['new-a', 'new-b', 'new-c', 'new-d']);
  expect(sightings.ids('began')).toEqual(['new-a', 'new-b', 'new-c', 'new-d']);
});

test('a purge frees what a release has put on the express lane', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  const { jobs, info, globalState } = app;
  await jobs.enqueue(KeyedWork, { executionKey: 'line', isHeld: true }, { partition, id: 'running' });
  await sightings.seenOf('running', 'began');
  await jobs.enqueue(KeyedWork, { queueKey: 'a', executionKey: 'line' }, { partition, id: 'next' });
  await globalState.pauseQueue(partition, 'default');
  sightings.release();
  await sightings.ended(['running']);
  await eventually('the next to be on the express lane', async () => {
    return (await info.queueDepth(partition, 'default'))?.ready === 1;
  });
  expect(await globalState.purge(partition, 'default')).toBe(1);
  await globalState.resumeQueue(partition, 'default');
  expect(
    await jobs.enqueue(KeyedWork, { queueKey: 'a', executionKey: 'line' }, { partition, id: 'new' }),
  ).toMatchObject({ status: 'enqueued' });
  await sightings.ended(['new']);
  expect(sightings.whatOf('next')).toEqual([]);
});

test('a purge leaves running and retrying jobs, with their keys', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  const { jobs, globalState } = app;
  const running = { queueKey: 'running', executionKey: 'line', isHeld: true };
  await jobs.enqueue(KeyedWork, running, { partition, id: 'running' });
  await jobs.enqueue(KeyedWork, { queueKey: 'retrying', failures: 1 }, { partition, id: 'retrying' });
  await sightings.seenOf('running', 'began');
  await sightings.seenOf('retrying', 'failed');
  await jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id: 'waiting' });

  expect(await globalState.purge(partition, 'default')).toBe(1);
  expect(await globalState.isQueued(partition, 'running')).toBe('running');
  expect(await globalState.isExecuting(partition, 'line')).toBe('running');
  expect(await globalState.isQueued(partition, 'retrying')).toBe('retrying');
  await jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id: 'later' });
  expect(sightings.whatOf('later')).toEqual([]);
  sightings.release();
  await sightings.ended(['running', 'retrying', 'later']);
  expect(sightings.whatOf('retrying')).toEqual(['began', 'failed', 'began', 'ended']);
  expect(sightings.whatOf('waiting')).toEqual([]);
});

test('a purge of one queue leaves the jobs of another in the same line', async () => {
  const { partition, worker } = keyedPartition({ default: 2, mail: 2 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  const { jobs, globalState } = app;
  const enqueue = (id: string, queue: string, isHeld = false): Promise<unknown> =>
    jobs.enqueue(KeyedWork, { executionKey: 'line', isHeld }, { partition, queue, id });
  await enqueue('running', 'default', true);
  await sightings.seenOf('running', 'began');
  await enqueue('purged', 'default');
  await enqueue('kept', 'mail');
  expect(await globalState.purge(partition, 'default')).toBe(1);
  sightings.release();
  await sightings.ended(['kept']);
  expect(sightings.whatOf('purged')).toEqual([]);
});
