// A command reaches every node once, and what comes of it there is told: on RabbitMQ and in memory.
import type { RogerModuleOptions } from 'nestjs-roger';
import {
  ClusterService,
  CommandFailedError,
  CommandRefusedError,
  InvalidArgumentError,
  MemoryBroker,
  UnknownCommandError,
} from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { NODE_NAME, NodeCommands } from '../support/node-commands';

interface Node {
  readonly cluster: ClusterService;
  readonly commands: NodeCommands;
  readonly id: string;
}

const surroundings: readonly [string, () => RogerModuleOptions][] = [
  ['RabbitMQ', () => ({ connection: { uri: sharedBrokerUri() }, namespace: uniquePartition() })],
  ['memory', () => ({ memory: new MemoryBroker() })],
];

const soon = { timeoutMs: 10_000 };

describe.each(surroundings)('on %s', (_name, surround) => {
  let options: RogerModuleOptions;

  beforeEach(() => {
    options = surround();
  });

  async function start(name: string, more: RogerModuleOptions = {}): Promise<Node> {
    const node = await startApp({ ...options, nodeName: name, ...more }, [
      NodeCommands,
      { provide: NODE_NAME, useValue: name },
    ]);
    const cluster = node.app.get(ClusterService);
    return { cluster, commands: node.app.get(NodeCommands), id: cluster.nodeId };
  }

  async function startAll<Names extends readonly string[]>(
    ...names: Names
  ): Promise<{ [Index in keyof Names]: Node }> {
    const nodes = await Promise.all(names.map((name) => start(name)));
    for (const { cluster } of nodes) {
      await eventually('all to know all', () => cluster.nodes().length === names.length);
    }
    return nodes as { [Index in keyof Names]: Node };
  }

  const byNode = (one: { node: string }, other: { node: string }): number => (one.node < other.node ? -1 : 1);

  test('every node carries it out once, the caller too, workers and producers', async () => {
    const [one, two] = await startAll('one', 'two');
    const three = await start('three', { mode: 'producer' });
    const payload = { text: 'Größe', list: [1, null, { deep: true }] };
    const { replies, failures, missing } = await three.cluster.call('echo', payload, soon);
    const expected = [
      { node: one.id, value: { node: 'one', payload } },
      { node: two.id, value: { node: 'two', payload } },
      { node: three.id, value: { node: 'three', payload } },
    ];
    expect([...replies].sort(byNode)).toEqual(expected.sort((a, b) => (a.node < b.node ? -1 : 1)));
    expect({ failures, missing }).toEqual({ failures: [], missing: [] });
    for (const node of [one, two, three]) {
      expect(node.commands.seen.seen).toEqual([{ payload, from: three.id }]);
    }
  });

  test('a process with no handlers calls at its first use, without being told who is there', async () => {
    const [one, two] = await startAll('one', 'two');
    const caller = await startApp({ ...options, mode: 'producer' });
    const cluster = caller.app.get(ClusterService);
    const { replies, failures, missing } = await cluster.call('echo', undefined, soon);
    expect(replies.map(({ node }) => node).sort()).toEqual([one.id, two.id].sort());
    expect(replies.map(({ value }) => value)).toContainEqual({ node: 'one' });
    expect(failures).toEqual([
      { node: cluster.nodeId, error: new UnknownCommandError('echo', cluster.nodeId) },
    ]);
    expect(missing).toEqual([]);
  });

  test('what throws, is not known, or returns what is no JSON, is a failure of its node', async () => {
    const [one] = await startAll('one', 'two');
    const { replies, failures } = await one.cluster.call('fail', undefined, soon);
    expect(replies).toEqual([]);
    expect(failures).toHaveLength(2);
    for (const { error } of failures) {
      expect(error).toBeInstanceOf(CommandFailedError);
      expect(error).toMatchObject({
        reason: { type: 'E_CANT', message: expect.stringMatching(/^(one|two) can't$/) as string },
      });
    }
    const odd = await one.cluster.call('return-odd', undefined, soon);
    expect(odd.failures.map(({ error }) => error.message).join()).toContain('at: a Map');
    const unknown = await one.cluster.call('no-such-command', undefined, soon);
    expect(unknown.failures.map(({ error }) => error.constructor)).toEqual([
      UnknownCommandError,
      UnknownCommandError,
    ]);
  });

  test('a call to some nodes reaches only those, and names whom nobody knows', async () => {
    const [one, two] = await startAll('one', 'two');
    const nodes = [two.id, two.id, 'nobody-1'];
    const { replies, missing } = await one.cluster.call('echo', 5, { ...soon, nodes });
    expect(replies).toEqual([{ node: two.id, value: { node: 'two', payload: 5 } }]);
    expect(missing).toEqual(['nobody-1']);
    expect(one.commands.seen.seen).toEqual([]);
  });

  test('a call resolves at its time limit and names who has not answered', async () => {
    const [one, two] = await startAll('one', 'two');
    const begun = performance.now();
    const call = one.cluster.call('hold', undefined, { timeoutMs: 700, nodes: [one.id, two.id] });
    await eventually('both to hold', () => one.commands.held + two.commands.held === 2);
    one.commands.gate.open();
    expect(await call).toEqual({
      replies: [{ node: one.id, value: 'one' }],
      failures: [],
      missing: [two.id],
    });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(690);
    two.commands.gate.open();
    // The late answer harms nobody.
    expect((await one.cluster.call('echo', 1, soon)).replies).toHaveLength(2);
  });

  test('a cast reaches every node and brings nothing back', async () => {
    const [one, two] = await startAll('one', 'two');
    await one.cluster.cast('note', { n: 1 });
    await one.cluster.cast('fail');
    await one.cluster.cast('note', { n: 2 });
    for (const { commands } of [one, two]) {
      const seen = await commands.seen.count(2);
      expect(seen.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }]);
    }
  });

  test('a hundred runs of a command at once are the most, others go on', async () => {
    const [one, two] = await startAll('one', 'two');
    const to = { ...soon, nodes: [two.id] };
    const calls = Array.from({ length: 130 }, () => one.cluster.call('hold', undefined, to));
    await eventually('a hundred to be held', () => two.commands.held === 100);
    expect((await one.cluster.call('echo', 1, to)).replies).toHaveLength(1);
    two.commands.gate.open();
    const results = await Promise.all(calls);
    const refused = results.flatMap(({ failures }) => failures);
    expect(refused).toHaveLength(30);
    for (const { error } of refused) expect(error).toBeInstanceOf(CommandRefusedError);
    expect(results.flatMap(({ replies }) => replies)).toHaveLength(100);
    expect((await one.cluster.call('hold', undefined, to)).replies).toHaveLength(1);
  });

  test('what can not travel is refused before anything is sent', async () => {
    const [one] = await startAll('one');
    const { cluster } = one;
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    for (const payload of [new Map(), 1n, Number.NaN, circular, { at: [() => 1] }, 'x'.repeat(300_000)]) {
      await expect(cluster.call('echo', payload)).rejects.toBeInstanceOf(InvalidArgumentError);
      await expect(cluster.cast('echo', payload)).rejects.toBeInstanceOf(InvalidArgumentError);
    }
    for (const name of ['', 'a b', 'x'.repeat(129), '__proto__\n', undefined as never]) {
      await expect(cluster.call(name)).rejects.toBeInstanceOf(InvalidArgumentError);
    }
    for (const timeoutMs of [0, -1, Number.NaN, 1e9, '5' as never]) {
      await expect(cluster.call('echo', 1, { timeoutMs })).rejects.toBeInstanceOf(InvalidArgumentError);
    }
    for (const nodes of [['a b'], [undefined as never], 'x' as never]) {
      await expect(cluster.call('echo', 1, { nodes })).rejects.toBeInstanceOf(InvalidArgumentError);
    }
    expect(one.commands.seen.seen).toEqual([]);
  });
});
