// A delayed job runs when it is due: not before, not much later, and whatever happens to the broker meanwhile.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { InvalidEnqueueOptionsError, QueueNotFoundError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { KeyedWork } from '../support/keyed-work';
import { keyedPartition } from '../support/keyed-partition';
import { queueIsThere } from '../support/queue-is-there';
import { Sightings } from '../support/sightings';
import { sharedClock, Work } from '../support/work';

const HOUR = 60 * 60 * 1_000;

async function startWorker(
  partition: string,
  more: object = {},
): Promise<TestApp & { sightings: Sightings }> {
  const sightings = new Sightings();
  const app = await startApp(
    { connection: { uri: sharedBrokerUri() }, partitions: { [partition]: { default: 50 } }, ...more },
    [Work, KeyedWork, sightings.of('worker')],
  );
  await served(app, partition);
  return { ...app, sightings };
}

describe('on the broker', () => {
  const together = testsAtOnce(4);
  let connection: ChannelModel;
  let channel: Channel;

  beforeAll(async () => {
    connection = await connect(sharedBrokerUri());
    channel = await connection.createChannel();
  });
  afterAll(() => connection.close());

  together('a job begins within a second of its time, by delayMs and by runAt', async () => {
    const partition = uniquePartition();
    const { jobs, sightings } = await startWorker(partition);
    // The levels are made meanwhile.
    await jobs.enqueue(Work, {}, { partition, delayMs: 5_000, id: 'warm' });
    const dueAt = new Map<string, number>();
    for (const ms of [1_000, 2_000, 3_000, 5_000, 2_400]) {
      dueAt.set(`delay-${ms}`, sharedClock() + ms);
      await jobs.enqueue(Work, {}, { partition, delayMs: ms, id: `delay-${ms}` });
      dueAt.set(`time-${ms}`, sharedClock() + ms);
      await jobs.enqueue(Work, {}, { partition, runAt: new Date(Date.now() + ms), id: `time-${ms}` });
    }
    await sightings.ended(dueAt.keys());
    for (const [id, due] of dueAt) {
      const { at } = await sightings.seenOf(id, 'began');
      expect({ id, early: at - due < -300, late: at - due > 1_000 }).toEqual({
        id,
        early: false,
        late: false,
      });
    }
    expect(sightings.repeated('began')).toEqual([]);
  });

  together(
    'what is due sooner runs first, though enqueued later, and what is not delayed or due in the past at once',
    async () => {
      const partition = uniquePartition();
      const { jobs, sightings } = await startWorker(partition);
      await jobs.enqueueMany(
        Work,
        Array.from({ length: 2_000 }, () => ({})),
        { partition, delayMs: 6 * HOUR },
      );
      await jobs.enqueue(Work, {}, { partition, delayMs: 4_000, id: 'four' });
      await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id: 'one' });
      const begun = sharedClock();
      await jobs.enqueue(Work, {}, { partition, id: 'none' });
      await jobs.enqueue(Work, {}, { partition, delayMs: 200, id: 'short' });
      await jobs.enqueue(Work, {}, { partition, runAt: 0, id: 'past' });
      await sightings.ended(['none', 'short', 'past']);
      expect(sharedClock() - begun).toBeLessThan(900);
      await sightings.ended(['one', 'four']);
      expect(sightings.ids('ended').slice(3)).toEqual(['one', 'four']);
    },
  );

  together('a delayed job keeps its time through create, and is tried again like any other', async () => {
    const partition = uniquePartition();
    const { jobs, sightings } = await startWorker(partition);
    const job = jobs.create(Work, { failures: 1 }, { partition, delayMs: 6_000, id: 'a' });
    expect(job.runAt).toBe(job.queuedAt + 6_000);
    await sleep(3_000);
    const { job: enqueued } = await jobs.enqueue(job);
    expect(enqueued.runAt).toBe(job.runAt);
    const begunAt = sharedClock();
    await sightings.ended(['a']);
    expect(sightings.whatOf('a')).toEqual(['began', 'failed', 'began', 'ended']);
    const [first, , second] = sightings.inOrder();
    expect((first?.at ?? 0) - begunAt).toBeLessThan(5_900);
    expect([first?.attempt, second?.attempt]).toEqual([1, 2]);
  });

  together('a delayed job for a queue that nobody has is refused', async () => {
    const { jobs } = await startWorker(uniquePartition());
    const nowhere = { partition: uniquePartition('nobody'), delayMs: 1_000 };
    await expect(jobs.enqueue(Work, {}, nowhere)).rejects.toThrow(QueueNotFoundError);
  });

  together('jobs whose queue is missing when they are due wait for it, and hold up nobody', async () => {
    const [gone, other] = [uniquePartition('gone'), uniquePartition('other')];
    const namespace = gone;
    const first = await startWorker(gone, { namespace });
    await first.close();
    const { jobs, sightings } = await startWorker(other, { namespace });
    const ids = Array.from({ length: 100 }, (_, index) => `gone-${index}`);
    await Promise.all(ids.map((id) => jobs.enqueue(Work, {}, { partition: gone, delayMs: 1_000, id })));
    await channel.deleteQueue(`${namespace}.${gone}-default`);
    const homeless = `${namespace}.roger.delay.homeless`;
    await eventually('the jobs to be homeless', async () => {
      return (await channel.checkQueue(homeless)).messageCount === ids.length;
    });
    const dueAt = sharedClock() + 1_000;
    await jobs.enqueue(Work, {}, { partition: other, delayMs: 1_000, id: 'other' });
    const { at } = await sightings.seenOf('other', 'ended');
    expect(at - dueAt).toBeLessThan(1_000);

    const back = await startWorker(gone, { namespace });
    await back.sightings.ended(ids);
    expect(back.sightings.repeated('ended')).toEqual([]);
  });

  together('levels that were deleted are made anew', async () => {
    const partition = uniquePartition();
    const { jobs, sightings } = await startWorker(partition, { namespace: partition });
    await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id: 'before' });
    await sightings.ended(['before']);
    await channel.deleteQueue(`${partition}.roger.delay.0`);
    await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id: 'queue' });
    await channel.deleteExchange(`${partition}.roger.delay.0`);
    await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id: 'exchange' });
    await sightings.ended(['queue', 'exchange']);
  });

  together('a cancelled delayed job without keys never runs', async () => {
    const { partition, worker } = keyedPartition();
    const { jobs, globalState, sightings } = await startWorker(partition, worker);
    await jobs.enqueue(Work, {}, { partition, delayMs: 2_000, id: 'a' });
    await jobs.enqueue(Work, {}, { partition, delayMs: 3_000, id: 'b' });
    expect(await queueIsThere(connection, `${partition}.roger.ledgers`)).toBe(false);
    expect(await globalState.cancelJob(partition, 'a')).toMatchObject({ met: 'unseen' });
    await sightings.ended(['b']);
    expect(sightings.ids('began')).toEqual(['b']);
    await eventually(
      'the cancel to be used up',
      async () => !(await globalState.isCancelled(partition, 'a')),
    );
  });

  together('the first long delay tells the ledger to keep cancels, and later ones need not', async () => {
    const { partition, worker } = keyedPartition();
    const { jobs, globalState } = await startWorker(partition, worker);
    await jobs.enqueue(Work, {}, { partition, delayMs: 19 * HOUR, id: 'short' });
    expect(await queueIsThere(connection, `${partition}.roger.ledgers`)).toBe(false);
    await jobs.enqueueMany(Work, [{}, {}, {}], { partition, delayMs: 21 * HOUR });
    expect(await queueIsThere(connection, `${partition}.roger.ledgers`)).toBe(true);
    expect(await globalState.cancelJob(partition, 'short')).toMatchObject({ met: 'unseen', missing: [] });
  });

  together(
    'a delayed job with keys holds its queue key, leaves the turn to others, and comes when it is due',
    async () => {
      const { partition, worker } = keyedPartition();
      const { jobs, sightings, globalState } = await startWorker(partition, worker);
      const keys = { queueKey: 'u', executionKey: 'k' };
      const dueAt = sharedClock() + 3_000;
      await jobs.enqueue(KeyedWork, keys, { partition, delayMs: 3_000, id: 'a' });
      expect(await jobs.enqueue(KeyedWork, keys, { partition, delayMs: 1_000, id: 'b' })).toMatchObject({
        status: 'duplicate',
        existingJobId: 'a',
      });
      await jobs.enqueue(KeyedWork, { executionKey: 'k' }, { partition, id: 'c' });
      await sightings.ended(['c']);
      expect(sharedClock()).toBeLessThan(dueAt - 500);
      expect(await globalState.isQueued(partition, 'u')).toBe('a');
      await sightings.ended(['a']);
      const { at } = await sightings.seenOf('a', 'began');
      expect(Math.abs(at - dueAt)).toBeLessThan(1_000);
      await eventually(
        'the key to be free',
        async () => (await globalState.isQueued(partition, 'u')) === undefined,
      );
      expect(sightings.ids('began')).toEqual(['c', 'a']);
    },
  );

  together('a delayed job with keys that comes while its execution key is taken waits in line', async () => {
    const { partition, worker } = keyedPartition();
    const { jobs, sightings } = await startWorker(partition, worker);
    await jobs.enqueue(KeyedWork, { executionKey: 'k' }, { partition, delayMs: 3_000, id: 'later' });
    await jobs.enqueue(KeyedWork, { executionKey: 'k', ms: 4_000 }, { partition, id: 'long' });
    await sightings.ended(['long', 'later']);
    expect(sightings.inOrder().map(({ what, id }) => `${what} ${id}`)).toEqual([
      'began long',
      'ended long',
      'began later',
      'ended later',
    ]);
  });

  together('a cancelled delayed job with keys frees its key at once and never runs', async () => {
    const { partition, worker } = keyedPartition();
    const { jobs, sightings, globalState } = await startWorker(partition, worker);
    await jobs.enqueue(KeyedWork, { queueKey: 'u' }, { partition, delayMs: 2_000, id: 'a' });
    expect(await globalState.cancelJob(partition, 'a')).toEqual({ met: 'delayed', missing: [] });
    const second = await jobs.enqueue(KeyedWork, { queueKey: 'u' }, { partition, delayMs: 1_000, id: 'b' });
    expect(second.status).toBe('enqueued');
    await sightings.ended(['b']);
    await eventually(
      'the cancelled one to be over',
      async () => !(await globalState.isCancelled(partition, 'a')),
    );
    expect(sightings.ids('began')).toEqual(['b']);
  });
});

