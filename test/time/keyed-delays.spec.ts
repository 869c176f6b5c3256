// A delayed job holds its queue key all the while, whatever happens to its broker, its keeper or whoever enqueues, and no key is left behind.
import { LedgerUnavailableError } from 'nestjs-roger';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { sharedClock } from '../support/work';

/** A quorum queue younger than that may not outlive a kill -9: RabbitMQ 3.10 registers new ones on disk twice a second. */
const QUEUE_REGISTERED_MS = 1_500;

/** Longer than the broker is away, unless the machine is busy. */
const DELAY_MS = 15_000;

const together = testsAtOnce(4);

let broker: PrivateRabbitmq;
beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
afterAll(() => broker.stop());

function free({ globalState }: TestApp, partition: string, key: string): Promise<void> {
  return eventually('the key to be free', async () => {
    return (await globalState.isQueued(partition, key).catch(() => 'unknown')) === undefined;
  });
}

together(
  'it outlives the broker with its key: it is its alone before, during and after, and it comes once, in its time',
  async () => {
    const { partition, worker } = keyedPartition({ default: 5 }, { connection: { uri: broker.uri } });
    const sightings = new Sightings();
    const app = await startApp({ ...worker, ledgerTimeoutMs: 1_500 }, [...KEYED, sightings.of('worker')]);
    await served(app, partition);
    const { jobs } = app;
    const dueAt = sharedClock() + DELAY_MS;
    await jobs.enqueue(KeyedWork, { queueKey: 'held' }, { partition, id: 'warm', delayMs: DELAY_MS });
    await new Promise((resolve) => setTimeout(resolve, QUEUE_REGISTERED_MS));
    await broker.kill();
    await eventually('the loss to be noticed', () => app.nodeInfo.waitingPartitions().length === 1);

    // Nobody can be asked: within the time that was said, a typed error, and never a wrong "duplicate".
    const begunAt = performance.now();
    const failed: unknown = await jobs
      .enqueue(KeyedWork, { queueKey: 'other' }, { partition, id: 'away', delayMs: 1_000 })
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(LedgerUnavailableError);
    expect(performance.now() - begunAt).toBeLessThan(4_000);

    await broker.start();
    await served(app, partition);
    const held = { partition, delayMs: 1_000 };
    await eventually('an answer', async () => {
      const asked = jobs.enqueue(KeyedWork, { queueKey: 'held' }, { ...held, id: 'second' });
      const result = await asked.catch(() => undefined);
      if (result !== undefined) expect(result).toMatchObject({ status: 'duplicate', existingJobId: 'warm' });
      return result !== undefined;
    });
    // The one that failed may have been taken all the same, and then holds its key until it has run; either way it is free.
    await free(app, partition, 'other');
    expect(await jobs.enqueue(KeyedWork, { queueKey: 'other' }, { ...held, id: 'later' })).toMatchObject({
      status: 'enqueued',
    });
    await sightings.ended(['warm', 'later'], 60_000);
    expect((await sightings.seenOf('warm', 'began')).at).toBeGreaterThan(dueAt - 1_000);
    await free(app, partition, 'held');
    expect(sightings.repeated('began')).toEqual([]);
  },
  120_000,
);

together('it outlives its keeper with its key, and a cancel under the next one frees that', async () => {
  const { partition, worker, producer } = keyedPartition();
  const sightings = new Sightings();
  const keeper = await ChildApp.start({ node: 'keeper', roger: producer, sightings, isStartEnough: true });
  // Its first use makes it the keeper.
  await keeper.enqueued({ partition, orders: [{ id: 'opener', args: { queueKey: 'opener' } }] });
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  const { jobs, globalState } = app;
  await served(app, partition);
  const dueAt = sharedClock() + 4_000;
  for (const id of ['runs', 'cancelled']) {
    await jobs.enqueue(KeyedWork, { queueKey: id, executionKey: 'line' }, { partition, id, delayMs: 4_000 });
  }
  await keeper.kill();
  for (const key of ['runs', 'cancelled']) {
    const again = await jobs.enqueue(KeyedWork, { queueKey: key }, { partition, id: `again-${key}` });
    expect(again).toMatchObject({ status: 'duplicate', existingJobId: key });
  }
  expect(await globalState.cancelJob(partition, 'cancelled')).toMatchObject({ met: 'delayed' });
  const heir = { queueKey: 'cancelled', executionKey: 'line' };
  expect(await jobs.enqueue(KeyedWork, heir, { partition, id: 'heir' })).toMatchObject({
    status: 'enqueued',
  });
  await sightings.ended(['heir', 'runs']);
  // What is not delayed doesn't wait for what is, of the same execution key.
  expect(sightings.ids('began').filter((id) => id !== 'opener')).toEqual(['heir', 'runs']);
  expect((await sightings.seenOf('runs', 'began')).at).toBeGreaterThan(dueAt - 1_000);
  await free(app, partition, 'runs');
});

together(
  'due jobs of one execution key run one after another, in the order in which they are due',
  async () => {
    const { partition, worker } = keyedPartition();
    const sightings = new Sightings();
    const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
    await served(app, partition);
    const args = { executionKey: 'line', ms: 200 };
    for (const seconds of [5, 3, 1]) {
      await app.jobs.enqueue(KeyedWork, args, {
        partition,
        id: `after-${seconds}`,
        delayMs: seconds * 1_000,
      });
    }
    await sightings.ended(['after-1', 'after-3', 'after-5']);
    expect(sightings.inOrder().map(({ what, id }) => `${what} ${id}`)).toEqual(
      [1, 3, 5].flatMap((seconds) => [`began after-${seconds}`, `ended after-${seconds}`]),
    );
  },
);
