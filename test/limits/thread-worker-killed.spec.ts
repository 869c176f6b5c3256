// A worker process that dies while its threads run loses no job: they run again on another node.
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Told } from '../support/stubborn';
import { THREADED, Threaded, THREADS } from '../support/thread-jobs';

test('jobs whose process is killed while they run in threads run again in the threads of another', async () => {
  const partition = uniquePartition();
  const roger = {
    connection: { uri: sharedBrokerUri() },
    threads: THREADS,
    partitions: { [partition]: { default: 2 } },
  };
  const doomed = await ChildApp.start({ node: 'doomed', roger, sightings: new Sightings() });
  const producer = await startApp({ ...roger, mode: 'producer' }, [...THREADED, Told]);
  const enqueue = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) await producer.jobs.enqueue(Threaded, { does: 'linger' }, { partition, id });
  };
  const begun = (count: number): Promise<void> =>
    eventually(
      `${count} to have begun`,
      () => doomed.lines.filter((line) => /began$/.test(line)).length >= count,
    );
  // A thread boots with its first job, which may take longer than that of the other thread lasts.
  await enqueue(['warm-1', 'warm-2']);
  await begun(2);
  const ids = ['first', 'second', 'third'];
  await enqueue(ids);
  await begun(4);
  await doomed.kill('SIGKILL');

  const heir = await startApp(roger, [...THREADED, Told]);
  await served(heir, partition);
  const told = heir.app.get(Told);
  const done = (): string[] => told.done.filter((id) => ids.includes(id));
  await eventually('all to end', () => done().length >= ids.length, 60_000);
  expect(done().sort()).toEqual([...ids].sort());
  expect(told.errors).toEqual([]);
});
