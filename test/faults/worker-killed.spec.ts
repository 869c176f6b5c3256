// A worker process that dies without a word loses no job, and others take its jobs over at once.
import { startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

test('a job whose worker process is killed in mid-job runs again in another process within a second', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 0 };
  const doomed = await ChildApp.start({ node: 'doomed', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { ms: 60_000 }, { partition, id: 'long' });
  await sightings.seen('began', 1, 'doomed');
  await startApp(roger, [Work, sightings.of('heir')]);

  const killedAt = performance.now();
  await doomed.kill('SIGKILL');
  const [began] = await sightings.seen('began', 1, 'heir');
  expect(performance.now() - killedAt).toBeLessThan(1_000);
  expect(began).toMatchObject({ id: 'long', attempt: 1 });
});

test('of a load whose workers are killed one after the other every job ends, and only theirs run twice', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 5 } } };
  const start = (node: string): Promise<ChildApp> => ChildApp.start({ node, roger, sightings });
  const [first, second] = await Promise.all([start('first'), start('second')]);
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const ids = Array.from({ length: 600 }, (_, n) => `job-${n}`);
  await Promise.all(ids.map((id) => jobs.enqueue(Work, { ms: 10 }, { partition, id })));

  await sightings.seen('ended', 50, 'first');
  await first.kill('SIGKILL');
  await sightings.seen('ended', 150, 'second');
  await second.kill('SIGKILL');
  await startApp(roger, [Work, sightings.of('third')]);
  await sightings.ended(ids);

  const ofTheKilled = new Set([...sightings.ids('began', 'first'), ...sightings.ids('began', 'second')]);
  expect(sightings.repeated('began').filter((id) => !ofTheKilled.has(id))).toEqual([]);
  expect(sightings.peak('third')).toBe(5);
});
