// A worker process that dies without a word loses no job, and others take its jobs over at once.
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

test('a job whose worker process is killed in mid-job runs again in another process within a second', async () => {
  const tookMs: number[] = [];
  for (let kill = 1; kill <= 3; kill++) tookMs.push(await takeOverMs());
  // The fastest: this machine may have been busy with something else during the others.
  expect(Math.min(...tookMs)).toBeLessThan(1_000);
});

/** How long it takes from the death of a worker to the next run of its job. */
async function takeOverMs(): Promise<number> {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 0 };
  const doomed = await ChildApp.start({ node: 'doomed', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 1, 'doomed');
  await served(await startApp(roger, [Work, sightings.of('heir')]), partition);

  const killedAt = performance.now();
  await doomed.kill('SIGKILL');
  const [began] = await sightings.seen('began', 1, 'heir');
  const tookMs = performance.now() - killedAt;
  expect(began).toMatchObject({ id: 'long', attempt: 1 });
  return tookMs;
}

test('of a load whose workers are killed one after the other every job ends, and only theirs run twice', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 5 } } };
  const start = (node: string): Promise<ChildApp> => ChildApp.start({ node, roger, sightings });
  const [first, second] = await Promise.all([start('first'), start('second')]);
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const ids: string[] = [];
  /** More, so that there is a load whenever a worker is killed, however long the last one took to die. */
  const enqueueMore = async (): Promise<void> => {
    const more = Array.from({ length: 500 }, (_, n) => `job-${ids.length + n}`);
    await Promise.all(more.map((id) => jobs.enqueue(Work, { ms: 10 }, { partition, id })));
    ids.push(...more);
  };
  const endedOn = (node: string): number => sightings.ids('ended', node).length;

  await enqueueMore();
  await sightings.seen('ended', 50, 'first');
  await first.kill('SIGKILL');
  await enqueueMore();
  await sightings.seen('ended', endedOn('second') + 50, 'second');
  await second.kill('SIGKILL');
  await enqueueMore();
  await startApp(roger, [Work, sightings.of('third')]);
  await sightings.ended(ids, 60_000);

  const ofTheKilled = new Set([...sightings.ids('began', 'first'), ...sightings.ids('began', 'second')]);
  expect(sightings.repeated('began').filter((id) => !ofTheKilled.has(id))).toEqual([]);
  expect(sightings.peak('third')).toBe(5);
});
