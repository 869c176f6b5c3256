// Every enqueue settles in bounded time, with an error that says what to do, and whether the job may have arrived.
import { connect } from 'amqplib';
import {
  BrokerUnavailableError,
  EnqueueBufferFullError,
  QueueNotFoundError,
  RogerJob,
  type JobHandler,
} from 'nestjs-roger';
import { eventually, served, startApp } from './support/app';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from './support/broker';
import { Kept } from './support/heap';
import { TcpProxy } from './support/tcp-proxy';

@RogerJob({ name: 'idle' })
class Idle implements JobHandler<{ n: number; text?: string }> {
  perform(): void {
    // Nobody runs it: the apps of this file only enqueue.
  }
}

const connection = { uri: sharedBrokerUri() };

/** A queue that a worker has declared, and nobody serves. */
async function declared(): Promise<string> {
  const partition = uniquePartition();
  const worker = await startApp({ connection, partitions: { [partition]: { default: 1 } } });
  await served(worker, partition);
  await worker.close();
  return partition;
}

async function refusalOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test('a job for a queue that nobody declared is refused, by name, and goes nowhere', async () => {
  const partition = await declared();
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const refusal = await refusalOf(jobs.enqueue(Idle, { n: 1 }, { partition, queue: 'misspelt' }));
  expect(refusal).toBeInstanceOf(QueueNotFoundError);
  expect(refusal).toMatchObject({ partition, queue: 'misspelt' });
  await expect(jobs.enqueue(Idle, { n: 1 }, { partition })).resolves.toMatchObject({ status: 'enqueued' });
});

