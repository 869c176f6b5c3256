// A cancel reaches a job wherever it is, and what has not begun then never begins.
import type { Job, RogerModuleOptions } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { sharedClock, Work } from '../support/work';

/** A job of both keys, and its sibling that waits behind it, and one that its queue key would refuse. */
const KEYS = { queueKey: 'key', executionKey: 'line' };
const SIBLING = { executionKey: 'line' };

interface Stage {
  readonly partition: string;
  readonly worker: RogerModuleOptions;
  readonly sightings: Sightings;
  readonly producer: TestApp;
  readonly work: (node?: string) => Promise<TestApp>;
}

async function stage(maxWorkers = 5): Promise<Stage> {
  // How long a job that ignores its signal keeps its worker is another spec's matter.
  const patience = { abortGraceMs: 60_000 };
  const { partition, worker, producer } = keyedPartition({ default: maxWorkers }, patience);
  const sightings = new Sightings();
  return {
    partition,
    worker,
    sightings,
    producer: await startApp(producer, [...KEYED, sightings.of('producer')]),
    work: async (node = 'worker') => {
      const app = await startApp(worker, [...KEYED, sightings.of(node)]);
      await served(app, partition);
      return app;
    },
  };
}

function jobFor(isKeyed: boolean, { jobs }: TestApp, partition: string, id: string): Job {
  return isKeyed ? jobs.create(KeyedWork, KEYS, { partition, id }) : jobs.create(Work, {}, { partition, id });
}

/** Resolves when a job that was enqueued after all others has run: whatever was going to run before it has begun. */
async function othersHadTheirTurn({ producer, partition, sightings }: Stage): Promise<void> {
  const id = `last-${sightings.all.length}`;
  await producer.jobs.enqueue(Work, {}, { partition, id });
  await sightings.ended([id]);
}

test('a queued job that is cancelled never runs, its keys are free at once, and onCancel is told once', async () => {
  const staged = await stage();
  const { producer, partition, sightings, work } = staged;
  await producer.jobs.enqueue(KeyedWork, KEYS, { partition, id: 'doomed' });
  await eventually('it to be in its queue', async () => {
    await producer.jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'sibling' });
    return (await producer.globalState.isQueued(partition, 'key')) === 'doomed';
  });
  const result = await producer.globalState.cancelJob(partition, 'doomed', { reason: 'wrong address' });
  expect(result).toEqual({ met: 'queued', missing: [] });
  expect(await producer.globalState.isCancelled(partition, 'doomed')).toBe(true);
  expect(await producer.globalState.isQueued(partition, 'key')).toBeUndefined();

  await work();
  await sightings.ended(['sibling']);
  const { reason } = await sightings.seenOf('doomed', 'cancelled');
  expect(reason).toBe('wrong address');
  await othersHadTheirTurn(staged);
  expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
  await eventually('the cancel to be over', async () => {
    return !(await producer.globalState.isCancelled(partition, 'doomed'));
  });
});

test('a waiting job that is cancelled never runs, and its sibling keeps the turn', async () => {
  const staged = await stage();
  const { producer, partition, sightings, work } = staged;
  await work();
  await producer.jobs.enqueue(KeyedWork, { ...SIBLING, isHeld: true }, { partition, id: 'runner' });
  await sightings.seenOf('runner', 'began');
  await producer.jobs.enqueue(KeyedWork, KEYS, { partition, id: 'doomed' });
  await producer.jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'next' });
  const { met } = await producer.globalState.cancelJob(partition, 'doomed');
  expect(met).toBe('waiting');
  await sightings.seenOf('doomed', 'cancelled');
  expect(await producer.globalState.isExecuting(partition, 'line')).toBe('runner');
  expect(await producer.globalState.isQueued(partition, 'key')).toBeUndefined();
  await othersHadTheirTurn(staged);
  expect(sightings.whatOf('next')).toEqual([]);

  sightings.release();
  await sightings.ended(['runner', 'next']);
  expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
});

test('a job that is cancelled between two attempts is not tried again', async () => {
  const staged = await stage();
  const { producer, partition, sightings, work } = staged;
  await work();
  await producer.jobs.enqueue(KeyedWork, { ...KEYS, failures: 1 }, { partition, id: 'doomed' });
  await sightings.seenOf('doomed', 'failed');
  await eventually('the turn to be free', async () => {
    return (await producer.globalState.isExecuting(partition, 'line')) === undefined;
  });
  const { met } = await producer.globalState.cancelJob(partition, 'doomed', { reason: 'enough' });
  expect(met).toBe('retrying');
  expect(await producer.globalState.isQueued(partition, 'key')).toBeUndefined();
  expect(await sightings.seenOf('doomed', 'cancelled')).toMatchObject({ reason: 'enough', attempt: 2 });
  await othersHadTheirTurn(staged);
  expect(sightings.whatOf('doomed')).toEqual(['began', 'failed', 'cancelled']);
});

