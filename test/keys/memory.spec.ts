// Keys, cancels and pauses promise the same in one process without a broker, and a persister carries them over a restart.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RogerModuleOptions } from 'nestjs-roger';
import { FileStatePersister, LedgerUnavailableError, MemoryBroker } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const partition = 'acme';
const partitions = { [partition]: { default: 5 } };

async function start(sightings: Sightings, more: RogerModuleOptions = {}): Promise<TestApp> {
  const app = await startApp({ partitions, ...more }, [...KEYED, sightings.of('app')]);
  await served(app, partition);
  return app;
}

test('a queue key is held while its job exists, and free when it is over', async () => {
  const sightings = new Sightings();
  const { jobs } = await start(sightings);
  const args = { queueKey: 'key', isHeld: true, failures: 1 };
  const enqueue = (id: string) => jobs.enqueue(KeyedWork, args, { partition, id });
  const duplicate = { status: 'duplicate', existingJobId: 'holder' };
  expect(await enqueue('holder')).toMatchObject({ status: 'enqueued' });
  expect(await enqueue('holder')).toMatchObject({ status: 'enqueued' });
  expect(await enqueue('while-queued')).toMatchObject(duplicate);
  await sightings.seenOf('holder', 'began');
  expect(await enqueue('while-running')).toMatchObject(duplicate);
  sightings.release();
  await sightings.seenOf('holder', 'failed');
  expect(await enqueue('while-retrying')).toMatchObject(duplicate);
  await sightings.ended(['holder']);
  await eventually('the key to be free', async () => (await enqueue('later')).status === 'enqueued');
  expect(sightings.whatOf('holder')).toEqual(['began', 'failed', 'began', 'ended']);
});

test('jobs of one execution key run one at a time, in order and under growing fences', async () => {
  const sightings = new Sightings();
  const { jobs } = await start(sightings);
  const ids = Array.from({ length: 300 }, (_, n) => `${n % 3}/${Math.floor(n / 3)}`);
  const result = await jobs.enqueueMany(
    ids.map((id) => jobs.create(KeyedWork, { executionKey: id.charAt(0), ms: 1 }, { partition, id })),
  );
  expect(result.enqueued).toBe(ids.length);
  await sightings.ended(ids);
  for (const key of ['0', '1', '2']) {
    const isOfKey = (id: string): boolean => id.startsWith(key);
    expect(sightings.peakOf(isOfKey)).toBe(1);
    const begun = sightings.inOrder().filter(({ what, id }) => what === 'began' && isOfKey(id));
    expect(begun.map(({ id }) => id)).toEqual(ids.filter(isOfKey));
    const fences = begun.map(({ fence }) => fence ?? 0);
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
  }
});

test('a cancel stops what runs and keeps from running what has not begun', async () => {
  const sightings = new Sightings();
  const { jobs, globalState } = await start(sightings);
  await jobs.enqueue(KeyedWork, { executionKey: 'line', isHeld: true }, { partition, id: 'running' });
  await jobs.enqueue(Work, { isHeld: true }, { partition, id: 'unkeyed' });
  await sightings.seenOf('running', 'began');
  await sightings.seenOf('unkeyed', 'began');
  await jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id: 'waiting' });
  await jobs.enqueue(KeyedWork, { executionKey: 'line' }, { partition, id: 'next' });
  const cancel = async (id: string): Promise<string> =>
    (await globalState.cancelJob(partition, id, { reason: 'enough' })).met;
  expect(await cancel('waiting')).toBe('waiting');
  expect(await cancel('running')).toBe('running');
  expect(await cancel('unkeyed')).toBe('running');
  expect(await cancel('nobody')).toBe('unseen');
  for (const id of ['waiting', 'running', 'unkeyed']) {
    expect(await sightings.seenOf(id, 'cancelled')).toMatchObject({ reason: 'enough' });
  }
  await sightings.ended(['next']);
  expect(sightings.whatOf('waiting')).toEqual(['cancelled']);
  expect(sightings.whatOf('running')).toEqual(['began', 'aborted', 'cancelled']);
  expect(sightings.whatOf('unkeyed')).toEqual(['began', 'aborted', 'cancelled']);
});

