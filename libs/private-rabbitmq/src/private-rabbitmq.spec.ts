// What a private node promises: to be a real broker, to survive what its owner does to it, and to leave no trace.
import type { ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import os from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateRabbitmq } from './private-rabbitmq';
import { startPrivateRabbitmq } from './private-rabbitmq';
import { servesAmqp } from './readiness';

const RUN_TYPESCRIPT = join(__dirname, '../../../tools/run-typescript.cjs');
const A_FEW_STARTS_MS = 120_000;
/** RabbitMQ writes down within half a second which quorum queues there are; killed before, it loses a young one. */
const REGISTER_OF_QUORUM_QUEUES_WRITTEN_MS = 1_000;

/** Where all nodes of this file have their folders, so that those of others don't count as left behind by ours. */
const scratch = mkdtempSync(join(os.tmpdir(), 'private-rabbitmq-spec-'));
beforeAll(() => {
  jest.spyOn(os, 'tmpdir').mockReturnValue(scratch);
});
afterAll(() => {
  jest.restoreAllMocks();
  rmSync(scratch, { recursive: true });
});

describe('a private RabbitMQ', () => {
  let rabbitmq: PrivateRabbitmq;
  beforeAll(async () => {
    rabbitmq = await startPrivateRabbitmq();
  }, A_FEW_STARTS_MS);
  afterAll(() => rabbitmq.stop());

  it(
    'has a message confirmed before kill -9 there after start again, at the same address',
    async () => {
      const { uri, pid } = rabbitmq;
      await publishConfirmed(uri, 'survives-kill', 'kept');
      await sleep(REGISTER_OF_QUORUM_QUEUES_WRITTEN_MS);
      await rabbitmq.kill();
      expect(isAlive(pid)).toBe(false);
      await expect(connect(uri)).rejects.toThrow('ECONNREFUSED');
      await rabbitmq.start();
      expect(rabbitmq.uri).toBe(uri);
      await expect(takeOne(uri, 'survives-kill')).resolves.toBe('kept');
    },
    A_FEW_STARTS_MS,
  );

  it(
    'keeps its messages over a graceful stop, frozen or not',
    async () => {
      await publishConfirmed(rabbitmq.uri, 'survives-stop', 'kept');
      rabbitmq.freeze();
      await rabbitmq.stopGracefully();
      expect(() => rabbitmq.pid).toThrow('not running');
      await rabbitmq.start();
      await expect(takeOne(rabbitmq.uri, 'survives-stop')).resolves.toBe('kept');
    },
    A_FEW_STARTS_MS,
  );

  it('answers nobody while it is frozen, and the same connection after the thaw', async () => {
    await withConnection(rabbitmq.uri, async (connection) => {
      const channel = await connection.createChannel();
      rabbitmq.freeze();
      const answer = channel.assertQueue('asked-while-frozen').then(() => 'answered');
      const first = await Promise.race([answer, sleep(500, 'silence')]);
      rabbitmq.thaw();
      expect(first).toBe('silence');
      await expect(answer).resolves.toBe('answered');
    });
  });

  it('is under the orders of rabbitmqctl', async () => {
    await publishConfirmed(rabbitmq.uri, 'listed', 'one');
    await expect(rabbitmq.ctl('list_queues', 'name', 'type')).resolves.toContain('listed\tquorum');
    await expect(rabbitmq.ctl('no_such_command')).rejects.toThrow('no_such_command');
  });

  it('is not disturbed by a start while it runs', async () => {
    const { pid } = rabbitmq;
    await Promise.all([rabbitmq.start(), rabbitmq.start()]);
    expect(rabbitmq.pid).toBe(pid);
  });

  it(
    'runs side by side with another, each with its own queues',
    async () => {
      const other = await startPrivateRabbitmq();
      try {
        await publishConfirmed(rabbitmq.uri, 'mine', 'a');
        await publishConfirmed(other.uri, 'yours', 'b');
        await expect(rabbitmq.ctl('list_queues', 'name')).resolves.not.toContain('yours');
        await expect(other.ctl('list_queues', 'name')).resolves.not.toContain('mine');
      } finally {
        await other.stop();
      }
    },
    A_FEW_STARTS_MS,
  );
});

describe('a private RabbitMQ with wishes', () => {
  it(
    'has the HTTP API and the configuration that were asked for, and listens on loopback only',
    async () => {
      const rabbitmq = await startPrivateRabbitmq({
        management: true,
        configuration: { consumer_timeout: '61000' },
      });
      try {
        await expect(statusOf(`${rabbitmq.managementUri ?? ''}/api/queues`)).resolves.toBe(200);
        await expect(rabbitmq.ctl('environment')).resolves.toContain('{consumer_timeout,61000}');
        const addresses = listeningAddressesOf(rabbitmq.pid);
        expect(addresses.length).toBeGreaterThanOrEqual(3);
        expect(new Set(addresses)).toEqual(new Set(['127.0.0.1']));
      } finally {
        await rabbitmq.stop();
      }
    },
    A_FEW_STARTS_MS,
  );

  it(
    'says why when it does not start, and leaves nothing behind',
    async () => {
      await expect(startPrivateRabbitmq({ configuration: { nonsense: 'on' } })).rejects.toThrow(
        "You've tried to set nonsense",
      );
      await expect(startPrivateRabbitmq({ startTimeoutMs: 100 })).rejects.toThrow('within 100 ms');
      await expectNoTraces();
    },
    A_FEW_STARTS_MS,
  );
});

