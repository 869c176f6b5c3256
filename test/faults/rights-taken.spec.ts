// Rights that are taken from a running app: it is told so in time, once in the log, and goes on when they are back.
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { BrokerRefusedError, BrokerUnavailableError } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

const together = testsAtOnce(4);

let broker: PrivateRabbitmq;
const users: User[] = [];

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
afterAll(async () => {
  await Promise.all(users.map(({ proxy }) => proxy.close()));
  await broker.stop();
});

/** One that may do everything at first. */
async function newUser(): Promise<User> {
  const name = uniquePartition('user');
  await broker.ctl('add_user', name, 'word');
  const user = new User(name, await TcpProxy.before(broker.uri));
  users.push(user);
  await user.grant('.*', '.*', '.*');
  return user;
}

class User {
  constructor(
    private readonly name: string,
    readonly proxy: TcpProxy,
  ) {}

  get uri(): string {
    return this.proxy.uri.replace('guest:guest', `${this.name}:word`);
  }

  async grant(configure: string, write: string, read: string): Promise<void> {
    await broker.ctl('set_permissions', this.name, configure, write, read);
  }

  /** Cuts the connections and waits until as many have come anew: a channel remembers what its user may do, a fresh one asks. */
  async reconnect(connections: number): Promise<void> {
    const { accepted } = this.proxy;
    this.proxy.cut();
    await eventually('new connections', () => this.proxy.accepted === accepted + connections);
  }
}

test('a producer that may no longer write is told so within its time limit, and enqueues again when it may', async () => {
  const user = await newUser();
  const partition = uniquePartition();
  const app = await startApp({
    connection: { uri: user.uri },
    mode: 'producer',
    partitions: { [partition]: { default: 1 } },
    enqueueTimeoutMs: 5_000,
  });
  await eventually('the connection', () => app.info.transportInfo().state === 'connected');
  await app.jobs.enqueue(Work, {}, { partition, id: 'before' });
  await user.grant('.*', '^$', '.*');
  await user.reconnect(1);
  await eventually('the connection to be back', () => app.info.transportInfo().state === 'connected');

  for (const id of ['during-1', 'during-2']) {
    const begunAt = performance.now();
    const refusal = await app.jobs.enqueue(Work, {}, { partition, id }).catch((error: unknown) => error);
    expect(performance.now() - begunAt).toBeLessThan(15_000);
    expect(refusal).toBeInstanceOf(BrokerUnavailableError);
    expect((refusal as Error).message).toMatch(/ACCESS_REFUSED.*roger\.jobs/);
  }
  await user.grant('.*', '.*', '.*');
  await eventually(
    'enqueueing to work again',
    () =>
      app.jobs.enqueue(Work, {}, { partition, id: 'after' }).then(
        () => true,
        () => false,
      ),
    30_000,
  );
  expect(app.log.messages('warn', 'error').filter((line) => line.includes('ACCESS_REFUSED'))).toHaveLength(1);
});

for (const [what, readable] of [
  ['the jobs exchange', '(-default|-default.buried|roger.buried|roger.buried.notices)$'],
  ['its queues', '^roger[.]'],
] as const) {
  together(
    `a partition that may no longer read ${what} waits with the reason, and is served when it may`,
    async () => {
      const user = await newUser();
      const partition = uniquePartition();
      const sightings = new Sightings();
      const app = await startApp(
        { connection: { uri: user.uri }, partitions: { [partition]: { default: 1 } } },
        [Work, sightings.of('worker')],
      );
      await served(app, partition);
      await user.grant('.*', '.*', readable);
      await user.reconnect(3);
      const reason = (): Error | undefined => app.partitions.queues(partition)[0]?.waitingFor;
      await eventually('the reason to be known', () => reason() instanceof BrokerRefusedError);

      await user.grant('.*', '.*', '.*');
      await served(app, partition);
      await app.jobs.enqueue(Work, {}, { partition, id: 'after' });
      await sightings.ended(['after']);
      const lines = app.log
        .messages('log', 'warn', 'error')
        .filter((line) => line.startsWith(`Queue ${partition}-`));
      expect(lines).toEqual([
        expect.stringMatching(/is not served for now: The broker does not let this user/),
        `Queue ${partition}-default is served again`,
      ]);
    },
  );
}
