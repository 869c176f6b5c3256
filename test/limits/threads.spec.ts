// A job with `isolation: 'thread'` runs in a worker thread with the app's providers, and what it does harms nobody else.
import { JobCancelledError, JobCrashedError, JobTimeoutError } from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Told } from '../support/stubborn';
import { THREADED, Threaded, ThreadedLimited, THREADS } from '../support/thread-jobs';

const connection = { uri: sharedBrokerUri() };

interface Stage {
  readonly partition: string;
  readonly app: TestApp;
  readonly told: Told;
  /** Enqueues a job and resolves when it says that it has begun. */
  readonly begin: (does: string, job?: typeof Threaded) => Promise<void>;
}

async function stage(more: RogerModuleOptions = {}): Promise<Stage> {
  const partition = uniquePartition();
  const app = await startApp(
    { connection, threads: THREADS, abortGraceMs: 200, partitions: { [partition]: { default: 4 } }, ...more },
    [...THREADED, Told],
  );
  await served(app, partition);
  const begin = async (does: string, job = Threaded): Promise<void> => {
    await app.jobs.enqueue(job, { does }, { partition, id: does });
    await eventually(`${does} to begin`, () => saidBy(app, does).includes('began'));
  };
  return { partition, app, told: app.app.get(Told), begin };
}

function saidBy({ log }: TestApp, id: string): string[] {
  return log.lines.filter(({ context }) => context.endsWith(` ${id}`)).map(({ message }) => message);
}

async function answers({ app, partition, told }: Stage, id: string): Promise<unknown> {
  await app.jobs.enqueue(Threaded, { does: 'answer' }, { partition, id });
  await eventually(`${id} to be answered`, () => told.done.includes(id));
  return told.results[told.done.indexOf(id)];
}

function errorOf({ told }: Stage, id: string): Error | undefined {
  return told.errors.find(({ job }) => job.id === id)?.error;
}

async function failed(staged: Stage, id: string): Promise<Error | undefined> {
  await eventually(`${id} to fail`, () => errorOf(staged, id) !== undefined);
  return errorOf(staged, id);
}

test('providers are injected there, args are an instance of their DTO, and the result comes back', async () => {
  const staged = await stage();
  const answer = await answers(staged, 'first');
  expect(answer).toMatchObject({ greeting: 'hello 1', isMainThread: false, isDto: true, attempt: 1 });
  // The same thread, booted once: its providers live on.
  expect(await answers(staged, 'second')).toEqual({ ...(answer as object), greeting: 'hello 2' });
  expect(saidBy(staged.app, 'first')).toEqual(['began']);
  // The thread's RogerModule says nothing of its own.
  expect(staged.app.log.messages('warn', 'error')).toEqual([]);
});

test('an error comes back with its name, its message and its code', async () => {
  const staged = await stage();
  await staged.begin('fail');
  expect(await failed(staged, 'fail')).toMatchObject({
    name: 'TypeError',
    message: 'as I said',
    code: 'E_SAID',
  });
});

test('a job that heeds its signal ends by itself, and its thread lives on', async () => {
  const staged = await stage();
  const before = await answers(staged, 'before');
  await staged.begin('wait');
  await staged.app.globalState.cancelJob(staged.partition, 'wait', { reason: 'enough' });
  await eventually('onCancel', () => staged.told.cancelled.includes('wait'));
  expect(saidBy(staged.app, 'wait')).toEqual([
    'began',
    `aborted by ${JobCancelledError.name}: The job was cancelled: enough`,
  ]);
  expect(await answers(staged, 'after')).toMatchObject({
    threadId: (before as { threadId: number }).threadId,
  });
});

test('a busy loop is ended at its limit, and it alone', async () => {
  const staged = await stage();
  await staged.begin('linger');
  await staged.begin('spin', ThreadedLimited);
  expect(await failed(staged, 'spin')).toBeInstanceOf(JobTimeoutError);
  await eventually('the other to end', () => staged.told.done.includes('linger'));
  expect(staged.told.errors).toHaveLength(1);
  expect(staged.app.partitions.queues(staged.partition)[0]).toMatchObject({ leftBehind: 0 });
  await answers(staged, 'after');
});

