// A queue that gets its express lane, with its first jobs in line for a key, is served all the time.
import { served, startApp } from '../support/app';
import { KeyedWork, KEYED } from '../support/keyed-work';
import { keyedPartition } from '../support/keyed-partition';
import { Sightings } from '../support/sightings';

test('a partition runs on while the first jobs with one execution key go by the express lane', async () => {
  const { partition, worker } = keyedPartition({ default: 2, mail: 2 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('one')]);
  await served(app, partition);
  const waits: string[] = [];
  let looks = 0;
  let isOver = false;
  const look = async (): Promise<void> => {
    while (!isOver) {
      looks++;
      // What health is told by, too; asked at every turn, for it takes but a few.
      const state = app.partitions.state(partition);
      if (state.state === 'waiting') waits.push(state.reason.message);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const looking = look();
  // One node runs those of one queue after each other by itself; here each releases one of the other queue.
  const ids = ['first', 'second', 'third', 'fourth'];
  for (const [index, id] of ids.entries()) {
    const queue = index % 2 === 0 ? 'default' : 'mail';
    await app.jobs.enqueue(KeyedWork, { executionKey: 'one', isHeld: index === 0 }, { partition, id, queue });
  }
  sightings.release();
  await sightings.ended(ids);
  isOver = true;
  await looking;
  expect(waits).toEqual([]);
  expect(looks).toBeGreaterThan(10);
});
