// A partition gets another list of queues while its jobs run: none is interrupted, lost or repeated.
import type { RogerModuleOptions } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
const transports: [string, RogerModuleOptions][] = [
  ['RabbitMQ', { connection }],
  ['memory', {}],
];

describe.each(transports)('over %s', (_name, options) => {
  test('maxWorkers goes up, down and to 0 under load, and every job runs once and to its end', async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp({ ...options, partitions: { [partition]: { default: 2 } } }, [
      Work,
      sightings.of('node'),
    ]);
    await served(app, partition);
    const ids = Array.from({ length: 1_500 }, (_, n) => `job-${n}`);
    const enqueued = app.jobs.enqueueMany(
      ids.map((id) => app.jobs.create(Work, { ms: 3 }, { partition, id })),
    );
    for (const [round, maxWorkers] of [8, 1, 0, 5, 0, 20, 2, 0, 10].entries()) {
      await sightings.seen('ended', 50 * (round + 1));
      expect(await app.partitions.reconfigure(partition, { default: maxWorkers })).toEqual({
        state: 'running',
      });
      const status = () => app.partitions.queues(partition)[0];
      await eventually('no more to run than may', () => (status()?.running ?? 0) <= maxWorkers);
      expect(status()).toMatchObject({ maxWorkers });
      if (maxWorkers > 0) continue;
      await eventually('no consumer to be left', () => status()?.consumers === 0 && status()?.atHand === 0);
      const before = sightings.ids('began').length;
      // The broker counts a cancelled consumer until its last job is settled.
      await eventually('the broker to know of none', async () => {
        return (await app.info.queueDepth(partition, 'default'))?.consumers === 0;
      });
      expect(sightings.ids('began')).toHaveLength(before);
      await app.partitions.reconfigure(partition, { default: 3 });
    }
    expect((await enqueued).enqueued).toBe(ids.length);
    await sightings.ended(ids);
    expect(sightings.repeated('began')).toEqual([]);
    expect(sightings.ids('aborted')).toEqual([]);
  });

  test('going down lets the surplus end, and begins nothing until there is room', async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp({ ...options, partitions: { [partition]: { default: 3 } } }, [
      Work,
      sightings.of('node'),
    ]);
    for (const id of ['a', 'b', 'c']) await app.jobs.enqueue(Work, { isHeld: true }, { partition, id });
    await sightings.seen('began', 3);
    expect(await app.partitions.start(partition, { default: 1 })).toEqual({ state: 'running' });
    const later = ['d', 'e', 'f'];
    for (const id of later) await app.jobs.enqueue(Work, { ms: 5 }, { partition, id });
    expect(app.partitions.queues(partition)).toMatchObject([{ maxWorkers: 1, running: 3 }]);
    expect(sightings.ids('began')).toHaveLength(3);
    sightings.release();
    await sightings.ended(['a', 'b', 'c', ...later]);
    expect(sightings.ids('aborted')).toEqual([]);
    const beganLater = sightings.inOrder().filter(({ id }) => later.includes(id));
    expect(beganLater.map(({ what }) => what)).toEqual([
      'began',
      'ended',
      'began',
      'ended',
      'began',
      'ended',
    ]);
  });

  test('a queue that is left out ends what runs and takes no more here, until it is back', async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp({ ...options, partitions: { [partition]: { default: 1, mail: 1 } } }, [
      Work,
      sightings.of('node'),
    ]);
    await app.jobs.enqueue(Work, { isHeld: true }, { partition, queue: 'mail', id: 'held' });
    await sightings.seen('began', 1);
    await app.partitions.reconfigure(partition, { default: 1 });
    expect(app.partitions.queues(partition).map(({ queue }) => queue)).toEqual(['default']);
    expect(app.nodeInfo.runningJobs().map(({ job }) => job.id)).toEqual(['held']);
    await app.jobs.enqueue(Work, {}, { partition, queue: 'mail', id: 'waits' });
    await app.jobs.enqueue(Work, {}, { partition, id: 'runs' });
    await sightings.ended(['runs']);
    expect(sightings.ids('began')).toEqual(['held', 'runs']);

    // With one worker it must not begin beside the one that runs still.
    await app.partitions.reconfigure(partition, { default: 1, mail: 1 });
    await app.jobs.enqueue(Work, {}, { partition, id: 'runs-too' });
    await sightings.ended(['runs-too']);
    expect(sightings.ids('began')).not.toContain('waits');
    sightings.release();
    await sightings.ended(['held', 'waits']);
    expect(sightings.ids('aborted')).toEqual([]);
  });
});

test('a queue that is left out on one node is served by the others', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const queues = { default: 1, mail: 1 };
  const one = await startApp({ connection, partitions: { [partition]: queues } }, [
    Work,
    sightings.of('one'),
  ]);
  const other = await startApp({ connection, partitions: { [partition]: queues } }, [
    Work,
    sightings.of('other'),
  ]);
  await served(one, partition);
  await served(other, partition);
  await one.partitions.reconfigure(partition, { default: 1 });
  const consumers = async () => (await other.info.queueDepth(partition, 'mail'))?.consumers;
  await eventually('one consumer to be left', async () => (await consumers()) === 1);
  const ids = Array.from({ length: 30 }, (_, n) => `job-${n}`);
  await Promise.all(ids.map((id) => one.jobs.enqueue(Work, {}, { partition, queue: 'mail', id })));
  await sightings.ended(ids);
  expect(sightings.ids('ended', 'one')).toEqual([]);
});