test('a paused queue begins nothing until it is resumed', async () => {
  const sightings = new Sightings();
  const {
    jobs,
    globalState,
    partitions: service,
  } = await start(sightings, {
    partitions: { [partition]: { default: 5, mail: 5 } },
  });
  await globalState.pauseQueue(partition, 'default');
  expect(await globalState.pausedQueues(partition)).toEqual(['default']);
  await jobs.enqueue(Work, {}, { partition, id: 'held-up' });
  await jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition, id: 'held-up-too' });
  await jobs.enqueue(Work, {}, { partition, queue: 'mail', id: 'mail' });
  await sightings.ended(['mail']);
  expect(sightings.ids('began')).toEqual(['mail']);
  await globalState.resumeQueue(partition, 'default');
  await sightings.ended(['held-up', 'held-up-too']);
  service.pauseAll(partition);
  await jobs.enqueue(Work, {}, { partition, id: 'later' });
  service.resume(partition);
  await sightings.ended(['later']);
});

test('who takes a ledger over has little to read where there is little to remember', async () => {
  const memory = new MemoryBroker();
  const app = await startApp({ memory, mode: 'producer', ledgerShards: 1, partitions });
  // One by one: what comes together is logged together.
  for (let n = 0; n < 5_000; n++) await app.jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition });
  let records = 0;
  const member = { onRecord: () => records++, onRequest: () => undefined, onLost: () => undefined };
  memory.findLedger(0)?.join({ nodeId: 'successor', member });
  await app.close();
  await eventually('the successor to be given the log', () => records > 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(records).toBeLessThan(2_500);
});

describe('with a FileStatePersister', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'roger-state-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const persister = (): FileStatePersister => new FileStatePersister({ directory });

  async function stateFile(): Promise<string> {
    const [name, ...others] = await readdir(directory);
    expect(others).toEqual([]);
    return join(directory, name ?? 'no file');
  }

  test('a paused queue and a cancelled id outlive the restart of the app', async () => {
    const sightings = new Sightings();
    const first = await start(sightings, { persister: persister() });
    await first.globalState.pauseQueue(partition, 'default');
    await first.globalState.cancelJob(partition, 'doomed', { reason: 'before' });
    await first.close();

    const second = await start(sightings, { persister: persister() });
    expect(await second.globalState.pausedQueues(partition)).toEqual(['default']);
    expect(await second.globalState.isCancelled(partition, 'doomed')).toBe(true);
    await second.jobs.enqueue(Work, {}, { partition, id: 'doomed' });
    await second.jobs.enqueue(Work, {}, { partition, id: 'other' });
    expect(sightings.ids('began')).toEqual([]);
    await second.globalState.resumeQueue(partition, 'default');
    await sightings.ended(['other']);
    expect(await sightings.seenOf('doomed', 'cancelled')).toMatchObject({ reason: 'before' });
    expect(sightings.whatOf('doomed')).toEqual(['cancelled']);
  });

  test('a paused queue is paused after a restart from the first moment, with nobody asking', async () => {
    const sightings = new Sightings();
    const first = await start(sightings, { persister: persister() });
    await first.globalState.pauseQueue(partition, 'default');
    await first.close();

    const second = await start(sightings, { persister: persister() });
    await second.jobs.enqueue(Work, {}, { partition, id: 'held-up' });
    await eventually('the pause to be known', () => second.partitions.queues(partition)[0]?.paused === true);
    expect(sightings.ids('began')).toEqual([]);
  });

  test('a state file that was cut off is refused, and its ledger answers nobody, rather than begin with nothing', async () => {
    const sightings = new Sightings();
    const first = await start(sightings, { persister: persister() });
    await first.globalState.pauseQueue(partition, 'default');
    await first.close();
    const path = await stateFile();
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, whole.length - 5));

    const second = await startApp({ partitions, persister: persister(), ledgerTimeoutMs: 500 }, [
      ...KEYED,
      sightings.of('second'),
    ]);
    const enqueued = second.jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition });
    const error = await enqueued.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(LedgerUnavailableError);
    const said = second.log.messages('error').filter((line) => line.includes("can't be kept"));
    expect(said[0]).toContain(path);
    // Once, not as often as somebody asks.
    expect(said.length).toBeLessThan(3);
    // What was paused may not run, and that is not known.
    await second.jobs.enqueue(Work, {}, { partition, id: 'unkeyed' });
    expect(second.partitions.isRunning(partition)).toBe(false);
    expect(sightings.ids('began')).toEqual([]);
    await second.close();
    expect(await readFile(path)).toEqual(whole.subarray(0, whole.length - 5));

    await writeFile(path, whole);
    const third = await start(sightings, { persister: persister() });
    expect(await third.globalState.pausedQueues(partition)).toEqual(['default']);
  });
});
