// A partition that can't start waits with its reason, is tried on, and holds up no other.
import { randomBytes } from 'node:crypto';
import { connect } from 'amqplib';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { BrokerRefusedError, NotConnectedError, TopologyMismatchError } from 'nestjs-roger';
import type { PartitionState } from 'nestjs-roger';
import { served, startApp } from '../support/app';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

function reasonOf(state: PartitionState): Error | undefined {
  return state.state === 'waiting' ? state.reason : undefined;
}

test('while the broker is away: the start tells so soon, and the partition is served when it is there', async () => {
  const nowhere = await startApp({ connection: { uri: NO_BROKER_URI } });
  const begunAt = performance.now();
  const state = await nowhere.partitions.start('acme', { default: 1 });
  expect(performance.now() - begunAt).toBeLessThan(7_500);
  expect(reasonOf(state)).toBeInstanceOf(NotConnectedError);
  expect(reasonOf(state)?.cause).toMatchObject({ code: 'ECONNREFUSED' });

  const partition = uniquePartition();
  const sightings = new Sightings();
  const proxy = await TcpProxy.before(sharedBrokerUri());
  await proxy.refuse();
  const app = await startApp({ connection: { uri: proxy.uri } }, [Work, sightings.of('node')]);
  expect((await app.partitions.start(partition, { default: 1 })).state).toBe('waiting');
  await proxy.admit();
  await served(app, partition);
  await app.jobs.enqueue(Work, {}, { partition, id: 'served' });
  await sightings.ended(['served']);
  await app.close();
  await proxy.close();
});

test('a queue with other arguments: only its partition waits, and runs when that is mended and reconfigured', async () => {
  const [odd, fine] = [uniquePartition('odd'), uniquePartition('fine')];
  const operator = await connect(sharedBrokerUri());
  const channel = await operator.createChannel();
  await channel.assertQueue(`${odd}-odd`, { durable: true, arguments: { 'x-queue-type': 'classic' } });
  const sightings = new Sightings();
  const app = await startApp({ connection }, [Work, sightings.of('node')]);
  const states = await Promise.all([
    app.partitions.start(odd, { default: 1, odd: 1 }),
    app.partitions.start(fine, { default: 1 }),
  ]);
  expect(reasonOf(states[0])).toBeInstanceOf(TopologyMismatchError);
  expect(app.partitions.state(odd)).toMatchObject({
    state: 'waiting',
    reason: { object: `queue ${odd}-odd` },
  });
  expect(states[1]).toEqual({ state: 'running' });
  expect(app.nodeInfo.waitingPartitions().map(({ partition }) => partition)).toEqual([odd]);

  // Its other queue gets its jobs all the same.
  for (const partition of [odd, fine]) await app.jobs.enqueue(Work, {}, { partition, id: partition });
  await sightings.ended([odd, fine]);
  expect(await app.partitions.reconfigure(odd, { default: 1 })).toEqual({ state: 'running' });
  await channel.deleteQueue(`${odd}-odd`);
  expect(await app.partitions.start(odd, { default: 1, odd: 1 })).toEqual({ state: 'running' });
  await operator.close();
});

describe('without rights', () => {
  let broker: PrivateRabbitmq;
  beforeAll(async () => {
    broker = await startPrivateRabbitmq();
  });
  afterAll(() => broker.stop());

  test('on one tenant: only that one waits, and runs when it has them', async () => {
    const user = `app-${randomBytes(4).toString('hex')}`;
    await broker.ctl('add_user', user, 'word');
    await broker.ctl('set_permissions', user, '^(?!closed)', '.*', '.*');
    const uri = broker.uri.replace('guest:guest', `${user}:word`);
    const app = await startApp({ connection: { uri } });
    const [closed, open] = await Promise.all([
      app.partitions.start('closed', { default: 1 }),
      app.partitions.start('open', { default: 1 }),
    ]);
    expect(reasonOf(closed)).toBeInstanceOf(BrokerRefusedError);
    expect(reasonOf(closed)?.message).toMatch(/closed-default/);
    expect(open).toEqual({ state: 'running' });
    await broker.ctl('set_permissions', user, '.*', '.*', '.*');
    await served(app, 'closed');
    expect(app.log.messages('warn').filter((line) => line.includes('closed'))).toHaveLength(1);
    await app.close();
    // An operator's command takes seconds on a busy machine.
  });
});

test('many partitions that can not start hold up none that can', async () => {
  const operator = await connect(sharedBrokerUri());
  const channel = await operator.createChannel();
  const odd = Array.from({ length: 40 }, () => uniquePartition('odd'));
  for (const id of odd) await channel.assertQueue(`${id}-default`, { durable: true });
  const app = await startApp({ connection });
  const states = odd.map((id) => app.partitions.start(id, { default: 1 }));
  for (const state of states) expect((await state).state).toBe('waiting');
  expect(await app.partitions.start(uniquePartition('fine'), { default: 1 })).toEqual({ state: 'running' });
  await app.close();
  for (const id of odd) {
    await channel.deleteQueue(`${id}-default`);
    await channel.deleteQueue(`${id}-default.buried`);
  }
  await operator.close();
});