test('a job that runs in another process sees its signal abort within 500 ms, with the reason, and holds its keys until it has ended', async () => {
  const staged = await stage();
  const { producer, partition, sightings, worker } = staged;
  const child = await ChildApp.start({ node: 'child', roger: worker, sightings });
  await producer.jobs.enqueue(
    KeyedWork,
    { ...KEYS, isHeld: true, isStubborn: true },
    { partition, id: 'stubborn' },
  );
  await producer.jobs.enqueue(
    KeyedWork,
    { executionKey: 'other', isHeld: true },
    { partition, id: 'heedful' },
  );
  await Promise.all([sightings.seenOf('stubborn', 'began'), sightings.seenOf('heedful', 'began')]);
  await producer.jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'next' });

  const cancelledAt = sharedClock();
  const results = await Promise.all(
    ['stubborn', 'heedful'].map((id) => producer.globalState.cancelJob(partition, id, { reason: 'stop it' })),
  );
  expect(results).toEqual([
    { met: 'running', missing: [] },
    { met: 'running', missing: [] },
  ]);
  const aborted = await sightings.seenOf('heedful', 'aborted');
  expect(aborted).toMatchObject({ reason: 'stop it', node: 'child' });
  expect(aborted.at - cancelledAt).toBeLessThan(500);
  expect(await sightings.seenOf('heedful', 'cancelled')).toMatchObject({ reason: 'stop it', node: 'child' });

  // The stubborn one goes on, and until it has ended nobody else has its keys.
  await othersHadTheirTurn(staged);
  expect(await producer.globalState.isExecuting(partition, 'line')).toBe('stubborn');
  expect(await producer.globalState.isQueued(partition, 'key')).toBe('stubborn');
  expect(sightings.whatOf('next')).toEqual([]);
  child.release();
  await sightings.ended(['next']);
  // It ended well after all.
  expect(sightings.whatOf('stubborn')).toEqual(['began', 'aborted', 'ended']);
  expect(sightings.whatOf('heedful')).toEqual(['began', 'aborted', 'cancelled']);
});

test('a job without keys that is cancelled in its queue never runs', async () => {
  const staged = await stage();
  const { producer, partition, sightings, work } = staged;
  await producer.jobs.enqueue(Work, {}, { partition, id: 'doomed' });
  const result = await producer.globalState.cancelJob(partition, 'doomed', { reason: 'no need' });
  expect(result).toEqual({ met: 'unseen', missing: [] });
  await work();
  expect(await sightings.seenOf('doomed', 'cancelled')).toMatchObject({ reason: 'no need' });
  await othersHadTheirTurn(staged);
  expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
});

test('a job without keys that runs in another process sees its signal abort within 500 ms', async () => {
  const { producer, partition, sightings, worker } = await stage();
  await ChildApp.start({ node: 'child', roger: worker, sightings });
  await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'doomed' });
  await sightings.seenOf('doomed', 'began');
  const cancelledAt = sharedClock();
  const result = await producer.globalState.cancelJob(partition, 'doomed', { reason: 'stop it' });
  expect(result).toEqual({ met: 'running', missing: [] });
  const { at, reason } = await sightings.seenOf('doomed', 'aborted');
  expect(reason).toBe('stop it');
  expect(at - cancelledAt).toBeLessThan(500);
  await sightings.seenOf('doomed', 'cancelled');
  expect(sightings.whatOf('doomed')).toEqual(['began', 'aborted', 'cancelled']);
});

