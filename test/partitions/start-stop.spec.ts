// Partitions come and go at run time, on their own, in the order in which it was asked for.
import {
  CannotServeError,
  InvalidArgumentError,
  InvalidOptionsError,
  UnknownPartitionError,
} from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const transports: [string, RogerModuleOptions][] = [
  ['RabbitMQ', { connection: { uri: sharedBrokerUri() } }],
  ['memory', {}],
];

describe.each(transports)('over %s', (_name, options) => {
  test('a partition that starts at run time is running when its queues get their jobs, and is gone when stopped', async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp(options, [Work, sightings.of('node')]);
    expect(app.partitions.ids).toEqual([]);
    expect(() => app.partitions.state(partition)).toThrow(UnknownPartitionError);

    expect(await app.partitions.start(partition, { default: 2, mail: { maxWorkers: 1 } })).toEqual({
      state: 'running',
    });
    expect(app.partitions.state(partition)).toEqual({ state: 'running' });
    await eventually('the broker to know of its consumers', () =>
      app.partitions.queues(partition).every(({ consumers }) => consumers === 1),
    );
    expect(app.partitions.queues(partition)).toMatchObject([
      { queue: 'default', maxWorkers: 2, consumers: 1, paused: false, waitingFor: undefined },
      { queue: 'mail', maxWorkers: 1, consumers: 1, paused: false, waitingFor: undefined },
    ]);
    // The only one there is, so nobody has to name it.
    await app.jobs.enqueue(Work, {}, { id: 'first' });
    await sightings.ended(['first']);

    await app.partitions.stop(partition);
    expect(app.partitions.ids).toEqual([]);
    expect(app.nodeInfo.partitions()).toEqual([]);
    await app.jobs.enqueue(Work, {}, { partition, id: 'second' });
    expect(await app.partitions.start(partition, { default: 1 })).toEqual({ state: 'running' });
    await sightings.ended(['second']);
    expect(sightings.ids('began')).toEqual(['first', 'second']);
  });

  test('calls for one partition take effect in their order, however they hasten', async () => {
    const partition = uniquePartition();
    const app = await startApp(options, [Work, new Sightings().of('node')]);
    const { partitions } = app;
    const calls = [
      partitions.start(partition, { default: 1 }),
      partitions.stop(partition),
      partitions.start(partition, { default: 2 }),
      partitions.reconfigure(partition, { default: 3 }),
      partitions.stop(partition),
      partitions.stop(partition),
      partitions.start(partition, { default: 4, mail: 1 }),
    ];
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 5 }, () => 'fulfilled'),
      'rejected',
      'fulfilled',
    ]);
    expect(outcomes[5]).toMatchObject({ reason: expect.any(UnknownPartitionError) as unknown });
    expect(await calls.at(-1)).toEqual({ state: 'running' });
    expect(partitions.queues(partition)).toMatchObject([
      { queue: 'default', maxWorkers: 4 },
      { queue: 'mail', maxWorkers: 1 },
    ]);
  });
});

const memory: RogerModuleOptions = {};

test('what can not be a partition, or its queues, is refused at once and by name', async () => {
  const { partitions } = await startApp(memory);
  await expect(partitions.start('no spaces', { default: 1 })).rejects.toThrow(InvalidArgumentError);
  await expect(partitions.start('__proto__', { default: 1 })).rejects.toThrow(/__proto__.*reserved/);
  await expect(partitions.start('acme', {})).rejects.toThrow(InvalidOptionsError);
  await expect(partitions.start('acme', { 'no-dash': 1, mail: 1.5 })).rejects.toThrow(
    /acme.*no-dash.*mail.*1\.5/,
  );
  await expect(partitions.start('acme', { mail: { maxWorker: 1 } as never })).rejects.toThrow(/maxWorkers/);
  await expect(partitions.reconfigure('acme', { default: 1 })).rejects.toThrow(UnknownPartitionError);
  await expect(partitions.stop('acme')).rejects.toThrow(UnknownPartitionError);
  await expect(partitions.safeStop('acme')).rejects.toThrow(UnknownPartitionError);
  expect(partitions.ids).toEqual([]);
});

test('a producer, and an app that shuts down, serve no partitions and say so', async () => {
  const producer = await startApp({ mode: 'producer' });
  await expect(producer.partitions.start('acme', { default: 1 })).rejects.toThrow(CannotServeError);
  const worker = await startApp(memory);
  await worker.close();
  await expect(worker.partitions.start('acme', { default: 1 })).rejects.toThrow(/shutting down/);
});
