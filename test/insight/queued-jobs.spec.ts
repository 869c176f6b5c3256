// Looking into a queue touches nothing, and shows what stands there.
import { connect } from 'amqplib';
import type { ChannelModel } from 'amqplib';
import type { JobHandler } from 'nestjs-roger';
import { MemoryBroker, NoJournalError, QueueNotFoundError, RogerJob } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

const connection = { uri: sharedBrokerUri() };
const begun = new Signals<number>();
let gate = new Gate();
let broker: ChannelModel;

interface StepArgs {
  step: number;
  isHeld?: boolean;
  failures?: number;
}

@RogerJob({ name: 'step', retryable: { levels: [1] } })
class Step implements JobHandler<StepArgs> {
  private readonly failed = new Map<number, number>();

  async perform({ step, isHeld, failures = 0 }: StepArgs): Promise<void> {
    begun.add(step);
    if (isHeld === true) await gate.opened;
    const failed = this.failed.get(step) ?? 0;
    this.failed.set(step, failed + 1);
    if (failed < failures) throw new Error('not yet');
  }
}

beforeAll(async () => {
  broker = await connect(connection.uri);
});

afterAll(() => broker.close());

beforeEach(() => {
  begun.seen.length = 0;
  gate = new Gate();
});

async function stepsIn({ info }: TestApp, partition: string, count = 100): Promise<number[]> {
  const { jobs } = await info.queuedJobs(partition, 'default', count);
  return jobs.map(({ args }) => (args as StepArgs).step);
}

function steps(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test('a queue with delivery limit 2 that is looked at 100 times is as if nobody had looked', async () => {
  const partition = uniquePartition();
  const app = await startApp(
    { connection, partitions: { [partition]: { default: 1 } }, deliveryLimit: 2, journal: true },
    [Step],
  );
  await served(app, partition);
  await app.globalState.pauseQueue(partition, 'default');
  for (const step of steps(1, 30)) await app.jobs.enqueue(Step, { step });
  for (let look = 0; look < 100; look++) {
    const { jobs, total, unseen } = await app.info.queuedJobs(partition, 'default', 10);
    expect(jobs.map(({ args }) => (args as StepArgs).step)).toEqual(steps(1, 10));
    expect({ total, unseen }).toEqual({ total: 30, unseen: 0 });
  }
  await app.close();

  const channel = await broker.createChannel();
  for (const step of steps(1, 30)) {
    const message = await channel.get(`${partition}-default`, { noAck: true });
    if (message === false) throw new Error('the queue is too short');
    const { args } = JSON.parse(message.content.toString()) as { args: StepArgs };
    expect(args.step).toBe(step);
    expect(message.fields.redelivered).toBe(false);
    expect(message.properties.headers?.['x-delivery-count'] ?? 0).toBe(0);
  }
  await channel.close();
});

test('it shows what has not begun, in the order in which it will run, whatever happened before', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } }, journal: true }, [
    Step,
  ]);
  await served(app, partition);
  // 1 to 5 run; 2 fails and comes back behind the others; 6 runs for a while; 40 is delayed.
  await app.jobs.enqueue(Step, { step: 40 }, { delayMs: 60_000 });
  for (const step of steps(1, 5)) await app.jobs.enqueue(Step, { step, failures: step === 2 ? 1 : 0 });
  await app.jobs.enqueue(Step, { step: 6, isHeld: true });
  for (const step of steps(7, 20)) await app.jobs.enqueue(Step, { step });
  await within('6 to run', begun.count(6));

  await eventually('2 to be back', async () => (await stepsIn(app, partition)).includes(2), 10_000);
  const { jobs, delayed, total } = await app.info.queuedJobs(partition, 'default');
  expect(jobs.map(({ args }) => (args as StepArgs).step)).toEqual([...steps(7, 20), 2]);
  expect({ delayed, total }).toEqual({ delayed: 1, total: 15 });

  begun.seen.length = 0;
  gate.open();
  await within('the rest to run', begun.count(15));
  expect(begun.seen).toEqual([...steps(7, 20), 2]);
  await eventually('nothing to be left', async () => (await stepsIn(app, partition)).length === 0);
});

test('what a node has given back stands where it stood', async () => {
  const partition = uniquePartition();
  const options = { connection, partitions: { [partition]: { default: 2 } }, journal: true };
  const first = await startApp({ ...options, shutdownTimeoutMs: 100, abortGraceMs: 0 }, [Step]);
  const producer = await startApp({ ...options, mode: 'producer' }, [Step]);
  await served(first, partition);
  for (const step of steps(1, 12)) {
    await producer.jobs.enqueue(Step, { step, isHeld: step === 2 }, { partition });
  }
  await within('2 to run', begun.count(3));
  await first.close();
  const left = await stepsIn(producer, partition);
  const depth = await producer.info.queueDepth(partition, 'default');
  expect(left).toHaveLength(depth?.ready ?? 0);
  expect(left[0]).toBe(2);
  expect(left).toEqual(left.toSorted((a, b) => a - b));
});

test('what was purged is not shown any more', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } }, journal: true }, [
    Step,
  ]);
  await served(app, partition);
  await app.globalState.pauseQueue(partition, 'default');
  for (const step of steps(1, 5)) await app.jobs.enqueue(Step, { step });
  await app.globalState.purge(partition, 'default');
  await app.jobs.enqueue(Step, { step: 6 });
  expect(await stepsIn(app, partition)).toEqual([6]);
});

test('without a journal a look is refused with the remedy, and no journal is made', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } }, [Step]);
  await served(app, partition);
  await app.globalState.pauseQueue(partition, 'default');
  await app.jobs.enqueue(Step, { step: 1 });
  await expect(app.info.queuedJobs(partition, 'default')).rejects.toThrow(NoJournalError);
  await expect(app.info.queuedJobs(partition, 'default')).rejects.toThrow(/journal: true/);
  await expect(app.info.queuedJobs(partition, 'other')).rejects.toThrow(QueueNotFoundError);
  const channel = await broker.createChannel();
  channel.on('error', () => undefined);
  await expect(channel.checkQueue(`${partition}-default.journal`)).rejects.toThrow(/NOT_FOUND/);
});

test('in memory a look needs no journal', async () => {
  const partition = uniquePartition();
  const app = await startApp({ memory: new MemoryBroker(), partitions: { [partition]: { default: 1 } } }, [
    Step,
  ]);
  await served(app, partition);
  await app.jobs.enqueue(Step, { step: 1, isHeld: true });
  for (const step of steps(2, 9)) await app.jobs.enqueue(Step, { step });
  await within('1 to run', begun.count(1));
  expect(await stepsIn(app, partition, 5)).toEqual(steps(2, 6));
  gate.open();
});

test('a number that is none is refused', async () => {
  const partition = uniquePartition();
  const { info } = await startApp({
    memory: new MemoryBroker(),
    partitions: { [partition]: { default: 1 } },
  });
  for (const count of [0, -1, 1.5, 10_001, NaN, '5']) {
    await expect(info.queuedJobs(partition, 'default', count as number)).rejects.toThrow(/count/);
  }
  await expect(info.queuedJobs('a b', 'default')).rejects.toThrow(/partition/);
});
