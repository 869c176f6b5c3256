// Whoever awaits a job that is cancelled learns of it, and why.
import { JobCancelledError } from 'nestjs-roger';
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };

test.each([
  ['without keys', {}],
  ['with keys', { queueKey: 'q', executionKey: 'e' }],
])('a running job %s that is cancelled', async (_which, keys) => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  const { jobs, globalState } = app;
  const args = { isHeld: true, ...keys };
  const { finished, job } = await jobs.enqueue(ResultWork, args, { partition, awaitable: true });
  await sightings.seen('began', 1);
  const outcome = finished(soon).catch((error: unknown) => error);
  await globalState.cancelJob(partition, job.id, { reason: 'too late' });
  const error = await outcome;
  expect(error).toBeInstanceOf(JobCancelledError);
  expect(error).toMatchObject({ reason: 'too late' });
});

test.each([
  ['without keys', {}],
  ['with a queue key', { queueKey: 'q' }],
  ['with an execution key', { executionKey: 'e' }],
])('a job %s that is cancelled before it begins', async (_which, keys) => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 1 } };
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await served(app, partition);
  const { jobs, globalState } = app;
  await jobs.enqueue(ResultWork, { isHeld: true, ...('executionKey' in keys ? keys : {}) }, { partition });
  await sightings.seen('began', 1);
  const { finished, job } = await jobs.enqueue(ResultWork, keys, { partition, awaitable: true });
  await globalState.cancelJob(partition, job.id);
  sightings.release();
  await expect(finished(soon)).rejects.toBeInstanceOf(JobCancelledError);
});
