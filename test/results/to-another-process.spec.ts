// What a job returns comes to whoever awaits it, whichever process runs it.
import { startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };

test('a producer gets the result of a job that another process runs, with keys and without', async () => {
  const partition = uniquePartition();
  const roger = { connection, partitions: { [partition]: { default: 5 } } };
  await ChildApp.start({ node: 'worker', roger, sightings: new Sightings() });
  const { jobs } = await startApp({ connection, mode: 'producer' });

  const gives = { text: 'Größe 5', list: [1, null] };
  const plain = await jobs.enqueue(ResultWork, { gives }, { partition, awaitable: true });
  expect(await plain.finished(soon)).toEqual({ value: gives, attempt: 1, node: 'worker' });
  expect(await plain.finished(soon)).toMatchObject({ value: gives });

  const keys = { queueKey: 'q', executionKey: 'e' };
  const keyed = await jobs.enqueue(ResultWork, { gives: 7, ...keys }, { partition, awaitable: true });
  expect(await keyed.finished(soon)).toEqual({ value: 7, attempt: 1, node: 'worker' });
});

test('each of many jobs at once has its own result', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 20 } };
  const sightings = new Sightings();
  const { jobs } = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  const results = await Promise.all(
    numbers.map(async (gives) => {
      const executionKey = `key ${gives % 5}`;
      const args = gives % 2 === 0 ? { gives } : { gives, executionKey };
      const { finished } = await jobs.enqueue(ResultWork, args, { partition, awaitable: true });
      return finished(soon);
    }),
  );
  expect(results.map(({ value }) => value)).toEqual(numbers);
});
