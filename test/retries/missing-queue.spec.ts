// Jobs to be retried whose queue is gone hold up nobody else's retries.
import { connect } from 'amqplib';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { sharedClock, Work } from '../support/work';

/** RabbitMQ has 32 dead-lettered messages of a queue under way at once, and tries what it can't route every three minutes. */
const JOBS = 100;

test('jobs whose queue is missing when they are to be retried wait for it, and hold up nobody', async () => {
  const partition = uniquePartition();
  const namespace = uniquePartition('n');
  const connection = { uri: sharedBrokerUri() };
  const sightings = new Sightings();
  const app = await startApp({ connection, namespace, partitions: { [partition]: { default: 4 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  await served(app, partition);
  // The level is made meanwhile.
  await app.jobs.enqueue(Work, { failures: 1 }, { partition, id: 'first' });
  await sightings.ended(['first']);

  const operator = await connect(connection.uri);
  const channel = await operator.createConfirmChannel();
  for (let job = 0; job < JOBS; job++) {
    channel.publish(`${namespace}.roger.retry.1`, `${namespace}.gone-default`, Buffer.from('{}'));
  }
  await channel.waitForConfirms();
  await eventually('the jobs to be homeless', async () => {
    return (await channel.checkQueue(`${namespace}.roger.delay.homeless`)).messageCount === JOBS;
  });
  await app.jobs.enqueue(Work, { failures: 1 }, { partition, id: 'other' });
  const failedAt = (await sightings.seenOf('other', 'failed')).at;
  await sightings.ended(['other']);
  expect(sharedClock() - failedAt).toBeLessThan(5_000);
  await operator.close();
});
