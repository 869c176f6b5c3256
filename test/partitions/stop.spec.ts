// Three ways to stop a partition: with patience, without, and with all the time in the world. None loses a job.
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

async function nodes(shutdownTimeoutMs: number) {
  const [partition, neighbour] = [uniquePartition(), uniquePartition('neighbour')];
  const sightings = new Sightings();
  const node = await startApp(
    {
      connection,
      partitions: { [partition]: { default: 2 }, [neighbour]: { default: 1 } },
      shutdownTimeoutMs,
    },
    [Work, sightings.of('node')],
  );
  await served(node, partition);
  const heir = (): Promise<unknown> =>
    startApp({ connection, partitions: { [partition]: { default: 2 } } }, [Work, sightings.of('heir')]);
  return { partition, neighbour, sightings, node, heir };
}

test('a stop lets what runs end in time, and gives back what has not begun', async () => {
  const { partition, neighbour, sightings, node, heir } = await nodes(60_000);
  const held = ['held-1', 'held-2'];
  for (const id of held) await node.jobs.enqueue(Work, { isHeld: true }, { partition, id });
  await sightings.seen('began', 2);
  for (const id of ['next-1', 'next-2']) await node.jobs.enqueue(Work, {}, { partition, id });
  let isStopped = false;
  const stopped = node.partitions.stop(partition).then(() => (isStopped = true));
  expect(node.partitions.state(partition)).toEqual({ state: 'stopping' });
  expect(node.partitions.isRunning(partition)).toBe(false);

  // Another partition doesn't notice.
  await node.jobs.enqueue(Work, {}, { partition: neighbour, id: 'neighbour' });
  await sightings.ended(['neighbour']);
  expect(isStopped).toBe(false);
  sightings.release();
  await stopped;
  expect(sightings.ids('ended', 'node')).toEqual(expect.arrayContaining(held));
  expect(node.partitions.ids).toEqual([neighbour]);

  await heir();
  await sightings.ended(['next-1', 'next-2']);
  expect(sightings.repeated('began')).toEqual([]);
  expect(sightings.ids('aborted')).toEqual([]);
});

test('a stop aborts what does not end in time, and another node runs it', async () => {
  const { partition, sightings, node, heir } = await nodes(200);
  await node.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 1);
  await node.partitions.stop(partition);
  expect(sightings.whatOf('long')).toEqual(['began', 'aborted']);
  sightings.release();
  await heir();
  await sightings.ended(['long']);
  expect(sightings.ids('ended', 'node')).toEqual([]);
});

test('a forced stop hands back at once what runs, without a failed attempt', async () => {
  const { partition, sightings, node, heir } = await nodes(60_000);
  const ids = ['a', 'b', 'c'];
  for (const id of ids) await node.jobs.enqueue(Work, { isHeld: true }, { partition, id });
  await sightings.seen('began', 2);
  const begunAt = performance.now();
  await node.partitions.stop(partition, { force: true });
  expect(performance.now() - begunAt).toBeLessThan(15_000);
  expect(sightings.ids('aborted')).toHaveLength(2);
  expect(node.nodeInfo.runningJobs()).toEqual([]);
  sightings.release();
  await heir();
  await sightings.ended(ids);
  expect(sightings.all.filter(({ attempt }) => attempt !== 1)).toEqual([]);
});

test('a safe stop waits longer than shutdownTimeoutMs, and aborts nothing', async () => {
  const { partition, sightings, node } = await nodes(50);
  await node.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 1);
  const stopped = node.partitions.safeStop(partition);
  const status = () => node.partitions.queues(partition)[0];
  await eventually('no consumer to be left', () => status()?.consumers === 0);
  await node.jobs.enqueue(Work, {}, { partition, id: 'next' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(sightings.whatOf('long')).toEqual(['began']);
  expect(node.partitions.state(partition)).toEqual({ state: 'stopping' });
  sightings.release();
  await stopped;
  expect(sightings.whatOf('long')).toEqual(['began', 'ended']);
  expect(sightings.ids('began')).toEqual(['long']);
});

test('a stop that is under way ends sooner when a stricter one is asked for', async () => {
  const { partition, sightings, node } = await nodes(60_000);
  await node.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 1);
  const safe = node.partitions.safeStop(partition);
  await node.partitions.stop(partition, { force: true });
  await safe;
  expect(sightings.whatOf('long')).toEqual(['began', 'aborted']);
  expect(node.partitions.ids).not.toContain(partition);
});

test('a safe stop that is under way does not hold up the end of the app beyond shutdownTimeoutMs', async () => {
  const { partition, sightings, node } = await nodes(100);
  await node.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'long' });
  await sightings.seen('began', 1);
  const stopped = node.partitions.safeStop(partition);
  await node.close();
  await stopped;
  expect(sightings.whatOf('long')).toEqual(['began', 'aborted']);
});
