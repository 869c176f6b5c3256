// Whoever awaits a job is told of its final outcome, not of each attempt's.
import { JobFailedError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultOnce, ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };

let partition: string;
let app: TestApp;

beforeEach(async () => {
  partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  app = await startApp({ connection, partitions }, [ResultWork, ResultOnce, sightings.of('one')]);
});

test.each([
  ['without keys', {}],
  ['with keys', { queueKey: 'q', executionKey: 'e' }],
])('a job %s that fails and then succeeds gives the result of its last attempt', async (_which, keys) => {
  const args = { gives: 'x', failures: 1, ...keys };
  const { finished } = await app.jobs.enqueue(ResultWork, args, { partition, awaitable: true });
  expect(await finished(soon)).toEqual({ value: 'x', attempt: 2, node: 'one' });
});

test.each([
  ['without keys', {}],
  ['with keys', { queueKey: 'q', executionKey: 'e' }],
])('a job %s that is buried is a JobFailedError with its last error', async (_which, keys) => {
  const args = { failures: 9, ...keys };
  const { finished, job } = await app.jobs.enqueue(ResultWork, args, { partition, awaitable: true });
  const error: unknown = await finished(soon).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(JobFailedError);
  expect(error).toMatchObject({
    jobId: job.id,
    outcome: 'buried',
    reason: { type: 'RangeError', message: 'failure 2' },
    attempts: 2,
  });
});

test('a job that is not retried is a JobFailedError at once', async () => {
  const { finished } = await app.jobs.enqueue(ResultOnce, { failures: 1 }, { partition, awaitable: true });
  await expect(finished(soon)).rejects.toMatchObject({
    code: 'ROGER_JOB_FAILED',
    outcome: 'failed',
    reason: { type: 'RangeError', message: 'failure 1' },
    attempts: 1,
  });
});
