// What a private cluster promises: to be one, to come apart where it is cut, to heal, and to leave no trace.
import type { ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateCluster } from './private-cluster';
import { startPrivateCluster } from './private-cluster';
import type { PrivateRabbitmq } from './private-rabbitmq';
import { servesAmqp } from './readiness';

const RUN_TYPESCRIPT = join(__dirname, '../../../tools/run-typescript.cjs');
const SOME_STARTS_MS = 180_000;
const PATIENCE_MS = 30_000;

describe('a private cluster', () => {
  let cluster: PrivateCluster;
  beforeAll(async () => {
    cluster = await startPrivateCluster({ partitionHandling: 'pause_minority' });
  }, SOME_STARTS_MS);
  afterAll(() => cluster.stop());

  it(
    'has on all nodes what one has confirmed, also after that one was killed and started again',
    async () => {
      const [first, second] = nodesOf(cluster);
      await publishConfirmed(first.uri, 'kept', 'one');
      await first.kill();
      await until('another to serve the queue', () => publishConfirmed(second.uri, 'kept', 'two'));
      await first.start();
      await until('all to be there', async () => expect(await takeOne(first.uri, 'kept')).toBe('one'));
      await expect(takeOne(first.uri, 'kept')).resolves.toBe('two');
    },
    SOME_STARTS_MS,
  );

  it(
    'stops to serve on a node that is cut off while the others go on, and serves on it after the heal',
    async () => {
      const [first, second, third] = nodesOf(cluster);
      await cluster.cutOff(second);
      await expect(peersOf(first)).resolves.toEqual([third.nodename]);
      await expect(peersOf(second)).resolves.toEqual([]);
      await until('the minority to pause', async () => expect(await servesAmqp(second.port)).toBe(false));
      await until('the majority to serve', () => publishConfirmed(first.uri, 'split', 'survived'));
      await expect(peersOf(second)).resolves.toEqual([]);

      await cluster.heal();
      await expect(peersOf(second)).resolves.toEqual([first.nodename, third.nodename].sort());
      await until('the message', async () => expect(await takeOne(second.uri, 'split')).toBe('survived'));
    },
    SOME_STARTS_MS,
  );
});

// A skip for the time that it takes: only the long form of the fault tests has such clusters.
const describeInLongForm = process.env['ROGER_FAULTS'] === 'long' ? describe : describe.skip;

describeInLongForm('a private cluster that ignores splits', () => {
  it(
    'goes on to serve on both sides',
    async () => {
      const cluster = await startPrivateCluster({ partitionHandling: 'ignore' });
      try {
        const [first, second] = nodesOf(cluster);
        await cluster.cutOff(first);
        // As long as others take to pause.
        await sleep(3_000);
        await expect(servesAmqp(first.port)).resolves.toBe(true);
        await expect(servesAmqp(second.port)).resolves.toBe(true);
        await expect(peersOf(first)).resolves.toEqual([]);
        await cluster.heal();
        await expect(peersOf(first)).resolves.toHaveLength(2);
      } finally {
        await cluster.stop();
      }
      expect(cluster.nodes.filter(({ isRunning, folder }) => isRunning || existsSync(folder))).toEqual([]);
    },
    SOME_STARTS_MS,
  );
});

describe('the end of a private cluster', () => {
  it(
    'comes when its parent is killed',
    async () => {
      const program = `(async () => {
        const { startPrivateCluster } = require(${JSON.stringify(join(__dirname, 'index.ts'))});
        const { nodes } = await startPrivateCluster({ nodes: 2, partitionHandling: 'ignore' });
        console.log(JSON.stringify(nodes.map(({ pid, folder }) => ({ pid, folder }))));
        setInterval(() => undefined, 1000);
      })()`;
      const owner = spawn(process.execPath, ['-r', RUN_TYPESCRIPT, '-e', program], {
        cwd: __dirname,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const line = await new Promise<string>((resolve) =>
        createInterface(owner.stdout).once('line', resolve),
      );
      const left = JSON.parse(line) as { pid: number; folder: string }[];
      expect(left.filter(({ pid, folder }) => isAlive(pid) && existsSync(folder))).toHaveLength(2);
      owner.kill('SIGKILL');
      await until('no trace to be left', async () =>
        expect(left.filter(({ pid, folder }) => isAlive(pid) || existsSync(folder))).toEqual([]),
      );
    },
    SOME_STARTS_MS,
  );
});

function nodesOf({ nodes }: PrivateCluster): [PrivateRabbitmq, PrivateRabbitmq, PrivateRabbitmq] {
  expect(nodes).toHaveLength(3);
  return nodes as unknown as [PrivateRabbitmq, PrivateRabbitmq, PrivateRabbitmq];
}

/** Which others a node sees, in order. */
async function peersOf(node: PrivateRabbitmq): Promise<string[]> {
  const answer = await node.ctl('eval', 'nodes().');
  return [...answer.matchAll(/private-[^']+/g)].map(([name]) => name).sort();
}

/** Tries until it works; the last failure when it doesn't in time. */
async function until(what: string, attempt: () => Promise<unknown>): Promise<void> {
  const giveUpAt = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (Date.now() > giveUpAt) throw new Error(`Waited in vain for ${what}`, { cause: error });
    }
    await sleep(200);
  }
}

async function withConnection<T>(uri: string, use: (connection: ChannelModel) => Promise<T>): Promise<T> {
  const connection = await connect(uri);
  // Without a listener the loss of a connection would end the whole run instead of the one test.
  connection.on('error', () => undefined);
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

function publishConfirmed(uri: string, queue: string, text: string): Promise<void> {
  return withConnection(uri, async (connection) => {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue(queue, Buffer.from(text), { persistent: true });
    await channel.waitForConfirms();
  });
}

function takeOne(uri: string, queue: string): Promise<string | undefined> {
  return withConnection(uri, async (connection) => {
    const channel = await connection.createChannel();
    const message = await channel.get(queue, { noAck: true });
    return message === false ? undefined : message.content.toString();
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
