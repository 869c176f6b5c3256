// A job that runs longer than it may is told to end, counts as failed, and never blocks its worker.
import { JobTimeoutError } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Limited, Told } from '../support/stubborn';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

test.each([
  ['RabbitMQ', { connection }],
  ['memory', {}],
])('on %s, the limit aborts the signal, and the job is retried and then buried', async (_name, transport) => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp({ ...transport, partitions: { [partition]: { default: 1 } } }, [
    Limited,
    Told,
    sightings.of('node'),
  ]);
  await app.jobs.enqueue(Limited, { isHeld: true }, { partition, id: 'slow' });
  await sightings.seenOf('slow', 'aborted', 2);
  const [queue] = await Promise.all([
    eventually('it to be buried', () => app.partitions.queues(partition)[0]?.counts.buried === 1).then(
      () => app.partitions.queues(partition)[0],
    ),
  ]);
  expect(queue).toMatchObject({ counts: { retried: 1, buried: 1 }, leftBehind: 0 });
  const { errors } = app.app.get(Told);
  expect(errors.map(({ error, next }) => [error.constructor, next.kind])).toEqual([
    [JobTimeoutError, 'retry'],
    [JobTimeoutError, 'bury'],
  ]);
  expect(errors[0]?.error).toMatchObject({ code: 'ROGER_JOB_TIMEOUT', limitMs: 300 });
});

test('a handler that ignores its signal is left behind: its worker runs others, and its late result is refused', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp({ connection, abortGraceMs: 100, partitions: { [partition]: { default: 1 } } }, [
    Limited,
    Work,
    Told,
    sightings.of('node'),
  ]);
  const told = app.app.get(Told);
  const queue = () => app.partitions.queues(partition)[0];
  await app.jobs.enqueue(Limited, { isHeld: true, isStubborn: true }, { partition, id: 'stubborn' });
  await app.jobs.enqueue(Work, {}, { partition, id: 'next' });
  await sightings.ended(['next']);
  // Twice: its retry is left behind too.
  await eventually('both runs to be left behind', () => queue()?.leftBehind === 2);
  await eventually('it to be buried', () => queue()?.counts.buried === 1);
  expect(queue()).toMatchObject({ running: 0, counts: { done: 1, retried: 1, buried: 1 } });
  expect(told.errors.map(({ error }) => error)).toEqual([
    expect.any(JobTimeoutError),
    expect.any(JobTimeoutError),
  ]);

  sightings.release();
  await sightings.seenOf('stubborn', 'ended', 2);
  await eventually('nothing to be left behind', () => queue()?.leftBehind === 0);
  expect(told.done).toEqual(['next']);
  expect(queue()).toMatchObject({ counts: { done: 1, retried: 1, buried: 1 } });
  expect(app.log.messages('warn').filter((line) => line.includes('it is left behind'))).toHaveLength(2);
  expect(app.log.messages('warn').filter((line) => line.includes('has ended well after all'))).toHaveLength(
    2,
  );
});

test("the module's limit holds for jobs that say none of their own", async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp(
    {
      connection,
      maxExecutionTimeSeconds: 0.2,
      retryLevels: [1],
      partitions: { [partition]: { default: 1 } },
    },
    [Work, Told, sightings.of('node')],
  );
  await served(app, partition);
  await app.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'slow' });
  await sightings.seenOf('slow', 'aborted');
  await eventually('its callback', () => app.app.get(Told).errors.length === 1);
  expect(app.app.get(Told).errors[0]?.error).toMatchObject({ limitMs: 200 });
});
