// A connection may be reset or fall silent at any moment: it is noticed, healed, and loses nothing that was confirmed.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import type { JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { memoryInUse } from '../support/heap';
import { Load } from '../support/load';
import { queueIsThere } from '../support/queue-is-there';
import { Sightings } from '../support/sightings';
import type { Direction } from '../support/tcp-proxy';
import { TcpProxy } from '../support/tcp-proxy';
import { within } from '../support/within';
import { Work } from '../support/work';

@RogerJob()
class Big implements JobHandler<{ text: string }> {
  perform(): void {
    // It is never run.
  }
}

let proxy: TcpProxy;
let observer: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  observer = await connect(sharedBrokerUri());
  channel = await observer.createChannel();
});
afterAll(() => observer.close());
beforeEach(async () => {
  proxy = await TcpProxy.before(sharedBrokerUri());
});
afterEach(() => proxy.close());

async function startWorker(
  partition: string,
  sightings: Sightings,
  options: { maxWorkers: number; heartbeatSeconds?: number },
): Promise<TestApp> {
  const { maxWorkers, heartbeatSeconds } = options;
  const app = await startApp(
    {
      connection: { uri: proxy.uri, heartbeatSeconds },
      partitions: { [partition]: { default: maxWorkers } },
      shutdownTimeoutMs: 0,
    },
    [Work, sightings.of('worker')],
  );
  await served(app, partition);
  return app;
}

/** How often each change of a connection was said. */
function changes({ log }: TestApp): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of log.messages('log', 'warn', 'error')) {
    const [, change, purpose] =
      /^(Connected|Lost the connection|Can't connect) .*\((publishing|consuming)\)/.exec(line) ?? [];
    if (change === undefined || purpose === undefined) continue;
    const what = `${change}, ${purpose}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

/** Resolves when both connections have come about so many times. */
function connected(app: TestApp, times: number): Promise<void> {
  return eventually(`both connections to come about ${times} times`, () => {
    const said = changes(app);
    return said['Connected, publishing'] === times && said['Connected, consuming'] === times;
  });
}

test('a connection that is cut again and again under load loses no confirmed job and refuses none', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startWorker(partition, sightings, { maxWorkers: 5 });
  // Each job fails once, so that retries are on their way too when the connection is cut.
  const load = new Load(app.jobs, { partition, atOnce: 100, args: { ms: 5, failures: 1 } });
  const cuts = 4;
  for (let cut = 1; cut <= cuts; cut++) {
    await load.more(200);
    await connected(app, cut);
    await served(app, partition);
    proxy.cut();
  }
  await load.more(200);
  await load.stop();
  await sightings.ended(load.confirmed, 60_000);

  expect(load.refusals).toEqual([]);
  expect(sightings.peak('worker')).toBe(5);
  await eventually('the queue to be empty', async () => {
    const depth = await app.info.queueDepth(partition, 'default');
    return depth?.ready === 0 && depth.consumers > 0 && depth.buried === 0;
  });
  expect(changes(app)).toEqual({
    'Connected, publishing': cuts + 1,
    'Lost the connection, publishing': cuts,
    'Connected, consuming': cuts + 1,
    'Lost the connection, consuming': cuts,
  });
});

test('a connection that is cut while a queue is being declared is healed like any other', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const exists = (): Promise<boolean> => queueIsThere(observer, `${partition}-default`);
  const delayMs = 300;
  proxy.delay(delayMs);
  const app = await startApp(
    { connection: { uri: proxy.uri }, partitions: { [partition]: { default: 1 } } },
    [Work, sightings.of('worker')],
  );
  await eventually('the queue to exist', exists);
  // The answer is on its way, the binding will be asked for and answered, and then the channel closed: in mid-close.
  await sleep(2.5 * delayMs);
  proxy.cut();
  proxy.delay(0);
  await served(app, partition);
  await app.jobs.enqueue(Work, {}, { partition, id: 'job' });
  await sightings.ended(['job']);
});

test.each<[string, Direction[]]>([
  ['both ways', ['up', 'down']],
  ['towards the broker', ['up']],
  ['from the broker', ['down']],
])('a connection that goes silent %s is noticed by its heartbeats, and healed', async (_, directions) => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startWorker(partition, sightings, { maxWorkers: 1, heartbeatSeconds: 1 });
  await app.jobs.enqueue(Work, { ms: 60_000 }, { partition, id: 'running' });
  await sightings.seen('began', 1);

  const silentSince = performance.now();
  proxy.silence(...directions);
  await sightings.seen('aborted', 1);
  // Two of a second, not two of the ten that are the default.
  expect(performance.now() - silentSince).toBeLessThan(10_000);
  expect(app.partitions.isRunning(partition)).toBe(false);

  // At least: on a busy machine a heartbeat of a second may be missed without a silence.
  await eventually('both losses to be said', () => {
    const said = changes(app);
    return ['publishing', 'consuming'].every(
      (purpose) => (said[`Lost the connection, ${purpose}`] ?? 0) >= 1,
    );
  });

  proxy.heal();
  await served(app, partition);
  // Its delivery was lost, so it is begun again.
  await sightings.seen('began', 2);
  expect(new Set(sightings.ids('began'))).toEqual(new Set(['running']));
  await eventually('both connections', () => app.info.transportInfo().state === 'connected');
  await app.jobs.enqueue(Work, {}, { partition, id: 'later' });
});

test('a confirm that is lost on its way shows as a repeat, never as a loss', async () => {
  const partition = uniquePartition();
  const { jobs } = await startApp({
    connection: { uri: proxy.uri },
    mode: 'producer',
    partitions: { [partition]: { default: 1 } },
  });
  await jobs.enqueue(Work, {}, { partition, id: 'first' });
  proxy.silence('down');
  const enqueued = jobs.enqueue(Work, {}, { partition, id: 'second' });
  const ready = async (): Promise<number> => (await channel.checkQueue(`${partition}-default`)).messageCount;
  await eventually('the job to be on the broker', async () => (await ready()) === 2);
  proxy.cut();
  proxy.heal();
  await within('the enqueue to resolve', enqueued);
  expect(await ready()).toBe(3);
});

test('a producer whose broker stays away holds no job longer than its time limit', async () => {
  const partition = uniquePartition();
  await proxy.refuse();
  const { jobs } = await startApp({
    connection: { uri: proxy.uri },
    mode: 'producer',
    enqueueTimeoutMs: 50,
    maxJobBytes: 2 * 1024 * 1024,
  });
  const text = 'x'.repeat(1024 * 1024);
  const round = () =>
    Promise.allSettled(Array.from({ length: 10 }, () => jobs.enqueue(Big, { text }, { partition })));
  const outcomes = await round();
  expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'rejected'));
  const before = memoryInUse().arrayBuffers;
  for (let rounds = 0; rounds < 10; rounds++) await round();
  // Ten rounds of ten jobs of a megabyte each.
  await eventually('their memory to be free again', () => memoryInUse().arrayBuffers - before < 50e6);
});