describe('when the broker goes away', () => {
  /** A quorum queue younger than that may not outlive a kill -9: RabbitMQ 3.10 registers new ones on disk twice a second. */
  const QUEUE_REGISTERED_MS = 1_500;
  /** A restart takes less, unless the machine is busy. */
  const LONG_MS = 15_000;
  const JOBS = 10_000;
  const LONGEST_MS = 20_000;
  let broker: PrivateRabbitmq;

  beforeAll(async () => {
    broker = await startPrivateRabbitmq();
  });
  afterAll(() => broker.stop());

  test('delayed jobs outlive its restart in good order, and those due meanwhile run after it', async () => {
    const partition = uniquePartition();
    const { jobs, sightings, nodeInfo } = await startWorker(partition, { connection: { uri: broker.uri } });
    const dueAt = sharedClock() + LONG_MS;
    await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id: 'one' });
    await jobs.enqueue(Work, {}, { partition, delayMs: LONG_MS, id: 'long' });
    await sleep(QUEUE_REGISTERED_MS);
    await broker.stopGracefully();
    await eventually('the loss to be noticed', () => nodeInfo.waitingPartitions().length === 1);
    await broker.start();
    await sightings.ended(['one', 'long'], 60_000);
    const { at } = await sightings.seenOf('long', 'began');
    expect(at).toBeGreaterThan(dueAt - 300);
  });

  test('a producer makes the levels with the rights that are said to suffice, and uses them without the right to make any', async () => {
    const [partition, namespace] = [uniquePartition(), uniquePartition('n')];
    const { sightings } = await startWorker(partition, { connection: { uri: broker.uri }, namespace });
    const produce = async (user: string, id: string, ...rights: [string, string, string]): Promise<void> => {
      await broker.ctl('add_user', user, user);
      await broker.ctl('set_permissions', user, ...rights);
      const uri = broker.uri.replace(/\/\/[^@]*@/, `//${user}:${user}@`);
      const { jobs } = await startApp(
        { connection: { uri }, namespace, partitions: { [partition]: { default: 1 } }, mode: 'producer' },
        [Work, new Sightings().of('producer')],
      );
      await jobs.enqueue(Work, {}, { partition, delayMs: 1_000, id });
    };
    const names = `^${namespace}\\.roger\\.(jobs|delay\\..+)$`;
    await produce('maker', 'a', names, names, names);
    await produce('user', 'b', '^$', names, '^$');
    await sightings.ended(['a', 'b']);
  });

  test(`none of ${JOBS} delayed jobs is lost or early when it is killed`, async () => {
    const partition = uniquePartition();
    const { jobs, sightings, nodeInfo } = await startWorker(partition, { connection: { uri: broker.uri } });
    await jobs.enqueue(Work, {}, { partition, delayMs: 31_000, id: 'warm' });
    await sleep(QUEUE_REGISTERED_MS);
    const dueAt = new Map<string, number>();
    await Promise.all(
      Array.from({ length: JOBS }, async (_, index) => {
        const id = `job-${index}`;
        const delayMs = 1_000 + ((index * 7_919) % LONGEST_MS);
        dueAt.set(id, sharedClock() + delayMs);
        await jobs.enqueue(Work, {}, { partition, delayMs, id });
      }),
    );
    // Some have run, some are on their way from one level to the next.
    await sightings.seen('ended', 300);
    await broker.kill();
    await eventually('the loss to be noticed', () => nodeInfo.waitingPartitions().length === 1);
    await broker.start();
    await sightings.ended(dueAt.keys(), 90_000);
    const earliest = Math.min(
      ...sightings.all.flatMap(({ what, id, at }) => (what === 'began' ? [at - (dueAt.get(id) ?? at)] : [])),
    );
    expect(earliest).toBeGreaterThan(-1_000);
  });
});

