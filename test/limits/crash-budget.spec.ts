// A job that takes its process with it again and again is buried, with a reason that an operator can see.
import { connect } from 'amqplib';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

test('after deliveryLimit it is among the buried, for delivery_limit, and others go on', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, deliveryLimit: 1 };
  const { jobs, info } = await startApp({ ...roger, mode: 'producer' });
  await jobs.enqueue(Work, { isHeld: true }, { partition, id: 'killer' });
  for (const node of ['child 1', 'child 2']) {
    const child = await ChildApp.start({ node, roger, sightings });
    await sightings.seen('began', 1, node);
    await child.kill('SIGKILL');
  }
  await startApp(roger, [Work, sightings.of('last')]);
  await jobs.enqueue(Work, {}, { partition, id: 'next' });
  await sightings.ended(['next']);
  expect(sightings.ids('began')).toEqual(['killer', 'killer', 'next']);
  await eventually('it to be among the buried', async () => {
    return (await info.queueDepth(partition, 'default'))?.buried === 1;
  });

  const broker = await connect(connection.uri);
  const channel = await broker.createChannel();
  const buried = await channel.get(`${partition}-default.buried`, { noAck: true });
  await broker.close();
  if (buried === false) throw new Error('nothing is buried');
  expect(buried.properties.messageId).toBe('killer');
  expect(buried.properties.headers).toMatchObject({
    'x-first-death-reason': 'delivery_limit',
    'x-death': [expect.objectContaining({ reason: 'delivery_limit', queue: `${partition}-default` })],
  });
});