describe('the end of a private RabbitMQ', () => {
  it(
    'leaves no process and no file behind, and can come twice, while it runs, starts or is down',
    async () => {
      const rabbitmq = await startPrivateRabbitmq();
      // A checker that never sees anything proves nothing: there are the VM, its helpers, the watchdog, the folder.
      expect(traces().length).toBeGreaterThanOrEqual(4);
      await rabbitmq.kill();
      const start = rabbitmq.start();

      await Promise.all([
        rabbitmq.stop(),
        rabbitmq.stop(),
        expect(start).rejects.toThrow('ended while it started'),
      ]);
      await rabbitmq.stop();
      await expectNoTraces();
      await expect(rabbitmq.start()).rejects.toThrow('stopped for good');
    },
    A_FEW_STARTS_MS,
  );

  it(
    'comes when its parent is killed, even to a frozen node',
    async () => {
      const owner = await startOwner('rabbitmq.freeze(); setInterval(() => undefined, 1000);');
      await expect(servesAmqp(owner.port)).resolves.toBe(false);
      process.kill(owner.pid, 'SIGKILL');
      await owner.exitCode;
      await expectNoTraces();
    },
    A_FEW_STARTS_MS,
  );

  it(
    'does not wait for a parent that forgets it, nor the parent for it',
    async () => {
      const owner = await startOwner('');
      await expect(owner.exitCode).resolves.toBe(0);
      await expectNoTraces();
    },
    A_FEW_STARTS_MS,
  );

  it(
    'lets its parent end by itself after stop',
    async () => {
      const owner = await startOwner(
        'await rabbitmq.stop(); process.on("exit", () => { process.exitCode = 7; });',
      );
      await expect(owner.exitCode).resolves.toBe(7);
    },
    A_FEW_STARTS_MS,
  );
});

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

function statusOf(uri: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(uri, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', reject);
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** What there is of private nodes: their folders, and every process whose command line or environment names one. */
function traces(): string[] {
  const folders = readdirSync(scratch).filter((name) => name.startsWith('private-rabbitmq-'));
  const processes = readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return false;
    return ['cmdline', 'environ'].some((file) => {
      try {
        return readFileSync(join('/proc', entry, file), 'latin1').includes(scratch);
      } catch {
        return false;
      }
    });
  });
  return [...folders, ...processes];
}

/** The helpers of a killed VM notice by a closed pipe, a moment later. */
async function expectNoTraces(): Promise<void> {
  for (let attempt = 0; attempt < 50 && traces().length > 0; attempt++) await sleep(100);
  expect(traces()).toEqual([]);
}

interface Owner {
  readonly pid: number;
  readonly port: number;
  readonly exitCode: Promise<number | null>;
}

/** Another process that starts a private node and then does what it is told. Resolves after that. */
function startOwner(then: string): Promise<Owner> {
  const program = `(async () => {
    const { startPrivateRabbitmq } = require(${JSON.stringify(join(__dirname, 'index.ts'))});
    const rabbitmq = await startPrivateRabbitmq();
    const { port } = rabbitmq;
    ${then}
    console.log(port);
  })()`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-r', RUN_TYPESCRIPT, '-e', program], {
      cwd: __dirname,
      env: { ...process.env, TMPDIR: scratch },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exitCode = new Promise<number | null>((exited) => child.once('exit', exited));
    createInterface(child.stdout).once('line', (port) =>
      resolve({ pid: child.pid ?? 0, port: Number(port), exitCode }),
    );
    void exitCode.then((code) =>
      reject(new Error(`The owner ended with ${String(code)} before it told its port.`)),
    );
  });
}

/** On which addresses a process listens; those of IPv6 as the system writes them. */
function listeningAddressesOf(pid: number): string[] {
  const LISTEN = '0A';
  const own = new Set(socketsOf(pid));
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === LISTEN && own.has(fields[9] ?? ''))
      .map(([, local = '']) => (table === 'tcp' ? ipv4Of(local) : local)),
  );
}

/** The inode numbers of a process's sockets. */
function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(join(folder, fd)))?.[1];
    return inode === undefined ? [] : [inode];
  });
}

/** `0100007F:1538` is 127.0.0.1 on port 5432: the bytes of the address stand last first. */
function ipv4Of(address: string): string {
  const bytes = address.slice(0, 8).match(/../g) ?? [];
  return bytes
    .map((byte) => parseInt(byte, 16))
    .reverse()
    .join('.');
}
