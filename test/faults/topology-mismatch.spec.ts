// A queue that exists with other arguments keeps only its own partition waiting, with a reason that says what to do.
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { TopologyMismatchError } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
let operator: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  operator = await connect(sharedBrokerUri());
  channel = await operator.createChannel();
});
afterAll(() => operator.close());

test('a queue with other arguments keeps its partition waiting with the reason, the others run, and it heals when the queue is deleted', async () => {
  const [odd, fine] = [uniquePartition('odd'), uniquePartition('fine')];
  const queue = `${odd}-default`;
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'classic' } });
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions: { [odd]: { default: 2 }, [fine]: { default: 2 } } }, [
    Work,
    sightings.of('worker'),
  ]);
  await app.jobs.enqueue(Work, {}, { partition: fine, id: 'fine' });
  await sightings.ended(['fine']);

  const reason = (): Error | undefined => app.partitions.queues(odd)[0]?.waitingFor;
  await eventually('the reason to be known', () => reason() instanceof TopologyMismatchError);
  expect(reason()).toMatchObject({
    object: `queue ${queue}`,
    detail: expect.stringContaining('x-dead-letter-exchange') as unknown,
    message: expect.stringMatching(/delete it/) as unknown,
  });
  expect(app.nodeInfo.waitingPartitions().map(({ partition }) => partition)).toEqual([odd]);
  expect(app.nodeInfo.runningPartitions().map(({ partition }) => partition)).toEqual([fine]);

  await channel.deleteQueue(queue);
  await served(app, odd);
  await app.jobs.enqueue(Work, {}, { partition: odd, id: 'odd' });
  await sightings.ended(['odd']);
  const lines = app.log.messages('log', 'warn', 'error').filter((line) => line.includes(queue));
  expect(lines).toEqual([
    expect.stringMatching(/^Queue .* is not served for now: .*x-dead-letter-exchange/),
    `Queue ${queue} is served again`,
  ]);
});

test('a buried queue of another size is named, with the argument', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 1 } };
  await served(await startApp({ connection, partitions, maxBuriedQueueSize: 10 }), partition);
  const app = await startApp({ connection, partitions, maxBuriedQueueSize: 20 });
  const reason = (): Error | undefined => app.partitions.queues(partition)[0]?.waitingFor;
  await eventually('the reason to be known', () => reason() instanceof TopologyMismatchError);
  expect(reason()).toMatchObject({ object: `queue ${partition}-default.buried` });
  expect(reason()?.message).toMatch(/x-max-length.*20.*10/s);
});
