// An operator looks at buried jobs, has them run again, and removes them; none is lost, and none runs twice without a cause.
import { connect } from 'amqplib';
import {
  BuriedJobs,
  BuryJob,
  MisroutedJobError,
  RogerJob,
  type JobContext,
  type JobHandler,
} from 'nestjs-roger';
import { eventually, served, startApp, type TestApp } from '../support/app';
import { sharedBrokerUri } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { keyedPartition, type KeyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';

const LIMIT_MS = 120_000;
const MANY = process.env['ROGER_FAULTS'] === 'long' ? 10_000 : 2_000;

/** Buried at its first run of all. */
const buriedOnce = new Set<string>();
const ended: string[] = [];

interface Args {
  n: number;
  queueKey?: string;
  isHopeless?: boolean;
}

@RogerJob({ queueKey: ({ queueKey }: Args) => queueKey })
class Mortal implements JobHandler<Args> {
  perform({ isHopeless }: Args, { job: { id, attempt } }: JobContext): void {
    if (isHopeless === true || !buriedOnce.has(id)) {
      buriedOnce.add(id);
      throw new BuryJob(`broken in attempt ${attempt}`);
    }
    ended.push(id);
  }
}

let keyed: KeyedPartition;
let app: TestApp;
let buried: BuriedJobs;

beforeEach(async () => {
  buriedOnce.clear();
  ended.length = 0;
  keyed = keyedPartition({ default: 10 });
  app = await startApp(keyed.worker, [Mortal]);
  // Some are put into its queue without it.
  await served(app, keyed.partition);
  buried = app.app.get(BuriedJobs);
});

function standing(count: number): Promise<void> {
  return eventually(
    `${count} to be buried`,
    async () => (await app.info.queueDepth(keyed.partition, 'default'))?.buried === count,
    60_000,
  );
}

/** Producers connect when they have started. */
function connected({ info }: TestApp): Promise<void> {
  return eventually('the app to be connected', () => info.transportInfo().state === 'connected');
}

async function bury(count: number, args: (n: number) => Partial<Args> = () => ({})): Promise<string[]> {
  const jobs = Array.from({ length: count }, (_, n) => {
    return app.jobs.create(Mortal, { n, ...args(n) }, { partition: keyed.partition, id: `job-${n}` });
  });
  await app.jobs.enqueueMany(jobs);
  await standing(count);
  return jobs.map(({ id }) => id);
}

async function buryRaw(body: Buffer): Promise<void> {
  const connection = await connect(sharedBrokerUri());
  const channel = await connection.createConfirmChannel();
  const { partition } = keyed;
  // A queue refuses for a moment while it is being made; what it refuses it has not kept.
  await eventually('the buried queue to take it', () => {
    channel.sendToQueue(`${partition}.${partition}-default.buried`, body, { messageId: 'raw' });
    return channel.waitForConfirms().then(
      () => true,
      () => false,
    );
  });
  await connection.close();
}

test('the list shows what was enqueued, why it is there and since when, and leaves all in its place', async () => {
  const before = Date.now();
  await bury(1, () => ({ queueKey: 'key' }));
  await buryRaw(Buffer.from('no job'));
  await standing(2);
  const { partition } = keyed;
  const [first, second] = await buried.list(partition, 'default');
  expect(first).toMatchObject({
    id: 'job-0',
    job: { id: 'job-0', name: 'Mortal', args: { n: 0, queueKey: 'key' }, attempt: 1, queueKey: 'key' },
    bytes: undefined,
    reason: {
      type: 'BuryJob',
      message: 'broken in attempt 1',
      stack: expect.stringContaining('BuryJob') as string,
    },
  });
  expect(first?.buriedAt).toBeGreaterThanOrEqual(before);
  expect(second).toMatchObject({ id: 'raw', job: undefined, bytes: Buffer.from('no job') });
  await standing(2);
  expect(await buried.list(partition, 'default', { limit: 1 })).toMatchObject([{ id: 'job-0' }]);
  await expect(buried.list(partition, 'default', { limit: 0 })).rejects.toThrow('limit');
});

test('a job that is retried runs again, from its first attempt, and is no longer buried', async () => {
  const { partition } = keyed;
  await bury(3);
  expect(await buried.retry(partition, 'default', 'job-1')).toEqual({ status: 'enqueued' });
  await eventually('it to end', () => ended.includes('job-1'));
  await standing(2);
  expect((await buried.list(partition, 'default')).map(({ id }) => id).sort()).toEqual(['job-0', 'job-2']);
  expect(await buried.retry(partition, 'default', 'job-1')).toEqual({ status: 'notFound' });
});

test('a job whose queue key another job has stays buried, and the other is named', async () => {
  const { partition } = keyed;
  await bury(1, () => ({ queueKey: 'key' }));
  app.partitions.pauseAll(partition);
  await app.jobs.enqueue(Mortal, { n: 1, queueKey: 'key' }, { partition, id: 'holder' });
  const duplicate = { status: 'duplicate', existingJobId: 'holder' };
  expect(await buried.retry(partition, 'default', 'job-0')).toEqual(duplicate);
  expect(await buried.retryAll(partition, 'default')).toEqual({
    enqueued: 0,
    duplicates: [{ id: 'job-0', existingJobId: 'holder' }],
    failures: [],
    isComplete: true,
  });
  await standing(1);
});

test('what is no job, or is of another tenant, is never enqueued: it is reported and stays', async () => {
  const { partition } = keyed;
  await buryRaw(Buffer.from('no job'));
  const foreign = {
    v: 1,
    id: 'x',
    name: 'Mortal',
    partition: 'other',
    queue: 'default',
    args: {},
    attempt: 1,
  };
  await buryRaw(Buffer.from(JSON.stringify({ ...foreign, queuedAt: 0 })));
  await standing(2);
  const { enqueued, failures, isComplete } = await buried.retryAll(partition, 'default');
  expect({ enqueued, isComplete }).toEqual({ enqueued: 0, isComplete: true });
  expect(failures.map(({ id }) => id)).toEqual(['raw', 'x']);
  await expect(buried.retry(partition, 'default', 'x')).rejects.toThrow(MisroutedJobError);
  await standing(2);
});

test('delete and deleteAll remove those that are meant, and no other', async () => {
  const { partition } = keyed;
  await bury(5);
  expect(await buried.delete(partition, 'default', 'job-2')).toBe(true);
  expect(await buried.delete(partition, 'default', 'job-2')).toBe(false);
  expect(await buried.deleteAll(partition, 'default', ({ id }) => id !== 'job-4')).toBe(3);
  await standing(1);
  expect(await buried.list(partition, 'default')).toMatchObject([{ id: 'job-4' }]);
  expect(await buried.deleteAll(partition, 'default')).toBe(1);
  await standing(0);
});

test('two operators at once have each job run again once', async () => {
  const { partition, producer } = keyed;
  const ids = await bury(500, (n) => (n % 2 === 0 ? {} : { queueKey: `key-${n}` }));
  const other = await startApp(producer, [Mortal]);
  await connected(other);
  const results = await Promise.all([
    buried.retryAll(partition, 'default'),
    other.app.get(BuriedJobs).retryAll(partition, 'default'),
  ]);
  expect(results.map(({ isComplete }) => isComplete)).toEqual([true, true]);
  const { enqueued } = await buried.retryAll(partition, 'default');
  expect(results.reduce((sum, result) => sum + result.enqueued, enqueued)).toBe(ids.length);
  await eventually('all to end', () => ended.length >= ids.length);
  await standing(0);
  expect([...ended].sort()).toEqual([...ids].sort());
});

test(
  `${MANY} are looked through: one far behind is found and removed, the rest stays`,
  async () => {
    const { partition } = keyed;
    const ids = await bury(MANY, () => ({ isHopeless: true }));
    const begin = performance.now();
    const last = (await buried.list(partition, 'default', { limit: MANY })).at(-1)?.id ?? '';
    expect(await buried.delete(partition, 'default', last)).toBe(true);
    expect(performance.now() - begin).toBeLessThan(60_000);
    await standing(ids.length - 1);
  },
  LIMIT_MS,
);

test(
  'an operator that is killed in the middle loses nothing',
  async () => {
    const { partition, producer } = keyed;
    const ids = Array.from({ length: 1_000 }, (_, n) => `work-${n}`);
    const sightings = new Sightings();
    const keeper = await startApp(producer, [...KEYED, sightings.of('parent')]);
    const connection = await connect(sharedBrokerUri());
    const channel = await connection.createConfirmChannel();
    for (const id of ids) {
      const args = { executionKey: 'line' };
      const { ...job } = keeper.jobs.create(KeyedWork, args, { partition, id });
      const body = Buffer.from(JSON.stringify({ v: 1, ...job }));
      channel.sendToQueue(`${partition}.${partition}-default.buried`, body, { messageId: id });
    }
    await channel.waitForConfirms();
    await connection.close();
    await standing(ids.length);
    await app.close();

    const child = await ChildApp.start({ node: 'operator', roger: producer, sightings });
    child.retryBuried(partition, 'default');
    await eventually('some to be enqueued', async () => {
      return ((await keeper.info.queueDepth(partition, 'default'))?.ready ?? 0) > 0;
    });
    await child.kill('SIGKILL');

    // What it held comes back when the broker has noticed its death.
    let enqueuedInAll = 0;
    let timesNothing = 0;
    await eventually(
      'nothing to come back any more',
      async () => {
        const { enqueued, failures } = await keeper.app.get(BuriedJobs).retryAll(partition, 'default');
        expect(failures).toEqual([]);
        enqueuedInAll += enqueued;
        timesNothing = enqueued === 0 ? timesNothing + 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, 300));
        return timesNothing === 3;
      },
      60_000,
    );
    // Or it was killed at the end.
    expect(enqueuedInAll).toBeGreaterThan(0);
    await startApp(keyed.worker, [...KEYED, sightings.of('worker')]);
    await sightings.ended(ids, 60_000);
    // What was enqueued and not yet removed counted as the same job: it has a key.
    expect(sightings.repeated('ended')).toEqual([]);
  },
  LIMIT_MS,
);
