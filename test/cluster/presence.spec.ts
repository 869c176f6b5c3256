// Who is there is known: at once when a node comes or goes, within 6 s when it is killed.
import type { ClusterChange } from 'nestjs-roger';
import { ClusterService } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { NODE_NAME, NodeCommands } from '../support/node-commands';
import { Sightings } from '../support/sightings';
import { Signals } from '../support/signal';
import { TcpProxy } from '../support/tcp-proxy';
import { within } from '../support/within';

const connection = { uri: sharedBrokerUri() };
/** What is told at once comes within the way of a message; the rest is the machine's. */
const AT_ONCE_MS = 1_000;

const together = testsAtOnce(3);

const partitions = { acme: { default: 1 } };

function startChild(namespace: string, node: string): Promise<ChildApp> {
  const roger = { connection, namespace, partitions, nodeName: node };
  return ChildApp.start({ node, roger, sightings: new Sightings(), answersCommands: true });
}

async function startHere(namespace: string): Promise<{ cluster: ClusterService; commands: NodeCommands }> {
  const { app } = await startApp({ connection, namespace, partitions, nodeName: 'here' }, [
    NodeCommands,
    { provide: NODE_NAME, useValue: 'here' },
  ]);
  return { cluster: app.get(ClusterService), commands: app.get(NodeCommands) };
}

const names = (cluster: ClusterService): string[] =>
  cluster
    .nodes()
    .map(({ name }) => name)
    .sort();

function idOf(cluster: ClusterService, wanted: string): string {
  const node = cluster.nodes().find(({ name }) => name === wanted);
  if (node === undefined) throw new Error(`${wanted} is not there`);
  return node.id;
}

together('a node that starts and one that closes are seen at once', async () => {
  const namespace = uniquePartition();
  const { cluster } = await startHere(namespace);
  await eventually('this node to be there', () => cluster.nodes().length === 1);
  const changes = new Signals<ClusterChange & { at: number }>();
  const stop = cluster.onChange((change) => {
    changes.add({ ...change, at: performance.now() });
  });
  const child = await startChild(namespace, 'child');
  const started = performance.now();
  await within('the child to be seen', changes.count(1));
  expect(performance.now() - started).toBeLessThan(AT_ONCE_MS);
  expect(cluster.nodes()).toEqual([
    expect.objectContaining({
      id: cluster.nodeId,
      name: 'here',
      isSelf: true,
      isActive: true,
      role: 'worker',
    }),
    expect.objectContaining({ name: 'child', isSelf: false, isActive: true, role: 'worker' }),
  ]);
  expect(Math.abs((cluster.nodes()[1]?.since ?? 0) - Date.now())).toBeLessThan(60_000);

  await child.close();
  const closed = performance.now();
  const [, inactive, left] = await within('the child to be gone', changes.count(3));
  expect(performance.now() - closed).toBeLessThan(AT_ONCE_MS);
  expect(inactive).toMatchObject({ kind: 'changed', node: { name: 'child', isActive: false } });
  expect(left).toMatchObject({ kind: 'left', node: { name: 'child' } });
  expect(names(cluster)).toEqual(['here']);
  stop();
});

together('a killed node is gone within 6 s, without anybody asking for it', async () => {
  const namespace = uniquePartition();
  const { cluster } = await startHere(namespace);
  const child = await startChild(namespace, 'child');
  await eventually('both to be there', () => names(cluster).length === 2);
  await child.kill('SIGKILL');
  const killed = performance.now();
  await eventually('the child to be gone', () => names(cluster).length === 1);
  expect(performance.now() - killed).toBeLessThan(6_000);
});

together('a call does not wait for a node that dies meanwhile, and names it', async () => {
  const namespace = uniquePartition();
  const { cluster, commands } = await startHere(namespace);
  const child = await startChild(namespace, 'child');
  await eventually('both to be there', () => names(cluster).length === 2);
  const id = idOf(cluster, 'child');
  commands.gate.open();
  const call = cluster.call('hold', undefined, { timeoutMs: 60_000 });
  await eventually('this node to have it', () => commands.held === 1);
  await child.kill('SIGKILL');
  const killed = performance.now();
  const { replies, missing } = await within('the call', call);
  expect(performance.now() - killed).toBeLessThan(AT_ONCE_MS + 1_000);
  expect(missing).toEqual([id]);
  expect(replies).toHaveLength(1);
  // So it is known to be gone.
  expect(names(cluster)).toEqual(['here']);
});

