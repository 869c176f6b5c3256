// How far a job is can be seen from every node while it runs.
import type { JobProgress } from 'nestjs-roger';
import { InvalidArgumentError, RogerJob, type JobContext } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

const connection = { uri: sharedBrokerUri() };

@RogerJob({ name: 'stepwise', retryable: { levels: [1] } })
class Stepwise {
  static contexts = new Signals<JobContext>();
  static end = new Gate();

  async perform(_args: { failures?: number }, context: JobContext): Promise<void> {
    Stepwise.contexts.add(context);
    await Stepwise.end.opened;
  }
}

beforeEach(() => {
  Stepwise.contexts = new Signals();
  Stepwise.end = new Gate();
});

async function firstContext(): Promise<JobContext> {
  const [context] = await within('the job to begin', Stepwise.contexts.count(1));
  if (context === undefined) throw new Error('no context');
  return context;
}

test('a node that runs no jobs is told of each step, and of the last one always', async () => {
  const partition = uniquePartition();
  const worker = await startApp({ connection, partitions: { [partition]: { default: 5 } } }, [Stepwise]);
  await served(worker, partition);
  const { jobs, info } = await startApp({ connection, mode: 'producer' });
  const told = new Signals<JobProgress>();
  const stop = info.onProgress(partition, 'j1', (progress) => {
    told.add(progress);
  });
  await jobs.enqueue(Stepwise, {}, { partition, id: 'j1' });
  const context = await firstContext();
  context.progress(10);
  const [first] = await within('the first step', told.count(1));
  expect(first).toMatchObject({ partition, jobId: 'j1', attempt: 1, value: 10 });

  // Many at once are too many to send: the last one counts.
  for (let step = 11; step <= 99; step++) context.progress(step);
  context.progress({ pages: 7, of: 7 });
  Stepwise.end.open();
  await eventually('the last step', () => JSON.stringify(told.seen.at(-1)?.value) === '{"pages":7,"of":7}');
  expect(told.seen.length).toBeLessThan(10);
  stop();
  expect(worker.log.messages('warn', 'error')).toEqual([]);
});

test('whoever begins to watch, or asks, is told what was said before', async () => {
  const partition = uniquePartition();
  const worker = await startApp({ connection, partitions: { [partition]: { default: 5 } } }, [Stepwise]);
  await served(worker, partition);
  const { jobs, info } = await startApp({ connection, mode: 'producer' });
  expect(await info.progress(partition, 'j1')).toBeUndefined();
  await jobs.enqueue(Stepwise, {}, { partition, id: 'j1' });
  const context = await firstContext();
  expect(await info.progress(partition, 'j1')).toMatchObject({ attempt: 1, value: undefined });
  context.progress('half');
  expect(await info.progress(partition, 'j1')).toMatchObject({ attempt: 1, value: 'half' });
  const told = new Signals<JobProgress>();
  info.onProgress(partition, 'j1', (progress) => {
    told.add(progress);
  });
  expect(await within('the step', told.count(1))).toMatchObject([{ value: 'half' }]);
  expect(worker.nodeInfo.runningJobs()).toMatchObject([{ job: { id: 'j1' }, progress: 'half' }]);
  // On the node itself, too.
  expect(await worker.info.progress(partition, 'j1')).toMatchObject({ value: 'half' });
  Stepwise.end.open();
});

test('a listener that throws is logged, and others are told', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 5 } } }, [Stepwise]);
  await served(app, partition);
  const told = new Signals<JobProgress>();
  app.info.onProgress(partition, 'j1', () => {
    throw new Error('no screen');
  });
  app.info.onProgress(partition, 'j1', (progress) => {
    told.add(progress);
  });
  await app.jobs.enqueue(Stepwise, {}, { partition, id: 'j1' });
  (await firstContext()).progress(1);
  await within('the step', told.count(1));
  expect(app.log.messages('error')).toContain('A listener of progress threw: no screen');
  Stepwise.end.open();
});

test('progress of a job with keys is seen as well, and begins anew with each attempt', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const partitions = { [partition]: { default: 5 } };
  const worker = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await served(worker, partition);
  const { jobs, info } = await startApp({ connection, mode: 'producer' });
  const told = new Signals<JobProgress>();
  info.onProgress(partition, 'j1', (progress) => {
    told.add(progress);
  });
  const args = { steps: [50], failures: 1, executionKey: 'e', queueKey: 'q' };
  await jobs.enqueue(ResultWork, args, { partition, id: 'j1' });
  expect((await within('two steps', told.count(2))).map(({ attempt }) => attempt)).toEqual([1, 2]);
  await eventually('the end', () => worker.nodeInfo.runningJobs().length === 0);
});

test('what is no progress is refused, and names that are none', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 5 } } }, [Stepwise]);
  await served(app, partition);
  await app.jobs.enqueue(Stepwise, {}, { partition });
  const context = await firstContext();
  for (const wrong of [-1, 101, NaN, undefined, new Date(), 'x'.repeat(5_000), () => 1]) {
    expect(() => {
      context.progress(wrong);
    }).toThrow(InvalidArgumentError);
  }
  expect(() => app.info.onProgress('no such', 'j1', () => undefined)).toThrow(InvalidArgumentError);
  await expect(app.info.progress(partition, '')).rejects.toBeInstanceOf(InvalidArgumentError);
  Stepwise.end.open();
});
