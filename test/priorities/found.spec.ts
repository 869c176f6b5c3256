// A job on a lane that nobody had before is found at once by workers of other processes; none waits for news that got lost.
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
/** The bound is 10 s; usually it is milliseconds. */
const BOUND_MS = 10_000;

test('by a worker that runs already, with a job without keys, from a process that only enqueues', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 5 } } };
  await ChildApp.start({ node: 'worker', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' }, [Work, sightings.of('producer')]);
  for (const [id, order] of [
    ['a', { priority: 9 }],
    ['b', { runNow: true }],
    ['c', { priority: 1, delayMs: 1_000 }],
  ] as const) {
    await jobs.enqueue(Work, {}, { partition, id, ...order });
    await eventually(`job ${id} to end`, () => ended(sightings, id), BOUND_MS);
  }
});

test('by a worker that starts later', async () => {
  const partition = uniquePartition();
  const roger = { connection, partitions: { [partition]: { default: 5 } } };
  const first = await startApp(roger, [Work, new Sightings().of('first')]);
  await served(first, partition);
  await first.close();
  const { jobs } = await startApp({ connection, mode: 'producer' }, [Work, new Sightings().of('producer')]);
  await jobs.enqueue(Work, {}, { partition, id: 'a', priority: 3 });
  const sightings = new Sightings();
  await startApp(roger, [Work, sightings.of('second')]);
  await eventually('the job to end', () => ended(sightings, 'a'), BOUND_MS);
});

function ended(sightings: Sightings, id: string): boolean {
  return sightings.all.some((one) => one.id === id && one.what === 'ended');
}
