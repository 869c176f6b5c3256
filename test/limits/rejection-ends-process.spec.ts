// Where unhandled rejections are left to Node, the job whose rejection ends its process takes no other job with it.
import { startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

test('a process that ends by the rejection of one job loses none of those it had', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = {
    connection: { uri: sharedBrokerUri() },
    partitions: { [partition]: { default: 10 } },
    unhandledRejections: 'leave',
  } as const;
  const { jobs } = await startApp({ ...roger, mode: 'producer' });
  const enqueue = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) await jobs.enqueue(Work, { isHeld: true }, { partition, id });
  };
  const running = Array.from({ length: 9 }, (_, n) => `running-${n}`);
  const queued = Array.from({ length: 20 }, (_, n) => `queued-${n}`);
  await enqueue(running);
  const child = await ChildApp.start({ node: 'child', roger, sightings });
  await sightings.seen('began', 9, 'child');
  await jobs.enqueue(Work, { rejectsOn: 'child' }, { partition, id: 'careless' });
  await enqueue(queued);
  const { code } = await child.gone();
  expect(code).not.toBe(0);
  expect(child.errorOutput).toContain('left by careless');

  await startApp(roger, [Work, sightings.of('heir')]);
  sightings.release();
  await sightings.ended([...running, ...queued, 'careless']);
});
