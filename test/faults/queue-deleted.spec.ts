// Queues and exchanges may be deleted under an app's feet: it declares them again and goes on by itself.
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { QueueNotFoundError, RogerJob } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Load } from '../support/load';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
/**
 * When somebody declares a deleted queue anew before its consumers are told, RabbitMQ 3.10 lets them live on without
 * giving them jobs. Roger notices by looking every ten seconds.
 */
const LIMBO_MS = 50_000;

/** Its retry comes late enough for what the test does meanwhile. */
@RogerJob({ name: 'patient-work', retryable: { levels: [5] } })
class PatientWork extends Work {}

let operator: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  operator = await connect(sharedBrokerUri());
  channel = await operator.createChannel();
});
afterAll(() => operator.close());

/** What an operator reads about a queue. */
function linesOfQueue({ log }: TestApp, queue: string): string[] {
  return log.messages('log', 'warn', 'error').filter((line) => line.startsWith(`Queue ${queue} `));
}

test('a queue that is deleted under load is served again, and what is enqueued after it runs', async () => {
  const partition = uniquePartition();
  const queue = `${partition}-default`;
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions: { [partition]: { default: 3 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  await served(app, partition);
  const load = new Load(app.jobs, { partition, atOnce: 20, args: { ms: 5 } });
  await load.more(100);

  await channel.deleteQueue(queue);
  const confirmedBefore = load.confirmed.length;
  await load.more(200);
  await load.stop();
  // Those that were enqueued while it was being deleted may have gone with it: at most as many as were under way.
  await sightings.ended(load.confirmed.slice(confirmedBefore + 40), LIMBO_MS);

  expect(load.refusals).toEqual([]);
  expect(sightings.peak('worker')).toBe(3);
  await eventually('the lane to be idle', () => app.partitions.queues(partition)[0]?.running === 0);
  expect(linesOfQueue(app, queue)).toEqual([
    expect.stringMatching(/is not served for now/),
    `Queue ${queue} is served again`,
  ]);
  expect(app.log.messages('error')).toEqual([]);
});

test('jobs that run while their queue is deleted end, once, and free their workers', async () => {
  const partition = uniquePartition();
  const queue = `${partition}-default`;
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions: { [partition]: { default: 2 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  const running = ['long-1', 'long-2'];
  for (const id of running) await app.jobs.enqueue(Work, { ms: 500 }, { partition, id });
  await sightings.seen('began', 2);
  await channel.deleteQueue(queue);
  await eventually('the queue to be served again', () => linesOfQueue(app, queue).length === 2);
  const after = ['after-1', 'after-2', 'after-3'];
  for (const id of after) await app.jobs.enqueue(Work, {}, { partition, id });
  await sightings.ended([...running, ...after]);
  expect(sightings.repeated('began')).toEqual([]);
  expect(sightings.ids('aborted')).toEqual([]);
  expect(sightings.peak('worker')).toBe(2);
  expect(linesOfQueue(app, queue)).toEqual([
    expect.stringMatching(/is not served for now: the broker cancelled the consumer/),
    `Queue ${queue} is served again`,
  ]);
});

test('a job that runs while its queue is deleted is retried in the new one', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  await app.jobs.enqueue(Work, { ms: 300, failures: 1 }, { partition, id: 'flaky' });
  await sightings.seen('began', 1);
  await channel.deleteQueue(`${partition}-default`);
  await sightings.ended(['flaky']);
  expect(sightings.all.filter(({ what }) => what === 'began').map(({ attempt }) => attempt)).toEqual([1, 2]);
});

test('a retry level that is deleted is declared again for the next job that needs it', async () => {
  const partition = uniquePartition();
  const namespace = uniquePartition('ns');
  const sightings = new Sightings();
  const app = await startApp({ connection, namespace, partitions: { [partition]: { default: 1 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  const enqueue = (id: string) => app.jobs.enqueue(Work, { failures: 1 }, { partition, id });
  await enqueue('before');
  await sightings.ended(['before']);
  await channel.deleteQueue(`${namespace}.roger.retry.1`);
  await enqueue('without-queue');
  await sightings.ended(['without-queue']);
  await channel.deleteExchange(`${namespace}.roger.retry.1`);
  await enqueue('without-exchange');
  await sightings.ended(['without-exchange']);
});

test('a buried queue that is deleted is declared again for the next job that is buried', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } }, []);
  await served(app, partition);
  await channel.deleteQueue(`${partition}-default.buried`);
  channel.sendToQueue(`${partition}-default`, Buffer.from('no job'));
  await eventually('the message to be buried', async () => {
    const depth = await app.info.queueDepth(partition, 'default');
    return depth?.buried === 1;
  });
});

test('an app that has the queue among its partitions declares it again when it enqueues, without any worker', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 1 } };
  const producer = await startApp({ connection, mode: 'producer', partitions });
  await producer.jobs.enqueue(Work, {}, { partition, id: 'first' });
  await channel.deleteQueue(`${partition}-default`);
  await producer.jobs.enqueue(Work, {}, { partition, id: 'second' });
  const sightings = new Sightings();
  await startApp({ connection, partitions }, [Work, sightings.of('worker')]);
  await sightings.ended(['second']);
});

test('an app that only knows the name of the queue is told that it is gone', async () => {
  const partition = uniquePartition();
  const producer = await startApp({ connection, mode: 'producer' });
  await expect(producer.jobs.enqueue(Work, {}, { partition })).rejects.toThrow(QueueNotFoundError);
});

describe('the jobs exchange, deleted', () => {
  test('is declared again by a producer, which finds the queues of others again too', async () => {
    const partition = uniquePartition();
    const namespace = uniquePartition('ns');
    const sightings = new Sightings();
    const worker = await startApp({ connection, namespace, partitions: { [partition]: { default: 2 } } }, [
      Work,
      sightings.of('worker'),
    ]);
    await served(worker, partition);
    const producer = await startApp({ connection, namespace, mode: 'producer' });
    const load = new Load(producer.jobs, { partition, atOnce: 20 });
    await load.more(100);

    await channel.deleteExchange(`${namespace}.roger.jobs`);
    await load.more(100);
    await load.stop();
    await sightings.ended(load.confirmed);
    expect(load.refusals).toEqual([]);
    // One line of the producer; the worker noticed nothing.
    expect(producer.log.messages('warn', 'error')).toEqual([
      expect.stringMatching(/Publishing: interrupted.*no exchange/),
    ]);
  });

  test('holds up no job that waits for its retry', async () => {
    const partition = uniquePartition();
    const namespace = uniquePartition('ns');
    const sightings = new Sightings();
    const app = await startApp({ connection, namespace, partitions: { [partition]: { default: 1 } } }, [
      Work,
      PatientWork,
      sightings.of('worker'),
    ]);
    await app.jobs.enqueue(PatientWork, { failures: 1 }, { partition, id: 'flaky' });
    await sightings.seen('failed', 1);
    await channel.deleteExchange(`${namespace}.roger.jobs`);
    await app.jobs.enqueue(Work, {}, { partition, id: 'other' });
    await sightings.ended(['flaky', 'other']);
  });
});
