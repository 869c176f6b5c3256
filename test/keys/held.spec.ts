// A held job doesn't start until it is released, wherever it stood, with keys or without; released once, it runs once.
import type { Job, RogerModuleOptions } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const KEYS = { queueKey: 'key', executionKey: 'line' };
const SIBLING = { executionKey: 'line' };

interface Stage {
  readonly partition: string;
  readonly worker: RogerModuleOptions;
  readonly producer: TestApp;
  readonly sightings: Sightings;
  readonly work: (node?: string) => Promise<TestApp>;
}

async function stage(maxWorkers = 5): Promise<Stage> {
  const { partition, worker, producer } = keyedPartition({ default: maxWorkers });
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

/** Whatever was going to run before it has begun when it has ended: of jobs without keys, and of those of a ledger. */
async function othersHadTheirTurn({ producer, partition, sightings }: Stage): Promise<void> {
  const ids = ['plain', 'keyed'].map((kind) => `${kind}-${sightings.all.length}`);
  const [plain = '', keyed = ''] = ids;
  await producer.jobs.enqueue(Work, {}, { partition, id: plain });
  await producer.jobs.enqueue(KeyedWork, { executionKey: keyed }, { partition, id: keyed });
  await sightings.ended(ids);
}

/** Resolves when it is: the key of a job that has just ended is free a moment later. */
async function enqueued(isKeyed: boolean, { jobs }: TestApp, partition: string, id: string): Promise<Job> {
  const options = { partition, id };
  if (!isKeyed) return (await jobs.enqueue(Work, {}, options)).job;
  const done: Job[] = [];
  await eventually(`${id} to be enqueued`, async () => {
    const { status, job } = await jobs.enqueue(KeyedWork, KEYS, options);
    return status === 'enqueued' && done.push(job) > 0;
  });
  const [job] = done;
  if (job === undefined) throw new Error(`${id} was not enqueued`);
  return job;
}

// Each has two apps.
const together = testsAtOnce(4);

const KINDS = [
  ['with keys', true],
  ['without keys', false],
] as const;

describe.each(KINDS)('a job %s', (_kind, isKeyed) => {
  together('that is held in its queue does not start until it is released, and then runs once', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    const job = await enqueued(isKeyed, producer, partition, 'held');
    await globalState.hold(job, { why: 'wrong address' });
    expect(await globalState.isHeld(partition, 'held')).toBe(true);
    const [row, ...others] = await globalState.heldJobs(partition);
    expect(others).toEqual([]);
    expect(row).toMatchObject({ id: 'held', queue: 'default', why: 'wrong address' });
    expect(await globalState.heldJobs(partition, { why: 'another' })).toEqual([]);
    expect(await globalState.isQueued(partition, 'key')).toBe(isKeyed ? 'held' : undefined);

    await work();
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('held')).toEqual([]);

    expect(await globalState.release(partition, 'held')).toEqual({ released: true, met: 'held' });
    await sightings.ended(['held']);
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('held')).toEqual(['began', 'ended']);
    expect(await globalState.heldJobs(partition)).toEqual([]);
  });

  together('is held by calls that are made twice as by one, and released as by one', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    const job = await enqueued(isKeyed, producer, partition, 'held');
    await work();
    await sightings.ended(['held']);
    const again = await enqueued(isKeyed, producer, partition, 'again');
    // It may have begun already; then there is nothing to hold, and the calls say so.
    expect(job.id).toBe('held');
    const { outcome } = await globalState.hold(again);
    if (outcome === 'held') {
      expect(await globalState.hold(again, { why: 'more' })).toMatchObject({ outcome: 'held', met: 'held' });
      expect(await globalState.heldJobs(partition)).toMatchObject([{ id: 'again', why: 'more' }]);
      expect(await globalState.release(partition, 'again')).toMatchObject({ released: true });
    }
    expect(await globalState.release(partition, 'again')).toMatchObject({ released: false });
    await sightings.seenOf('again', 'ended');
  });

  together('that runs is not held, and goes on; what is enqueued under its id later runs too', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    await work();
    const { job } = isKeyed
      ? await producer.jobs.enqueue(KeyedWork, { ...KEYS, isHeld: true }, { partition, id: 'runs' })
      : await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'runs' });
    await sightings.seenOf('runs', 'began');
    expect(await globalState.hold(job)).toEqual({ outcome: 'running', met: 'running', missing: [] });
    expect(await globalState.isHeld(partition, 'runs')).toBe(false);
    expect(await globalState.release(partition, 'runs')).toMatchObject({ released: false });
    sightings.release();
    await sightings.ended(['runs']);
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('runs')).toEqual(['began', 'ended']);
    if (isKeyed)
      await eventually('its key to be free', async () => {
        return (await globalState.isQueued(partition, 'key')) === undefined;
      });
    await enqueued(isKeyed, producer, partition, 'runs');
    await sightings.seenOf('runs', 'ended', 2);
  });

  together('that runs and fails is tried again although somebody wanted to hold it meanwhile', async () => {
    const { producer, partition, sightings, work } = await stage();
    await work();
    const args = { isHeld: true, failures: 1 };
    const { job } = isKeyed
      ? await producer.jobs.enqueue(KeyedWork, { ...KEYS, ...args }, { partition, id: 'runs' })
      : await producer.jobs.enqueue(Work, args, { partition, id: 'runs' });
    await sightings.seenOf('runs', 'began');
    expect(await producer.globalState.hold(job)).toMatchObject({ outcome: 'running' });
    sightings.release();
    await sightings.ended(['runs']);
    expect(sightings.whatOf('runs')).toEqual(['began', 'failed', 'began', 'ended']);
  });

  together('that is not due is held, and released before its time comes at its time', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    const runAt = Date.now() + 4_000;
    const options = { partition, id: 'later', runAt };
    const { job } = isKeyed
      ? await producer.jobs.enqueue(KeyedWork, KEYS, options)
      : await producer.jobs.enqueue(Work, {}, options);
    expect(await globalState.hold(job)).toMatchObject({ outcome: 'held' });
    await work();
    expect(await globalState.release(partition, 'later')).toMatchObject({ released: true });
    await sightings.ended(['later']);
    expect(Date.now()).toBeGreaterThan(runAt - 300);
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('later')).toEqual(['began', 'ended']);
  });

  together('that is held past its time does not start', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const options = { partition, id: 'later', delayMs: 1_000 };
    const { job } = isKeyed
      ? await producer.jobs.enqueue(KeyedWork, KEYS, options)
      : await producer.jobs.enqueue(Work, {}, options);
    await producer.globalState.hold(job);
    await work();
    // The same way and time, enqueued later.
    await producer.jobs.enqueue(Work, {}, { partition, id: 'other', delayMs: 2_000 });
    await sightings.ended(['other']);
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('later')).toEqual([]);
    await producer.globalState.release(partition, 'later');
    await sightings.ended(['later']);
  });

  together('that is held and cancelled never runs, its end is told, and its keys are free', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    await globalState.pauseQueue(partition, 'default');
    await work();
    const job = await enqueued(isKeyed, producer, partition, 'held');
    await globalState.hold(job);
    const { met } = await globalState.cancelJob(partition, 'held', { reason: 'enough' });
    expect(met).toBe('held');
    expect(await globalState.isHeld(partition, 'held')).toBe(false);
    expect(await globalState.isQueued(partition, 'key')).toBeUndefined();
    expect(await globalState.release(partition, 'held')).toMatchObject({ released: false });
    await globalState.resumeQueue(partition, 'default');
    expect(await sightings.seenOf('held', 'cancelled')).toMatchObject({ reason: 'enough' });
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('held')).toEqual(['cancelled']);
  });

  together('that is enqueued held runs when it is released', async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const options = { partition, id: 'held', held: true };
    const { status } = isKeyed
      ? await producer.jobs.enqueue(KeyedWork, KEYS, options)
      : await producer.jobs.enqueue(Work, {}, options);
    expect(status).toBe('enqueued');
    await work();
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('held')).toEqual([]);
    await producer.globalState.release(partition, 'held');
    await sightings.ended(['held']);
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('held')).toEqual(['began', 'ended']);
  });

  together(
    'that is enqueued anew under the id of one that was held, released and has ended runs',
    async () => {
      const staged = await stage();
      const { producer, partition, sightings, work } = staged;
      const { globalState } = producer;
      const job = await enqueued(isKeyed, producer, partition, 'held');
      await globalState.hold(job);
      // Its copy without a token stays in the queue, unmet: nobody works.
      await globalState.release(partition, 'held');
      await work();
      await sightings.seenOf('held', 'ended');
      if (isKeyed)
        await eventually('its key to be free', async () => {
          return (await globalState.isQueued(partition, 'key')) === undefined;
        });
      await enqueued(isKeyed, producer, partition, 'held');
      await sightings.seenOf('held', 'ended', 2);
      await othersHadTheirTurn(staged);
      expect(sightings.whatOf('held')).toEqual(['began', 'ended', 'began', 'ended']);
    },
  );

  together('that was buried after a hold and a release can be tried again', async () => {
    const { producer, partition, sightings, work } = await stage();
    const { globalState, jobs } = producer;
    const options = { partition, id: 'fails' };
    const { job } = isKeyed
      ? await jobs.enqueue(KeyedWork, { ...KEYS, failures: 2 }, options)
      : await jobs.enqueue(Work, { failures: 2 }, options);
    await globalState.hold(job);
    await globalState.release(partition, 'fails');
    await work();
    await sightings.seenOf('fails', 'buried');
    if (isKeyed)
      await eventually('its key to be free', async () => {
        return (await globalState.isQueued(partition, 'key')) === undefined;
      });
    const again = { partition, id: 'fails' };
    if (isKeyed) await jobs.enqueue(KeyedWork, KEYS, again);
    else await jobs.enqueue(Work, {}, again);
    await sightings.ended(['fails']);
  });
});

