// Partitions by the hundred start together, on as many connections as they need, and come back after a lost connection.
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

const MANY = 60;

test('hundreds of queues are served, each gets its jobs, and again after the connections were cut', async () => {
  const ids = Array.from({ length: MANY }, () => uniquePartition('t'));
  const sightings = new Sightings();
  const proxy = await TcpProxy.before(sharedBrokerUri());
  const app = await startApp({ connection: { uri: proxy.uri } }, [Work, sightings.of('node')]);
  for (const id of ids) void app.partitions.start(id, { default: 2, mail: 1 });
  for (const round of ['first', 'second']) {
    for (const id of ids) await served(app, id);
    const jobs = ids.map((partition) =>
      app.jobs.create(Work, {}, { partition, queue: 'mail', id: `${round}-${partition}` }),
    );
    expect((await app.jobs.enqueueMany(jobs)).failures).toEqual([]);
    await sightings.ended(jobs.map(({ id }) => id));
    if (round === 'first') proxy.cut();
  }
  await Promise.all(ids.map((id) => app.partitions.stop(id)));
  expect(app.partitions.ids).toEqual([]);
  await app.close();
  await proxy.close();
});