test('a thousand jobs for a missing queue are refused one by one, and the connection lives', async () => {
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const partition = uniquePartition();
  const { enqueued, failures } = await jobs.enqueueMany(
    Idle,
    Array.from({ length: 1_000 }, (_, n) => ({ n })),
    { partition },
  );
  expect(enqueued).toBe(0);
  expect(failures.map(({ index }) => index)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  for (const { error } of failures) expect(error).toBeInstanceOf(QueueNotFoundError);
  const there = await declared();
  await expect(jobs.enqueue(Idle, { n: 1 }, { partition: there })).resolves.toMatchObject({
    status: 'enqueued',
  });
});

test('a queue that the options name is declared by the first enqueue, before any worker', async () => {
  const partition = uniquePartition();
  const { jobs, info } = await startApp({
    connection,
    mode: 'producer',
    partitions: { [partition]: { mail: 5 } },
  });
  await jobs.enqueue(Idle, { n: 1 }, { partition, queue: 'mail' });
  expect(await info.queueDepth(partition, 'mail')).toMatchObject({ ready: 1 });
});

test('while the broker is away, enqueue waits its time limit and says that the job was not sent', async () => {
  const connection = { uri: NO_BROKER_URI };
  const { jobs } = await startApp({ connection, mode: 'producer', enqueueTimeoutMs: 700 });
  const begunAt = performance.now();
  const refusal = await refusalOf(jobs.enqueue(Idle, { n: 1 }, { partition: 'acme' }));
  const tookMs = performance.now() - begunAt;
  expect(refusal).toBeInstanceOf(BrokerUnavailableError);
  expect(refusal).toMatchObject({ maybeEnqueued: false });
  expect(tookMs).toBeGreaterThan(650);
  expect(tookMs).toBeLessThan(10_000);
});

test('when the confirm does not come back, enqueue says that the job may have arrived, and it has', async () => {
  const partition = await declared();
  const proxy = await TcpProxy.before(sharedBrokerUri());
  const { jobs, info } = await startApp({
    connection: { uri: proxy.uri, heartbeatSeconds: 30 },
    mode: 'producer',
    enqueueTimeoutMs: 3_000,
  });
  await eventually('the connection', () => info.transportInfo().state === 'connected');
  await jobs.enqueue(Idle, { n: 1 }, { partition });
  proxy.silence('down');
  const refusal = await refusalOf(jobs.enqueue(Idle, { n: 2 }, { partition, id: 'doubtful' }));
  expect(refusal).toMatchObject({ code: 'ROGER_BROKER_UNAVAILABLE', maybeEnqueued: true });

  const observer = await connect(connection.uri);
  const channel = await observer.createChannel();
  await eventually('the doubtful job to be in the queue', async () => {
    const message = await channel.get(`${partition}-default`);
    return message !== false && message.properties.messageId === 'doubtful';
  });
  await observer.close();
  await proxy.close();
});

test('enqueueMany does not wait for the time limit job by job while the broker stays away', async () => {
  const connection = { uri: NO_BROKER_URI };
  const { jobs } = await startApp({ connection, mode: 'producer', enqueueTimeoutMs: 500 });
  const begunAt = performance.now();
  const { enqueued, failures } = await jobs.enqueueMany(
    Idle,
    Array.from({ length: 100_000 }, (_, n) => ({ n })),
    { partition: 'acme' },
  );
  // A thousand at a time, each thousand with a time limit of its own, would take 50 s.
  expect(performance.now() - begunAt).toBeLessThan(20_000);
  expect(enqueued).toBe(0);
  expect(failures).toHaveLength(100_000);
});

test('jobs that wait for the broker take no more memory than allowed: the rest is refused at once', async () => {
  const { jobs } = await startApp({
    connection: { uri: NO_BROKER_URI },
    mode: 'producer',
    enqueueTimeoutMs: 1_000,
    maxBufferedBytes: 100_000,
  });
  const refusals = await Promise.all(
    Array.from({ length: 300 }, (_, n) => refusalOf(jobs.enqueue(Idle, { n }, { partition: 'acme' }))),
  );
  const full = refusals.filter((error) => error instanceof EnqueueBufferFullError);
  expect(full.length).toBeGreaterThan(100);
  expect(refusals.length - full.length).toBeGreaterThan(100);
});

test.each([
  ['holds a few of them', 300_000],
  ['holds one of them', 60_000],
])('enqueueMany waits by itself where the buffer %s', async (_what, maxBufferedBytes) => {
  const partition = await declared();
  const { jobs, info } = await startApp({ connection, mode: 'producer', maxBufferedBytes });
  const text = 'x'.repeat(50_000);
  const batches = [1, 2].map(() =>
    jobs.enqueueMany(
      Idle,
      Array.from({ length: 200 }, (_, n) => ({ n, text })),
      { partition },
    ),
  );
  for (const batch of batches) expect(await batch).toEqual({ enqueued: 200, duplicates: [], failures: [] });
  expect((await info.queueDepth(partition, 'default'))?.ready).toBe(400);
});

test('enqueueMany tells of the jobs that the buffer could never hold, and enqueues the others', async () => {
  const partition = await declared();
  const { jobs } = await startApp({ connection, mode: 'producer', maxBufferedBytes: 10_000 });
  const args = Array.from({ length: 50 }, (_, n) => ({ n, text: 'x'.repeat(n % 10 === 3 ? 20_000 : 1_000) }));
  const { enqueued, failures } = await jobs.enqueueMany(Idle, args, { partition });
  expect(enqueued).toBe(45);
  expect(failures.map(({ index }) => index)).toEqual([3, 13, 23, 33, 43]);
  for (const { error } of failures) expect(error).toBeInstanceOf(EnqueueBufferFullError);
});

test('enqueueMany does not keep the buffer from others', async () => {
  const partition = await declared();
  const { jobs } = await startApp({ connection, mode: 'producer', maxBufferedBytes: 100_000 });
  const over = new AbortController();
  const batch = jobs
    .enqueueMany(
      Idle,
      Array.from({ length: 1_000 }, (_, n) => ({ n, text: 'x'.repeat(2_000) })),
      { partition },
    )
    .finally(() => {
      over.abort();
    });
  while (!over.signal.aborted) await jobs.enqueue(Idle, { n: 0, text: 'x'.repeat(2_000) }, { partition });
  expect(await batch).toEqual({ enqueued: 1_000, duplicates: [], failures: [] });
});

test('while the broker stays away, enqueueMany waits one time limit, not one for each filling of the buffer', async () => {
  const { jobs } = await startApp({
    connection: { uri: NO_BROKER_URI },
    mode: 'producer',
    enqueueTimeoutMs: 500,
    maxBufferedBytes: 10_000,
  });
  const begunAt = performance.now();
  const { enqueued, failures } = await jobs.enqueueMany(
    Idle,
    Array.from({ length: 10_000 }, (_, n) => ({ n })),
    { partition: 'acme' },
  );
  expect(performance.now() - begunAt).toBeLessThan(10_000);
  expect(enqueued).toBe(0);
  expect(failures).toHaveLength(10_000);
  expect(failures[0]?.error).toBeInstanceOf(BrokerUnavailableError);
});

/** In the gate no more than show the promise. */
const MANY = process.env['ROGER_FAULTS'] === 'long' ? 100_000 : 20_000;

test(`enqueueMany takes ${MANY} jobs from a generator in bounded memory`, async () => {
  const partition = await declared();
  const { jobs, info } = await startApp({ connection, mode: 'producer' });
  const taken = new Kept();
  function* many(): Generator<{ n: number }> {
    for (let n = 0; n < MANY; n++) {
      if (n % (MANY / 10) === MANY / 10 - 1) taken.look();
      yield taken.watched({ n });
    }
  }
  const { enqueued, failures } = await jobs.enqueueMany(Idle, many(), { partition });
  expect({ enqueued, failures }).toEqual({ enqueued: MANY, failures: [] });
  expect((await info.queueDepth(partition, 'default'))?.ready).toBe(MANY);
  // A thousand are on their way at a time.
  expect(taken.most).toBeLessThan(4_000);
});
