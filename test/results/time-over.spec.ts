// A wait ends with its time, or at the word of its signal; the job goes on, and can be waited for again.
import { InvalidArgumentError, JobNotFinishedError, RogerClosedError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };

async function start(sightings: Sightings, partition: string): Promise<TestApp> {
  const partitions = { [partition]: { default: 5 } };
  const providers = [ResultWork, sightings.of('one')];
  const app = await startApp({ connection, partitions, shutdownTimeoutMs: 0 }, providers);
  await served(app, partition);
  return app;
}

test('a wait ends with its time; a later one gets the result', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const { jobs } = await start(sightings, partition);
  const awaitable = { partition, awaitable: true } as const;
  const { finished } = await jobs.enqueue(ResultWork, { isHeld: true, gives: 5 }, awaitable);
  await expect(finished({ timeoutMs: 50 })).rejects.toBeInstanceOf(JobNotFinishedError);
  sightings.release();
  expect(await finished(soon)).toMatchObject({ value: 5 });
  // What is there takes no time.
  expect(await finished({ timeoutMs: 0 })).toMatchObject({ value: 5 });
});

test('a wait ends at the word of its signal', async () => {
  const partition = uniquePartition();
  const { jobs } = await start(new Sightings(), partition);
  const awaitable = { partition, awaitable: true } as const;
  const { finished } = await jobs.enqueue(ResultWork, { isHeld: true }, awaitable);
  const reason = new Error('the client has gone');
  await expect(finished({ ...soon, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const waiting = finished({ ...soon, signal: controller.signal });
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test('a wait without a time is refused', async () => {
  const partition = uniquePartition();
  const { jobs } = await start(new Sightings(), partition);
  const { finished } = await jobs.enqueue(ResultWork, {}, { partition, awaitable: true });
  await expect(finished(undefined as never)).rejects.toBeInstanceOf(InvalidArgumentError);
  await expect(finished({ timeoutMs: -1 })).rejects.toBeInstanceOf(InvalidArgumentError);
});

test('the end of the app ends the waits', async () => {
  const partition = uniquePartition();
  const producer = await startApp({ connection, mode: 'producer' });
  await start(new Sightings(), partition);
  const awaitable = { partition, awaitable: true } as const;
  const { finished } = await producer.jobs.enqueue(ResultWork, { isHeld: true }, awaitable);
  const waiting = finished(soon).catch((error: unknown) => error);
  await producer.close();
  expect(await waiting).toBeInstanceOf(RogerClosedError);
});