together(
  'a frozen node is missing at the time limit, answers again when it goes on, and is gone when it does not',
  async () => {
    const namespace = uniquePartition();
    const { cluster } = await startHere(namespace);
    const child = await startChild(namespace, 'child');
    await eventually('both to be there', () => names(cluster).length === 2);
    const id = idOf(cluster, 'child');
    child.signal('SIGSTOP');
    const { missing } = await cluster.call('echo', 1, { timeoutMs: 800 });
    expect(missing).toEqual([id]);
    child.signal('SIGCONT');
    expect((await cluster.call('echo', 2, { timeoutMs: 10_000 })).replies).toHaveLength(2);
    child.signal('SIGSTOP');
    await eventually('the frozen one to be gone', () => names(cluster).length === 1, 20_000);
    child.signal('SIGCONT');
    await eventually('it to be back', () => names(cluster).length === 2, 30_000);
  },
);

together(
  'a lost connection costs nobody; who has gone meanwhile is missed as soon as it is back',
  async () => {
    const namespace = uniquePartition();
    const proxy = await TcpProxy.before(connection.uri);
    const { app } = await startApp({
      connection: { uri: proxy.uri },
      namespace,
      partitions,
      nodeName: 'here',
    });
    const cluster = app.get(ClusterService);
    const stays = await startChild(namespace, 'stays');
    const goes = await startChild(namespace, 'goes');
    await eventually('all to be there', () => names(cluster).length === 3);
    const told: string[] = [];
    cluster.onChange(({ kind, node }) => told.push(`${node.name} ${kind}`));
    expect(cluster.isConnected()).toBe(true);
    await proxy.refuse();
    await eventually('the loss to be noticed', () => !cluster.isConnected());
    await goes.kill('SIGKILL');
    await expect(cluster.call('echo', 1, { timeoutMs: 300 })).rejects.toThrow(/connect|closed/i);
    await expect(cluster.cast('echo')).rejects.toThrow(/connect|closed/i);
    expect(names(cluster)).toEqual(['goes', 'here', 'stays']);
    await proxy.admit();
    await eventually('the connection', () => cluster.isConnected());
    await eventually('the dead one to be missed', () => names(cluster).length === 2);
    expect(told).toEqual(['goes left']);
    await stays.close();
    await proxy.close();
  },
);

together(
  'a producer that never asks is there for nobody, and one that asks is there from then on',
  async () => {
    const namespace = uniquePartition();
    const { cluster } = await startHere(namespace);
    await eventually('this node to be there', () => cluster.nodes().length === 1);
    const { app } = await startApp({ connection, namespace, mode: 'producer', nodeName: 'shop' });
    const shop = app.get(ClusterService);
    expect(shop.isActive()).toBe(true);
    await eventually('the producer to be connected', () => shop.isConnected());
    expect((await cluster.call('echo', 1, { timeoutMs: 10_000 })).replies).toHaveLength(1);
    expect(names(cluster)).toEqual(['here']);
    shop.nodes();
    await eventually('the producer to know the other', () => names(shop).length === 2);
    expect(cluster.nodes().find(({ name }) => name === 'shop')).toMatchObject({ role: 'producer' });
  },
);

test('a listener that throws is logged and harms nobody', async () => {
  const namespace = uniquePartition();
  const { app, log } = await startApp({ connection, namespace, partitions });
  const cluster = app.get(ClusterService);
  cluster.onChange(() => {
    throw new Error('no\nway');
  });
  await startHere(namespace);
  await eventually('the line', () => log.messages('error').length > 0);
  expect(log.messages('error')).toContain('A listener of ClusterService threw: no\\u000away');
  await eventually('all to be there', () => cluster.nodes().length === 2);
});