test('a busy loop is ended by a cancel', async () => {
  const staged = await stage();
  await staged.begin('spin');
  const cancelledAt = performance.now();
  await staged.app.globalState.cancelJob(staged.partition, 'spin');
  await eventually('onCancel', () => staged.told.cancelled.includes('spin'));
  expect(performance.now() - cancelledAt).toBeLessThan(5_000);
  await eventually(
    'its worker to be free',
    () => staged.app.partitions.queues(staged.partition)[0]?.running === 0,
  );
  await answers(staged, 'after');
});

test('a busy loop is ended by a shutdown, and runs again elsewhere', async () => {
  const staged = await stage({ shutdownTimeoutMs: 100 });
  await staged.begin('spin');
  const closedAt = performance.now();
  await staged.app.close();
  expect(performance.now() - closedAt).toBeLessThan(8_000);
  const heir = await startApp(
    {
      connection,
      threads: THREADS,
      partitions: { [staged.partition]: { default: 4 } },
      shutdownTimeoutMs: 100,
    },
    [...THREADED, Told],
  );
  const began = (): number => saidBy(heir, 'spin').filter((line) => line === 'began').length;
  await eventually('it to begin again', () => began() === 2);
});

test.each([
  ['exit', 'exited with code: 3'],
  ['hoard', 'ran out of memory'],
  ['stray', 'nobody awaits'],
])('a job that does %s has crashed, and others go on', async (does, says) => {
  const threads = { ...THREADS, resourceLimits: { maxOldGenerationSizeMb: 128 } };
  const staged = await stage({ threads });
  await staged.begin('linger');
  await staged.app.jobs.enqueue(Threaded, { does }, { partition: staged.partition, id: does });
  const error = await failed(staged, does);
  expect(error).toBeInstanceOf(JobCrashedError);
  expect(error?.message).toContain(says);
  await eventually('the other to end', () => staged.told.done.includes('linger'));
  expect(staged.told.errors).toHaveLength(1);
  await answers(staged, 'after');
});

test('a promise that rejects after its job has ended harms nobody, and is logged as that of its job', async () => {
  const staged = await stage({ threads: { ...THREADS, maxThreads: 1 } });
  await staged.begin('stray-later');
  await staged.begin('linger');
  await eventually('the other to end', () => staged.told.done.includes('linger'));
  expect(staged.told.errors).toEqual([]);
  expect(staged.app.log.messages('error')).toEqual([
    expect.stringContaining('A promise of job threaded stray-later that nobody awaits was rejected'),
  ]);
});

test('the time of a job counts from its start in a thread, not from its wait for one', async () => {
  const staged = await stage({ threads: { ...THREADS, maxThreads: 1 } });
  await staged.begin('linger');
  await staged.app.jobs.enqueue(
    ThreadedLimited,
    { does: 'answer' },
    { partition: staged.partition, id: 'patient' },
  );
  await eventually('both to end', () => staged.told.done.length === 2);
  expect(staged.told.done).toEqual(['linger', 'patient']);
});

test('a job without keys can be enqueued from a thread', async () => {
  const staged = await stage();
  const id = 'from-the-thread';
  await staged.app.jobs.enqueue(
    Threaded,
    { does: 'enqueue', id },
    { partition: staged.partition, id: 'parent' },
  );
  await eventually('what it enqueued to be done', () => staged.told.done.includes(id));
});

test('threads that are idle end, but for one', async () => {
  const staged = await stage({ threads: { ...THREADS, idleTimeoutMs: 100 } });
  await Promise.all([staged.begin('linger'), staged.begin('wait')]);
  await staged.app.globalState.cancelJob(staged.partition, 'wait');
  await eventually('both to end', () => staged.told.done.length + staged.told.cancelled.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await answers(staged, 'one');
  await answers(staged, 'two');
});

test('a definition that wants a thread where none is configured stops the start', async () => {
  const started = startApp({ connection, partitions: { [uniquePartition()]: { default: 1 } } }, THREADED);
  await expect(started).rejects.toMatchObject({
    code: 'ROGER_INVALID_JOB_DEFINITION',
    message: expect.stringContaining('RogerModule has no threads') as string,
  });
});

test('a module that does not boot in a thread stops the start, and says why', async () => {
  const threads = { ...THREADS, exportName: 'Nothing' };
  const started = startApp(
    { connection, threads, partitions: { [uniquePartition()]: { default: 1 } } },
    THREADED,
  );
  await expect(started).rejects.toMatchObject({
    code: 'ROGER_INVALID_OPTIONS',
    message: expect.stringContaining('exports no Nothing') as string,
  });
});
