// An exchange or a retry level is deleted under load: producers and workers mend it by themselves.
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { Load } from '../support/load';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

let broker: PrivateRabbitmq;
let operator: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  // Of its own: the jobs exchange is everybody's.
  broker = await startPrivateRabbitmq();
  operator = await connect(broker.uri);
  channel = await operator.createChannel();
});
afterAll(async () => {
  await operator.close();
  await broker.stop();
});

test('the jobs exchange deleted under load: nothing whose enqueue resolved is lost', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const worker = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 4 } } },
    [Work, sightings.of('node')],
  );
  await served(worker, partition);
  const producer = await startApp({ connection: { uri: broker.uri }, mode: 'producer' });
  const load = new Load(producer.jobs, { partition, atOnce: 10, args: { ms: 1 } });
  await load.more(200);
  await channel.deleteExchange('roger.jobs');
  await load.more(300);
  await load.stop();
  expect(load.refusals).toEqual([]);
  await sightings.ended(load.confirmed);
});

test('a retry level deleted between two retries is declared again, and the job comes back', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const worker = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 4 } } },
    [Work, sightings.of('node')],
  );
  await served(worker, partition);
  await worker.jobs.enqueue(Work, { failures: 1 }, { partition, id: 'first' });
  await sightings.ended(['first']);

  await channel.deleteQueue('roger.retry.1');
  await worker.jobs.enqueue(Work, { failures: 1 }, { partition, id: 'queue-gone' });
  await sightings.ended(['queue-gone']);

  await channel.deleteExchange('roger.retry.1');
  await worker.jobs.enqueue(Work, { failures: 1 }, { partition, id: 'exchange-gone' });
  await sightings.ended(['exchange-gone']);
});
