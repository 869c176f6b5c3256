// Whoever may write to the broker can write anything to a node: it carries out nothing but what it knows, and lives on.
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { ClusterService } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { NODE_NAME, NodeCommands } from '../support/node-commands';
import { encodeFrame, Frame } from '../../libs/roger/src/ledger/frame';

const connection = { uri: sharedBrokerUri() };
const CALL = 'c'.repeat(22);

let namespace: string;
let model: ChannelModel;
let channel: Channel;
let cluster: ClusterService;
let commands: NodeCommands;
let stranger: string;
/** What came to the stranger's own mailbox. */
let answers: { node: string; call: string; answer: { kind: string } }[];

beforeEach(async () => {
  namespace = uniquePartition();
  const { app } = await startApp({ connection, namespace, partitions: { acme: { default: 1 } } }, [
    NodeCommands,
    { provide: NODE_NAME, useValue: 'here' },
  ]);
  cluster = app.get(ClusterService);
  commands = app.get(NodeCommands);
  await eventually('this node to be there', () => cluster.nodes().length === 1);
  model = await connect(connection.uri);
  channel = await model.createChannel();
  stranger = 'stranger-1';
  answers = [];
  const { queue } = await channel.assertQueue(`${namespace}.roger.node.${stranger}`, { exclusive: true });
  await channel.consume(
    queue,
    (message) => {
      if (message !== null) answers.push(Frame.read(message.content).head as (typeof answers)[number]);
    },
    { noAck: true },
  );
});

afterEach(() => model.close());

function write(bytes: Buffer): void {
  channel.sendToQueue(`${namespace}.roger.node.${cluster.nodeId}`, bytes);
}

function command(fields: object, ...parts: readonly (string | Buffer)[]): void {
  const head = { mail: 'command', node: stranger, call: CALL, command: 'echo', ...fields };
  write(
    encodeFrame(
      head,
      parts.map((part) => Buffer.from(part)),
    ),
  );
}

/** Whatever was written before has been read when this is answered. */
async function stillAnswers(): Promise<void> {
  const call = 'z'.repeat(22);
  command({ call }, '"still there?"');
  await eventually('the node to answer', () => answers.some((answer) => answer.call === call));
  answers = answers.filter((answer) => answer.call !== call);
  const { payload } = commands.seen.seen.at(-1) ?? {};
  expect(payload).toBe('still there?');
  commands.seen.seen.pop();
}

test('garbage is passed over', async () => {
  write(Buffer.alloc(0));
  write(Buffer.from('garbage'));
  write(Buffer.alloc(1_000_000, 0x52));
  for (const head of [null, 7, 'text', [], {}, { mail: 'command' }, { mail: { toString: 1 } }]) {
    write(encodeFrame(head));
  }
  command({ node: `../${stranger}` });
  command({ node: { length: 5 } });
  command({ node: 'n'.repeat(300) });
  command({ call: '' });
  command({ call: 7 });
  command({ command: ['echo'] });
  command({ command: 'a b' });
  command({ command: 'x'.repeat(200_000) });
  await stillAnswers();
  expect(answers).toEqual([]);
  expect(commands.seen.seen).toEqual([]);
});

test('names that objects have by themselves, and methods that are no commands, are not known', async () => {
  for (const name of ['constructor', '__proto__', 'toString', 'gate', 'NodeCommands.echo', 'roger.eval']) {
    command({ command: name }, '1');
  }
  await stillAnswers();
  expect(answers.map(({ answer }) => answer.kind)).toEqual(Array.from({ length: 6 }, () => 'unknown'));
});

test('a payload that is no JSON, too deep, too large, or holds __proto__ is refused', async () => {
  command({}, '{"a":');
  command({}, Buffer.from([0xff, 0xfe]));
  command({}, '['.repeat(100) + ']'.repeat(100));
  command({}, '['.repeat(200_000));
  command({}, JSON.stringify('x'.repeat(300_000)));
  command({}, '{"__proto__":{"isAdmin":true}}');
  command({}, '{"a":[{"__proto__":1}]}');
  await stillAnswers();
  expect(answers.map(({ answer }) => answer.kind)).toEqual(Array.from({ length: 7 }, () => 'refused'));
  expect(commands.seen.seen).toEqual([]);
  expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
});

test('an answer counts once, from who was asked, to a call that was made', async () => {
  channel.publish(
    `${namespace}.roger.system`,
    '',
    encodeFrame({
      mail: 'here',
      node: stranger,
      name: 'stranger',
      role: 'producer',
      isActive: true,
      serves: false,
      since: 1,
    }),
  );
  await eventually('the stranger to be known', () => cluster.nodes().length === 2);
  const call = cluster.call('echo', 1, { timeoutMs: 10_000, nodes: [cluster.nodeId, stranger] });
  await eventually('the stranger to be asked', () => answers.length === 1);
  const token = answers[0]?.call;
  const value = (fields: object, part = '"it"'): void => {
    const head = { mail: 'answer', node: stranger, call: token, answer: { kind: 'value' }, ...fields };
    write(encodeFrame(head, [Buffer.from(part)]));
  };
  value({ call: CALL });
  value({ node: 'another-1' });
  value({ answer: { kind: 'else' } });
  value({ answer: null });
  value({});
  value({}, '"again"');
  value({ answer: { kind: 'failed', type: 'E', message: 'late' } });
  const { replies, failures, missing } = await call;
  expect(replies).toHaveLength(2);
  expect(replies).toContainEqual({ node: stranger, value: 'it' });
  expect({ failures, missing }).toEqual({ failures: [], missing: [] });
  await stillAnswers();
});

test('an answer that can not be read is a failure of its node', async () => {
  const call = cluster.call('echo', 1, { timeoutMs: 10_000, nodes: [stranger] });
  await eventually('the stranger to be asked', () => answers.length === 1);
  const head = { mail: 'answer', node: stranger, call: answers[0]?.call, answer: { kind: 'value' } };
  write(encodeFrame(head, [Buffer.from('{"__proto__":{}}')]));
  expect((await call).failures).toEqual([
    { node: stranger, error: expect.objectContaining({ code: 'ROGER_COMMAND_FAILED' }) as unknown },
  ]);
});

test('whoever says that others are there, or gone, does not get far', async () => {
  const say = (head: object): void => {
    channel.publish(`${namespace}.roger.system`, '', encodeFrame(head));
  };
  const card = { role: 'worker', isActive: true, serves: true, since: 1, name: 'x' };
  say({ mail: 'here', node: '../x', ...card });
  say({ mail: 'here', node: 'a', ...card, name: 'n'.repeat(200_000) });
  say({ mail: 'here', node: 'b', ...card, role: 'king' });
  say({ mail: 'here', node: 'c', ...card, since: '1' });
  say({ mail: 'who', node: { x: 1 } });
  say({ mail: 'gone', node: cluster.nodeId });
  say({ mail: 'gone' });
  say({ mail: 'here', node: 'ghost-1', ...card, extra: 'y'.repeat(1_000) });
  await eventually('the ghost to be believed', () => cluster.nodes().length === 2);
  await stillAnswers();
  expect(cluster.nodes().map(({ id }) => id)).toEqual([cluster.nodeId, 'ghost-1']);
  // Nobody has its mailbox, so that the next call knows better.
  expect((await cluster.call('echo', 1, { timeoutMs: 10_000 })).missing).toEqual(['ghost-1']);
  await eventually('the ghost to be gone', () => cluster.nodes().length === 1);
});
