// A cancelled job that ignores its signal is left behind: it counts as cancelled, and keeps neither worker nor keys.
import { eventually, served, startApp } from '../support/app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Told } from '../support/stubborn';
import { Work } from '../support/work';

test('without keys: its worker is free, onCancel is told once, and its late result is refused', async () => {
  const { partition, worker } = keyedPartition({ default: 1 }, { abortGraceMs: 100 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, Told, sightings.of('node')]);
  await served(app, partition);
  await app.jobs.enqueue(Work, { isHeld: true, isStubborn: true }, { partition, id: 'stubborn' });
  await sightings.seenOf('stubborn', 'began');
  await app.jobs.enqueue(Work, {}, { partition, id: 'next' });
  await app.globalState.cancelJob(partition, 'stubborn', { reason: 'enough' });
  await sightings.ended(['next']);
  expect(app.app.get(Told).cancelled).toEqual(['stubborn']);
  const queue = () => app.partitions.queues(partition)[0];
  await eventually('the worker to be free', () => queue()?.running === 0);
  expect(queue()).toMatchObject({ leftBehind: 1, counts: { cancelled: 1, done: 1 } });

  sightings.release();
  await eventually('it to end after all', () => queue()?.leftBehind === 0);
  expect(sightings.whatOf('stubborn')).toEqual(['began', 'cancelled', 'aborted', 'ended']);
  expect(app.app.get(Told)).toMatchObject({ cancelled: ['stubborn'], done: ['next'] });
});

test('with keys: both are free, and the next of its execution key runs under a greater fence', async () => {
  const { partition, worker } = keyedPartition({ default: 1 }, { abortGraceMs: 100 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, Told, sightings.of('node')]);
  await served(app, partition);
  const keys = { queueKey: 'key', executionKey: 'line' };
  await app.globalState.pauseQueue(partition, 'default');
  // Enqueued while nothing runs, so that all of them are granted at once.
  await app.jobs.enqueue(
    KeyedWork,
    { ...keys, isHeld: true, isStubborn: true },
    { partition, id: 'stubborn' },
  );
  for (const id of ['second', 'third']) {
    await app.jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id });
  }
  await app.globalState.resumeQueue(partition, 'default');
  await sightings.seenOf('stubborn', 'began');
  await app.globalState.cancelJob(partition, 'stubborn');
  await sightings.ended(['second', 'third']);
  expect(await app.globalState.isQueued(partition, 'key')).toBeUndefined();
  await eventually('the line to be free', async () => {
    return (await app.globalState.isExecuting(partition, 'line')) === undefined;
  });
  const fenceOf = (id: string) =>
    sightings.all.find((seen) => seen.id === id && seen.what === 'began')?.fence;
  expect(fenceOf('second')).toBeGreaterThan(fenceOf('stubborn') ?? Infinity);
  expect(app.app.get(Told)).toMatchObject({ cancelled: ['stubborn'], done: ['second', 'third'] });

  sightings.release();
  await sightings.seenOf('stubborn', 'ended');
  await eventually('it to end after all', () => app.partitions.queues(partition)[0]?.leftBehind === 0);
  expect(app.app.get(Told)).toMatchObject({ cancelled: ['stubborn'], done: ['second', 'third'] });
});