test.each([
  ['with keys', true],
  ['without keys', false],
])(
  'a job %s that a busy worker has at hand does not begin once its cancel is acknowledged',
  async (_, isKeyed) => {
    const staged = await stage(1);
    const { producer, partition, sightings, work } = staged;
    const { partitions, nodeInfo } = await work();
    // Only who has seen that jobs are quick takes more than it can run.
    const quick = Array.from({ length: 100 }, (_, n) => `quick-${n}`);
    await producer.jobs.enqueueMany(quick.map((id) => producer.jobs.create(Work, {}, { partition, id })));
    await sightings.ended(quick);
    await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'busy' });
    await sightings.seenOf('busy', 'began');
    await producer.jobs.enqueue(jobFor(isKeyed, producer, partition, 'doomed'));
    await eventually('it to be at hand', () => (partitions.queues(partition)[0]?.atHand ?? 0) > 0);
    await producer.globalState.cancelJob(partition, 'doomed');
    expect(nodeInfo.runningJobs().map(({ job }) => job.id)).toEqual(['busy']);
    sightings.release();
    await sightings.seenOf('doomed', 'cancelled');
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
  },
);

test.each([
  ['with keys', true],
  ['without keys', false],
])(
  'a job %s that a paused worker has not begun does not begin once its cancel is acknowledged',
  async (_, isKeyed) => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    await work();
    await producer.globalState.pauseQueue(partition, 'default');
    await producer.jobs.enqueue(jobFor(isKeyed, producer, partition, 'doomed'));
    await producer.globalState.cancelJob(partition, 'doomed');
    await producer.globalState.resumeQueue(partition, 'default');
    await sightings.seenOf('doomed', 'cancelled');
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
  },
);

test('a cancel outlives the restart of all apps', async () => {
  const { producer, partition, sightings, worker, work } = await stage();
  await producer.jobs.enqueue(KeyedWork, KEYS, { partition, id: 'keyed' });
  await producer.jobs.enqueue(Work, {}, { partition, id: 'unkeyed' });
  await producer.globalState.cancelJob(partition, 'keyed', { reason: 'before' });
  await producer.globalState.cancelJob(partition, 'unkeyed', { reason: 'before' });
  await producer.close();

  const again = await startApp({ ...worker, mode: 'producer' }, [...KEYED, sightings.of('again')]);
  expect(await again.globalState.isCancelled(partition, 'keyed')).toBe(true);
  expect(await again.globalState.isCancelled(partition, 'unkeyed')).toBe(true);
  await work();
  expect(await sightings.seenOf('keyed', 'cancelled')).toMatchObject({ reason: 'before' });
  expect(await sightings.seenOf('unkeyed', 'cancelled')).toMatchObject({ reason: 'before' });
  await again.jobs.enqueue(Work, {}, { partition, id: 'last' });
  await sightings.ended(['last']);
  expect(sightings.ids('began')).toEqual(['last']);
});

test('to cancel a job twice comes to the same as once', async () => {
  const staged = await stage();
  const { producer, partition, sightings, work } = staged;
  await work();
  await producer.jobs.enqueue(
    KeyedWork,
    { executionKey: 'line', isHeld: true, isStubborn: true },
    { partition, id: 'running' },
  );
  await sightings.seenOf('running', 'began');
  await producer.jobs.enqueue(Work, { isHeld: true, isStubborn: true }, { partition, id: 'unkeyed' });
  await sightings.seenOf('unkeyed', 'began');
  await producer.globalState.pauseQueue(partition, 'default');
  await producer.jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition, id: 'queued' });
  for (const [id, met] of [
    ['running', 'running'],
    ['unkeyed', 'running'],
    ['queued', 'queued'],
    ['nobody', 'unseen'],
  ] as const) {
    const cancel = () => producer.globalState.cancelJob(partition, id, { reason: id });
    expect(await cancel()).toEqual({ met, missing: [] });
    expect(await cancel()).toEqual({ met, missing: [] });
  }
  await producer.globalState.resumeQueue(partition, 'default');
  await sightings.seenOf('queued', 'cancelled');
  sightings.release();
  await sightings.ended(['running', 'unkeyed']);
  await othersHadTheirTurn(staged);
  expect(sightings.repeated('cancelled')).toEqual([]);
});

test.each([
  ['with keys', true],
  ['without keys', false],
])('a job %s that is enqueued under the id of one whose cancel was met runs', async (_, isKeyed) => {
  const { producer, partition, sightings, work } = await stage();
  await producer.jobs.enqueue(jobFor(isKeyed, producer, partition, 'job'));
  await producer.globalState.cancelJob(partition, 'job');
  await work();
  await sightings.seenOf('job', 'cancelled');
  await eventually('the cancel to be over', async () => {
    return !(await producer.globalState.isCancelled(partition, 'job'));
  });
  await producer.jobs.enqueue(jobFor(isKeyed, producer, partition, 'job'));
  await sightings.ended(['job']);
  expect(sightings.whatOf('job')).toEqual(['cancelled', 'began', 'ended']);
});
