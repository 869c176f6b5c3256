// Where there is no result to be had, whoever awaits it is told so at once; the job is done all the same.
import type { EnqueueOptions } from 'nestjs-roger';
import { InvalidEnqueueOptionsError, JobResultUnavailableError, NotConnectedError } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };

test.each([
  ['is larger than 256 KiB', { length: 256 * 1024 }, 'more than 262144'],
  ['has no place in JSON', { isForeign: true }, 'result.value: a Map would not come out the same'],
])('a result that %s', async (_what, args, problem) => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const app = await startApp({ connection, partitions }, [ResultWork, new Sightings().of('one')]);
  const { finished } = await app.jobs.enqueue(ResultWork, args, { partition, awaitable: true });
  const error: unknown = await finished(soon).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(JobResultUnavailableError);
  expect((error as Error).message).toContain(problem);
  await eventually('it to count as done', () => app.partitions.queues(partition)[0]?.counts.done === 1);
});

test('a duplicate has no result, for another job has its queue key', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const { jobs } = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  const awaitable = { partition, awaitable: true } as const;
  const args = { queueKey: 'q', isHeld: true, gives: 1 };
  const first = await jobs.enqueue(ResultWork, args, { ...awaitable, id: 'first' });
  const second = await jobs.enqueue(ResultWork, args, awaitable);
  expect(second.status).toBe('duplicate');
  await expect(second.finished(soon)).rejects.toThrow('"first" has its queue key');
  sightings.release();
  expect(await first.finished(soon)).toMatchObject({ value: 1 });
});

test('nothing is enqueued when no outcome could come', async () => {
  const options = { connection: { uri: NO_BROKER_URI }, mode: 'producer', enqueueTimeoutMs: 300 } as const;
  const { jobs } = await startApp(options);
  const awaitable = { partition: 'acme', awaitable: true } as const;
  await expect(jobs.enqueue(ResultWork, {}, awaitable)).rejects.toBeInstanceOf(NotConnectedError);
});

test('only enqueue of a class takes `awaitable`', async () => {
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const options: EnqueueOptions = { partition: 'acme', awaitable: true };
  expect(() => jobs.create(ResultWork, {}, options)).toThrow(InvalidEnqueueOptionsError);
  const { failures } = await jobs.enqueueMany(ResultWork, [{}], options);
  expect(failures[0]?.error).toBeInstanceOf(InvalidEnqueueOptionsError);
  await expect(jobs.enqueue(ResultWork, {}, { partition: 'acme', awaitable: 1 as never })).rejects.toThrow(
    'awaitable: 1 is not true or false',
  );
});
