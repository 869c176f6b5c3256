// What was cancelled and paused before a partition started here holds for it from its first moment.
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

test('a partition that starts at run time begins nothing that is cancelled or paused, and hears of what comes', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const namespace = uniquePartition('ns');
  const desk = await startApp({
    connection,
    namespace,
    mode: 'producer',
    partitions: { [partition]: { default: 1, mail: 1 } },
  });
  const node = await startApp({ connection, namespace }, [Work, sightings.of('node')]);
  // Its ledger is known to the node already, by a neighbour, or it is not.
  for (const neighbours of [8, 0]) {
    for (let n = 0; n < neighbours; n++) await node.partitions.start(`neighbour-${n}`, { default: 1 });
    await desk.globalState.pauseQueue(partition, 'mail');
    await desk.jobs.enqueue(Work, {}, { partition, id: `cancelled-${neighbours}` });
    await desk.globalState.cancelJob(partition, `cancelled-${neighbours}`);
    await desk.jobs.enqueue(Work, {}, { partition, queue: 'mail', id: `paused-${neighbours}` });

    expect(await node.partitions.start(partition, { default: 1, mail: 1 })).toEqual({ state: 'running' });
    await desk.jobs.enqueue(Work, {}, { partition, id: `later-${neighbours}` });
    await sightings.ended([`later-${neighbours}`]);
    expect(node.partitions.queues(partition)).toMatchObject([
      { queue: 'default', paused: false, consumers: 1, counts: { cancelled: 1 } },
      { queue: 'mail', paused: true, consumers: 0 },
    ]);
    expect((await desk.globalState.resumeQueue(partition, 'mail')).missing).toEqual([]);
    await sightings.ended([`paused-${neighbours}`]);
    for (const id of node.partitions.ids) await node.partitions.stop(id);
    await eventually('all to be gone', () => node.partitions.ids.length === 0);
  }
  expect(sightings.ids('began').filter((id) => id.startsWith('cancelled'))).toEqual([]);
});
