// Results and progress promise the same in one process without a broker.
import { JobCancelledError, JobFailedError, MemoryBroker } from 'nestjs-roger';
import type { JobProgress } from 'nestjs-roger';
import { startApp } from '../support/app';
import { ResultOnce, ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';
import { Signals } from '../support/signal';
import { within } from '../support/within';

const partition = 'acme';
const partitions = { [partition]: { default: 5 } };
const soon = { timeoutMs: 5_000 };
const awaitable = { partition, awaitable: true } as const;

test.each([
  ['without keys', {}],
  ['with keys', { queueKey: 'q', executionKey: 'e' }],
])('a job %s is awaited on its own node and on another', async (_which, keys) => {
  const memory = new MemoryBroker();
  const sightings = new Sightings();
  const providers = [ResultWork, ResultOnce, sightings.of('one')];
  const worker = await startApp({ memory, partitions }, providers);
  const producer = await startApp({ memory, mode: 'producer' });
  for (const { jobs, globalState } of [worker, producer]) {
    const well = await jobs.enqueue(ResultWork, { gives: 3, failures: 1, ...keys }, awaitable);
    expect(await well.finished(soon)).toEqual({ value: 3, attempt: 2, node: 'one' });
    const once = await jobs.enqueue(ResultOnce, { failures: 1, ...keys }, awaitable);
    await expect(once.finished(soon)).rejects.toBeInstanceOf(JobFailedError);
    const held = await jobs.enqueue(ResultWork, { isHeld: true, ...keys }, awaitable);
    const outcome = held.finished(soon).catch((error: unknown) => error);
    await globalState.cancelJob(partition, held.job.id, { reason: 'enough' });
    expect(await outcome).toBeInstanceOf(JobCancelledError);
  }
});

test('progress is seen on another node', async () => {
  const memory = new MemoryBroker();
  const sightings = new Sightings();
  await startApp({ memory, partitions }, [ResultWork, sightings.of('one')]);
  const { jobs, info } = await startApp({ memory, mode: 'producer' });
  const told = new Signals<JobProgress>();
  const stop = info.onProgress(partition, 'j1', (progress) => {
    told.add(progress);
  });
  await jobs.enqueue(ResultWork, { steps: [1, 2, 100], isHeld: true }, { partition, id: 'j1' });
  const seen = await within('the first and the last step', told.count(2));
  expect(seen.map(({ value }) => value)).toEqual(expect.arrayContaining([100]));
  expect(await info.progress(partition, 'j1')).toMatchObject({ value: 100 });
  stop();
  sightings.release();
});
