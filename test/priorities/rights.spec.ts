// The first job of a priority makes a lane: who may not make one is told so, harms nobody, and goes on when it may.
import type { EnqueueOptions } from 'nestjs-roger';
import { BrokerRefusedError, QueueNotFoundError } from 'nestjs-roger';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

/** What is said to suffice, in the order of `set_permissions`: for jobs that are due at once, and for all. */
const PRODUCER = ['^$', '^roger\\.jobs$', '^$'] as const;
const PRODUCER_OF_DELAYED = Array<string>(3).fill('^roger\\.(jobs|delay\\..+)$');

let broker: PrivateRabbitmq;
let proxy: TcpProxy;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
beforeEach(async () => {
  proxy = await TcpProxy.before(broker.uri);
});
afterEach(() => proxy.close());
afterAll(() => broker.stop());

/** A worker that may do everything, and a producer with these rights on a connection of its own. */
async function start(rights: readonly string[]) {
  const partition = uniquePartition();
  const user = uniquePartition('user');
  await broker.ctl('add_user', user, 'word');
  const grant = (all: readonly string[]): Promise<unknown> => broker.ctl('set_permissions', user, ...all);
  await grant(rights);
  const sightings = new Sightings();
  const partitions = { [partition]: { default: 3 } };
  const worker = await startApp({ connection: { uri: broker.uri }, partitions }, [
    Work,
    sightings.of('worker'),
  ]);
  await served(worker, partition);
  const uri = proxy.uri.replace('guest:guest', `${user}:word`);
  const { jobs, info, log } = await startApp({ connection: { uri }, mode: 'producer', partitions });
  const mayMakeLanes = (): Promise<unknown> => {
    const own = `^(roger\\..+|${partition}-.+)$`;
    return grant([own, `^(roger\\..+|${partition}-.+|amq\\.default)$`, own]);
  };
  return { partition, jobs, info, log, worker, sightings, grant, mayMakeLanes };
}

test.each<[string, readonly string[], EnqueueOptions]>([
  ['of a priority', PRODUCER, { priority: 7 }],
  ['of a priority, by a producer of delayed ones', PRODUCER_OF_DELAYED, { priority: 7 }],
  ['to run now', PRODUCER, { runNow: true }],
  ['of a priority, delayed', PRODUCER_OF_DELAYED, { priority: 7, delayMs: 1_000 }],
])(
  'the first job %s is refused for the missing right, and goes when that is given',
  async (_what, rights, order) => {
    const { partition, jobs, info, log, worker, sightings, grant, mayMakeLanes } = await start(rights);
    await jobs.enqueue(Work, {}, { partition, id: 'before' });
    const connections = proxy.accepted;

    const refused = Array.from({ length: 20 }, (_, n) => `refused-${n}`);
    const plain = Array.from({ length: 20 }, (_, n) => `plain-${n}`);
    const [refusals] = await Promise.all([
      Promise.all(refused.map((id) => refusalOf(jobs.enqueue(Work, {}, { partition, id, ...order })))),
      ...plain.map((id) => jobs.enqueue(Work, {}, { partition, id })),
    ]);
    for (const refusal of refusals) {
      expect(refusal).toBeInstanceOf(BrokerRefusedError);
      expect((refusal as Error).message).toMatch(/ACCESS_REFUSED.*Grant the permission/);
    }
    await sightings.ended(['before', ...plain]);
    expect(info.transportInfo().state).toBe('connected');
    expect(worker.partitions.isRunning(partition)).toBe(true);
    // One line would tell of each channel or connection that others had and lost by it.
    expect(log.messages('warn', 'error')).toEqual([]);

    await mayMakeLanes();
    // Under the ids that were refused: nothing of those is anywhere.
    for (const id of refused) await jobs.enqueue(Work, {}, { partition, id, ...order });
    await sightings.ended(refused);
    await grant(rights);
    await jobs.enqueue(Work, {}, { partition, id: 'after', ...order });
    await sightings.ended(['after']);
    expect(proxy.accepted).toBe(connections);
    expect(sightings.repeated('began')).toEqual([]);
    await eventually('nothing to be left', async () => {
      return (await worker.info.queueDepth(partition, 'default'))?.ready === 0;
    });
  },
);

test('a queue that nobody declared is not found, whatever the priority of the job and the rights of its producer', async () => {
  const { partition, jobs } = await start(PRODUCER);
  const queue = 'misspelt';
  expect(await refusalOf(jobs.enqueue(Work, {}, { partition, queue, priority: 7 }))).toBeInstanceOf(
    QueueNotFoundError,
  );
});

function refusalOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}
