// A node takes jobs from a queue that has no leader, or whose process hangs: the other partitions go on being served.
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { QueueNotAnsweringError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
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
/** One job after another, and a core left for the rest. */
const JOB_MS = 50;

let broker: PrivateRabbitmq;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
  // 65 s are too long for a test.
  await broker.ctl('eval', 'application:set_env(kernel, net_ticktime, 0).');
});
afterAll(() => broker.stop());

/** Two partitions, one of which has a queue that gets stuck. */
class Stage {
  readonly stuck = uniquePartition('stuck');
  readonly sound = uniquePartition('sound');
  readonly sightings = new Sightings();

  async queueProcess(what: 'suspend' | 'resume'): Promise<void> {
    await broker.ctl('eval', `sys:${what}('%2F_${this.stuck}-default').`);
  }

  /** A node that serves both partitions. */
  startNode(): Promise<TestApp> {
    return startApp(
      {
        connection: { uri: broker.uri },
        partitions: { [this.stuck]: QUEUES, [this.sound]: QUEUES },
        shutdownTimeoutMs: 0,
      },
      [Work, this.sightings.of('node')],
    );
  }

  /** The same, when it serves them. */
  async startServing(): Promise<TestApp> {
    const app = await this.startNode();
    await Promise.all([served(app, this.stuck), served(app, this.sound)]);
    return app;
  }

  /** The queue's process goes on: jobs come from it. */
  async recovers(app: TestApp): Promise<void> {
    await this.queueProcess('resume');
    await served(app, this.stuck);
    await app.jobs.enqueue(Work, {}, { partition: this.stuck, id: 'after' });
    await this.sightings.ended(['after']);
  }

  reasonOfStuck({ partitions }: TestApp): Error | undefined {
    return partitions.queues(this.stuck).find(({ waitingFor }) => waitingFor !== undefined)?.waitingFor;
  }
}

/** Sends job after job to the sound queue. @returns how often the connection over which they come was lost meanwhile */
async function lossesWhileSound(
  { sound, sightings }: Stage,
  { jobs, log }: TestApp,
  ms: number,
): Promise<number> {
  const begunAt = performance.now();
  while (performance.now() - begunAt < ms) {
    const sentAt = performance.now();
    const { job } = await jobs.enqueue(Work, { ms: JOB_MS }, { partition: sound });
    await sightings.ended([job.id]);
    expect(performance.now() - sentAt).toBeLessThan(SOUND_MS);
  }
  const said = (what: RegExp): number => log.messages('log', 'warn').filter((line) => what.test(line)).length;
  // A log that hears nothing of the connection can't tell of its loss.
  expect(said(/^Connected to RabbitMQ .*\(consuming\)/)).toBeGreaterThan(0);
  return said(/^Lost the connection to RabbitMQ \(consuming\)/);
}

const together = testsAtOnce(3);

together(
  'a queue that is stuck when a node starts costs the others one reconnect at most, and is served once it is well',
  async () => {
    const stage = new Stage();
    await (await stage.startServing()).close();
    await stage.queueProcess('suspend');
    const app = await stage.startNode();
    await served(app, stage.sound);
    expect(await lossesWhileSound(stage, app, SEVERAL_WAITS_MS)).toBeLessThanOrEqual(1);
    expect(stage.reasonOfStuck(app)).toBeInstanceOf(QueueNotAnsweringError);
    await stage.recovers(app);
  },
);

together('a queue that gets stuck while it is idle costs the others nothing', async () => {
  const stage = new Stage();
  const app = await stage.startServing();
  // It has been consumed from anew: its channel is one to be renewed, as soon as that can be done.
  await app.partitions.reconfigure(stage.stuck, { default: 4 });
  await stage.queueProcess('suspend');
  expect(await lossesWhileSound(stage, app, FOUND_STUCK_MS)).toBe(0);
  expect(stage.reasonOfStuck(app)).toBeInstanceOf(QueueNotAnsweringError);
  await stage.recovers(app);
});

together(
  'a partition that is stopped and started while its queue is stuck costs the others one reconnect at most',
  async () => {
    const stage = new Stage();
    const app = await stage.startServing();
    await stage.queueProcess('suspend');
    await app.partitions.stop(stage.stuck);
    expect((await app.partitions.start(stage.stuck, QUEUES)).state).toBe('waiting');
    expect(await lossesWhileSound(stage, app, SEVERAL_WAITS_MS)).toBeLessThanOrEqual(1);
    await stage.recovers(app);
  },
);
