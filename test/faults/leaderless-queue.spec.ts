// A node takes jobs from a queue that has no leader, or whose process hangs: the other partitions go on being served.
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { QueueNotAnsweringError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const QUEUES = { default: 2 };
/** For so long a channel of the broker waits for a queue before it costs the connection: `net_ticktime` and 5 s. */
const BROKER_WAITS_MS = 5_000;
/** Time enough to lose the connection three times. */
const SEVERAL_WAITS_MS = 4 * BROKER_WAITS_MS;
/** Idle queues are looked after every 10 s. */
const FOUND_STUCK_MS = 10_000 + 3 * BROKER_WAITS_MS;
/** A reconnect, on a machine with other work. */
const SOUND_MS = 15_000;

let broker: PrivateRabbitmq;
let sightings: Sightings;
let stuck: string;
let sound: string;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
  // 65 s are too long for a test.
  await broker.ctl('eval', 'application:set_env(kernel, net_ticktime, 0).');
});
afterAll(() => broker.stop());

beforeEach(() => {
  sightings = new Sightings();
  [stuck, sound] = [uniquePartition('stuck'), uniquePartition('sound')];
});

async function queueProcess(what: 'suspend' | 'resume'): Promise<void> {
  await broker.ctl('eval', `sys:${what}('%2F_${stuck}-default').`);
}

/** A node that serves both partitions. */
function startNode(): Promise<TestApp> {
  return startApp(
    {
      connection: { uri: broker.uri },
      partitions: { [stuck]: QUEUES, [sound]: QUEUES },
      shutdownTimeoutMs: 0,
    },
    [Work, sightings.of('node')],
  );
}

/** Sends job after job to the sound queue. @returns how often the connection over which they come was lost meanwhile */
async function lossesWhileSound({ jobs, log }: TestApp, ms: number): Promise<number> {
  const begunAt = performance.now();
  while (performance.now() - begunAt < ms) {
    const sentAt = performance.now();
    const { job } = await jobs.enqueue(Work, { ms: 5 }, { partition: sound });
    await sightings.ended([job.id]);
    expect(performance.now() - sentAt).toBeLessThan(SOUND_MS);
  }
  return log.messages('warn').filter((line) => line.startsWith('Lost the connection to RabbitMQ (consuming)'))
    .length;
}

/** The queue's process goes on: jobs come from it. */
async function recovers(app: TestApp): Promise<void> {
  await queueProcess('resume');
  await served(app, stuck);
  await app.jobs.enqueue(Work, {}, { partition: stuck, id: 'after' });
  await sightings.ended(['after']);
}

const reasonOfStuck = ({ partitions }: TestApp): Error | undefined =>
  partitions.queues(stuck).find(({ waitingFor }) => waitingFor !== undefined)?.waitingFor;

test('a queue that is stuck when a node starts costs the others one reconnect at most, and is served once it is well', async () => {
  const before = await startNode();
  await Promise.all([served(before, stuck), served(before, sound)]);
  await before.close();
  await queueProcess('suspend');
  const app = await startNode();
  await served(app, sound);
  expect(await lossesWhileSound(app, SEVERAL_WAITS_MS)).toBeLessThanOrEqual(1);
  expect(reasonOfStuck(app)).toBeInstanceOf(QueueNotAnsweringError);
  await recovers(app);
});

test('a queue that gets stuck while it is idle costs the others nothing', async () => {
  const app = await startNode();
  await Promise.all([served(app, stuck), served(app, sound)]);
  // It has been consumed from anew: its channel is one to be renewed, as soon as that can be done.
  await app.partitions.reconfigure(stuck, { default: 4 });
  await queueProcess('suspend');
  expect(await lossesWhileSound(app, FOUND_STUCK_MS)).toBe(0);
  expect(reasonOfStuck(app)).toBeInstanceOf(QueueNotAnsweringError);
  await recovers(app);
});

test('a partition that is stopped and started while its queue is stuck costs the others one reconnect at most', async () => {
  const app = await startNode();
  await Promise.all([served(app, stuck), served(app, sound)]);
  await queueProcess('suspend');
  await app.partitions.stop(stuck);
  expect((await app.partitions.start(stuck, QUEUES)).state).toBe('waiting');
  expect(await lossesWhileSound(app, SEVERAL_WAITS_MS)).toBeLessThanOrEqual(1);
  await recovers(app);
});
