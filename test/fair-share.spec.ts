// Jobs of one queue go to whichever node has a free worker, and no node runs more than its own maxWorkers.
import { eventually, served, startApp } from './support/app';
import { sharedBrokerUri, uniquePartition } from './support/broker';
import { Sightings } from './support/sightings';
import { Work } from './support/work';

const connection = { uri: sharedBrokerUri() };

async function node(partition: string, maxWorkers: number, name: string, sightings: Sightings) {
  const app = await startApp({ connection, partitions: { [partition]: { default: maxWorkers } } }, [
    Work,
    sightings.of(name),
  ]);
  await served(app, partition);
  return app;
}

test('each node runs as many jobs at once as its own maxWorkers, and no more, however quick they are', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  await node(partition, 2, 'small', sightings);
  await node(partition, 7, 'large', sightings);
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const ids = Array.from({ length: 1_000 }, (_, n) => `job-${n}`);
  await Promise.all(ids.map((id) => jobs.enqueue(Work, { ms: 5 }, { partition, id })));
  await sightings.ended(ids);
  expect(sightings.peak('small')).toBe(2);
  expect(sightings.peak('large')).toBe(7);
  expect(sightings.repeated('began')).toEqual([]);
});

test('while one node is busy with long jobs, another takes all the rest', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const busy = await node(partition, 2, 'busy', sightings);
  await busy.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long-1' });
  await busy.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long-2' });
  await sightings.seen('began', 2, 'busy');

  await node(partition, 1, 'idle', sightings);
  const ids = Array.from({ length: 50 }, (_, n) => `job-${n}`);
  await Promise.all(ids.map((id) => busy.jobs.enqueue(Work, { ms: 5 }, { partition, id })));
  await sightings.ended(ids);
  expect(sightings.ids('ended', 'idle')).toHaveLength(50);
  sightings.release();
  await sightings.ended(['long-1', 'long-2']);
});

test('when the jobs turn long, a node gives back those at hand to one that is idle', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const hoarder = await node(partition, 1, 'hoarder', sightings);
  // Quick ones first, so that the node keeps a store at hand …
  const quick = Array.from({ length: 500 }, (_, n) => `quick-${n}`);
  await Promise.all(quick.map((id) => hoarder.jobs.enqueue(Work, {}, { partition, id })));
  await sightings.ended(quick);
  // … then one that blocks it, with others behind.
  await hoarder.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 501, 'hoarder');
  const behind = Array.from({ length: 20 }, (_, n) => `behind-${n}`);
  await Promise.all(behind.map((id) => hoarder.jobs.enqueue(Work, {}, { partition, id })));
  // The confirms and the deliveries come over two connections, in any order.
  const atHand = (): number => hoarder.partitions.queues(partition)[0]?.atHand ?? 0;
  await eventually('jobs to be at hand', () => atHand() > 0);

  await node(partition, 1, 'idle', sightings);
  await sightings.ended(behind);
  expect(sightings.ids('ended', 'idle')).toHaveLength(20);
  expect(sightings.ids('ended')).not.toContain('long');
  sightings.release();
  await sightings.ended(['long']);
  expect(sightings.repeated('began')).toEqual([]);
});

test('jobs of one partition never wait for those of another', async () => {
  const [flooded, quiet] = [uniquePartition('flooded'), uniquePartition('quiet')];
  const sightings = new Sightings();
  const app = await startApp(
    { connection, partitions: { [flooded]: { default: 2 }, [quiet]: { default: 1 } } },
    [Work, sightings.of('node')],
  );
  await served(app, flooded);
  await served(app, quiet);
  const flood = Array.from({ length: 400 }, (_, n) => `flood-${n}`);
  await Promise.all(flood.map((id) => app.jobs.enqueue(Work, { isHeld: true }, { partition: flooded, id })));
  await app.jobs.enqueue(Work, {}, { partition: quiet, id: 'quiet' });
  await sightings.ended(['quiet']);
  sightings.release();
  await sightings.ended(flood);
});

test('jobs of one partition are taken at their pace while another is enqueued to in bulk', async () => {
  const [bulk, other] = [uniquePartition('bulk'), uniquePartition('other')];
  const partitions = { [bulk]: { default: 1 }, [other]: { default: 1 } };
  const { jobs } = await startApp({ connection, mode: 'producer', partitions });
  const enqueueMany = (partition: string, count: number) =>
    jobs.enqueueMany(Array.from({ length: count }, () => jobs.create(Work, {}, { partition })));
  await Promise.all([enqueueMany(bulk, 1), enqueueMany(other, 1)]);
  let [inBulk, isOver] = [0, false];
  const enqueueInBulk = async (): Promise<void> => {
    while (!isOver) {
      await enqueueMany(bulk, 500);
      inBulk += 500;
    }
  };
  const bulks = Promise.all(Array.from({ length: 4 }, enqueueInBulk));
  await eventually('the bulk to be under way', () => inBulk >= 2_000);
  const before = inBulk;
  const { failures } = await enqueueMany(other, 500);
  const meanwhile = inBulk - before;
  isOver = true;
  await bulks;
  expect(failures).toHaveLength(0);
  // What was sent before them goes first; one at a time, between hundreds of the others, they would wait for 20 000 or more.
  expect(meanwhile).toBeLessThan(10_000);
});
