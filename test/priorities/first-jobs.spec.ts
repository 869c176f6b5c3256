// The first jobs of many priorities at once: each makes its lane on the broker, and no worker takes from it too early.
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const QUEUES = 5;

test('the first jobs of all priorities of some queues, all at the same time, are enqueued and run', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const queues = Array.from({ length: QUEUES }, (_, n) => `q${n}`);
  const app = await startApp(
    {
      connection: { uri: sharedBrokerUri() },
      partitions: { [partition]: Object.fromEntries(queues.map((queue) => [queue, 2])) },
    },
    [Work, sightings.of('node')],
  );
  await served(app, partition);
  const jobs = queues.flatMap((queue) =>
    Array.from({ length: 9 }, (_, n) => ({ queue, priority: n + 1, id: `${queue}-p${n + 1}` })),
  );
  const outcomes = await Promise.allSettled(
    jobs.map((job) => app.jobs.enqueue(Work, {}, { partition, ...job })),
  );
  expect(outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))).toEqual([]);
  await sightings.ended(jobs.map(({ id }) => id));
});