together(
  'the next of its execution key has the turn of a job that is held, which comes after it',
  async () => {
    const { producer, partition, sightings, work } = await stage();
    const { globalState, jobs } = producer;
    const { job } = await jobs.enqueue(KeyedWork, KEYS, { partition, id: 'first' });
    await jobs.enqueue(KeyedWork, { ...SIBLING, isHeld: true }, { partition, id: 'second' });
    await jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'third' });
    await globalState.hold(job);
    await work();
    await sightings.seenOf('second', 'began');
    await globalState.release(partition, 'first');
    sightings.release();
    await sightings.ended(['first', 'second', 'third']);
    expect(sightings.inOrder().filter(({ what }) => what === 'began')).toMatchObject([
      { id: 'second' },
      { id: 'third' },
      { id: 'first' },
    ]);
  },
);

together(
  'a job in line is held, and one that is released to run now comes before the others of its line, beside none',
  async () => {
    const { producer, partition, sightings, work } = await stage();
    const { globalState, jobs } = producer;
    await work();
    await jobs.enqueue(KeyedWork, { ...SIBLING, isHeld: true }, { partition, id: 'runs' });
    await sightings.seenOf('runs', 'began');
    await jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'second' });
    const { job } = await jobs.enqueue(KeyedWork, SIBLING, { partition, id: 'third' });
    expect(await globalState.hold(job)).toMatchObject({ outcome: 'held', met: 'waiting' });
    await globalState.release(partition, 'third', { now: true });
    sightings.release();
    await sightings.ended(['runs', 'second', 'third']);
    const began = sightings.inOrder().filter(({ what }) => what === 'began');
    expect(began.map(({ id }) => id)).toEqual(['runs', 'third', 'second']);
    expect(sightings.peakOf(() => true)).toBe(1);
  },
);

