// A node that is told so takes no more jobs, lets the running ones end, and shows it to the others.
import { ClusterService, MemoryBroker, RogerHealth } from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import { connect } from 'amqplib';
import { eventually, served, startApp } from '../support/app';
import type { TestApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
const surroundings: readonly [string, () => RogerModuleOptions][] = [
  ['RabbitMQ', () => ({ connection, namespace: uniquePartition() })],
  ['memory', () => ({ memory: new MemoryBroker() })],
];

describe.each(surroundings)('on %s', (_name, surround) => {
  const partition = 'acme';
  let options: RogerModuleOptions;
  let sightings: Sightings;

  beforeEach(() => {
    options = { ...surround(), partitions: { [partition]: { default: 1 } } };
    sightings = new Sightings();
  });

  const start = (node: string): Promise<TestApp> => startApp(options, [Work, sightings.of(node)]);

  test('set inactive, a node lets its running job end, gives back the rest, and goes on when it is active again', async () => {
    const one = await start('one');
    const cluster = one.app.get(ClusterService);
    await served(one, partition);
    await one.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'running' });
    await sightings.seen('began', 1);
    for (const id of ['a', 'b', 'c']) await one.jobs.enqueue(Work, {}, { partition, id });
    await cluster.unsubscribeAll();
    expect(cluster.isActive()).toBe(false);
    // A consumer that has a job counts until that is over.
    const depth = await one.info.queueDepth(partition, 'default');
    expect(depth).toMatchObject({ consumers: 1, ready: 3 });
    expect(one.partitions.queues(partition)).toMatchObject([{ running: 1, atHand: 0, paused: false }]);
    expect(await one.app.get(RogerHealth).check()).toMatchObject({
      isLive: true,
      isReady: false,
      state: 'inactive',
    });
    sightings.release();
    await sightings.ended(['running']);
    await eventually('no consumer to be left', async () => {
      return (await one.info.queueDepth(partition, 'default'))?.consumers === 0;
    });

    const two = await start('two');
    await sightings.ended(['a', 'b', 'c']);
    expect(sightings.ids('began', 'one')).toEqual(['running']);
    await two.close();

    await one.jobs.enqueue(Work, {}, { partition, id: 'd' });
    cluster.setActive();
    expect(cluster.isActive()).toBe(true);
    await sightings.ended(['d']);
    expect(sightings.ids('began', 'one')).toEqual(['running', 'd']);
    expect(await one.app.get(RogerHealth).check()).toMatchObject({ isReady: true, state: 'running' });
  });

  test('the others see it', async () => {
    const one = (await start('one')).app.get(ClusterService);
    const two = (await start('two')).app.get(ClusterService);
    const seen = (): boolean | undefined => two.nodes().find(({ id }) => id === one.nodeId)?.isActive;
    await eventually('one to be seen', () => seen() === true);
    one.setInactive();
    one.setInactive();
    await eventually('one to be inactive', () => seen() === false);
    one.setActive();
    await eventually('one to be active', () => seen() === true);
  });

  test('set inactive before the start, it begins nothing, and a pause does not matter', async () => {
    const one = await start('one');
    await served(one, partition);
    await one.globalState.pauseQueue(partition, 'default');
    const cluster = one.app.get(ClusterService);
    cluster.setInactive();
    await one.jobs.enqueue(Work, {}, { partition, id: 'a' });
    await one.globalState.resumeQueue(partition, 'default');
    cluster.setActive();
    await sightings.ended(['a']);
  });
});

test('a broker that does not answer is waited for, not for ever', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } });
  await served(app, partition);
  const model = await connect(connection.uri);
  const channel = await model.createChannel();
  await channel.deleteQueue(`${partition}-default`);
  await app.app.get(ClusterService).unsubscribeAll();
  expect(app.app.get(ClusterService).isActive()).toBe(false);
  await model.close();
});