describe('in memory', () => {
  test.each([
    ['a negative delay', { delayMs: -1 }],
    ['a delay that is no number', { delayMs: Number.NaN }],
    ['a delay of more than the levels hold', { delayMs: 2 ** 28 * 1_000 }],
    ['an invalid date', { runAt: new Date('never') }],
    ['a time beyond the levels', { runAt: Date.now() + 2 ** 29 * 1_000 }],
    ['both', { delayMs: 1_000, runAt: new Date() }],
  ])('%s is refused', async (_, options) => {
    const { jobs } = await startApp({ partitions: { acme: { default: 1 } } }, [
      Work,
      new Sightings().of('worker'),
    ]);
    await expect(jobs.enqueue(Work, {}, options)).rejects.toThrow(InvalidEnqueueOptionsError);
    expect(() => jobs.create(Work, {}, options)).toThrow(InvalidEnqueueOptionsError);
    const { failures } = await jobs.enqueueMany(Work, [{}], options);
    expect(failures.map(({ error }) => error)).toEqual([expect.any(InvalidEnqueueOptionsError)]);
    const job = { ...jobs.create(Work, {}), runAt: 'soon' as unknown as number };
    await expect(jobs.enqueue(job)).rejects.toThrow(InvalidEnqueueOptionsError);
  });

  test('delayed jobs, keyed and not, run when they are due, and cancelled ones do not', async () => {
    const sightings = new Sightings();
    const { jobs, globalState } = await startApp({ partitions: { acme: { default: 5 } } }, [
      Work,
      KeyedWork,
      sightings.of('worker'),
    ]);
    const begun = sharedClock();
    await jobs.enqueue(KeyedWork, { queueKey: 'u' }, { delayMs: 2_000, id: 'keyed' });
    await jobs.enqueue(KeyedWork, { queueKey: 'v' }, { delayMs: 1_000, id: 'cancelled' });
    await jobs.enqueueMany(Work, [{}], { runAt: Date.now() + 1_000 });
    expect(await globalState.cancelJob('acme', 'cancelled')).toMatchObject({ met: 'delayed' });
    await sightings.seen('ended', 2);
    const afterMs = sightings.inOrder().flatMap(({ what, at }) => (what === 'began' ? [at - begun] : []));
    expect(afterMs.map((ms) => Math.round(ms / 1_000))).toEqual([1, 2]);
    expect(sightings.ids('began')).not.toContain('cancelled');
  });
});