together('a job that is not due runs at once when it is released to run now', async () => {
  const { producer, partition, sightings, work } = await stage();
  await work();
  const { job } = await producer.jobs.enqueue(Work, {}, { partition, id: 'later', delayMs: 3_600_000 });
  await producer.globalState.hold(job);
  await producer.globalState.release(partition, 'later', { now: true });
  await sightings.ended(['later']);
});

together('a job without keys that runs in another process is not held', async () => {
  const { producer, partition, sightings, worker } = await stage();
  const child = await ChildApp.start({ node: 'child', roger: worker, sightings });
  const { job } = await producer.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'runs' });
  await sightings.seenOf('runs', 'began');
  expect(await producer.globalState.hold(job)).toMatchObject({ outcome: 'running', missing: [] });
  expect(await producer.globalState.isHeld(partition, 'runs')).toBe(false);
  await child.kill();
});

together(
  'jobs are released by their reason, in the order in which they came to be held, more than one step of them',
  async () => {
    const { producer, partition, sightings, work } = await stage(1);
    const { globalState, jobs } = producer;
    const ids = Array.from({ length: 700 }, (_, n) => `job-${n}`);
    for (const id of ids) await jobs.enqueue(KeyedWork, SIBLING, { partition, id, held: true });
    const { job } = await jobs.enqueue(Work, {}, { partition, id: 'other' });
    await globalState.hold(job);
    expect(await globalState.heldJobs(partition, { count: 10_000 })).toHaveLength(701);
    expect(await globalState.releaseAll(partition, 'producer')).toBe(700);
    expect(await globalState.releaseAll(partition, 'producer')).toBe(0);
    await work();
    await sightings.ended(ids, 60_000);
    expect(sightings.ids('began').filter((id) => id !== 'other')).toEqual(ids);
    expect(sightings.whatOf('other')).toEqual([]);
  },
  120_000,
);

together(
  'a hold of a job without keys that is taken back is as if it had not been, whether the job is there or over',
  async () => {
    const staged = await stage();
    const { producer, partition, sightings, work } = staged;
    const { globalState } = producer;
    const waiting = await enqueued(false, producer, partition, 'waiting');
    await globalState.hold(waiting);
    await globalState.undoHold(waiting);
    expect(await globalState.isHeld(partition, 'waiting')).toBe(false);
    await work();
    await sightings.ended(['waiting']);
    await globalState.hold(waiting);
    expect(await globalState.isHeld(partition, 'waiting')).toBe(true);
    await globalState.undoHold(waiting);
    expect(await globalState.release(partition, 'waiting')).toEqual({ released: false, met: 'unseen' });
    await othersHadTheirTurn(staged);
    expect(sightings.whatOf('waiting')).toEqual(['began', 'ended']);
  },
);

together('a hold that is not of a copy without keys is not taken back', async () => {
  const { producer, partition } = await stage();
  const { globalState } = producer;
  const job = await enqueued(true, producer, partition, 'held');
  await globalState.hold(job);
  await globalState.undoHold(job);
  await globalState.undoHold({ partition, id: 'nobody', queuedAt: 1 });
  expect(await globalState.isHeld(partition, 'held')).toBe(true);
  await expect(globalState.undoHold({ partition, id: 'held', queuedAt: -1 })).rejects.toThrow('queuedAt');
});
