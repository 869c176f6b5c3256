// A producer that has gone, or is cut off for a moment, costs the job nothing; one that comes back gets its outcome.
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';

const connection = { uri: sharedBrokerUri() };

test('a job whose producer has gone is done, once, and nothing is logged of it', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const worker = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await served(worker, partition);
  const producer = await startApp({ connection, mode: 'producer' });
  await producer.jobs.enqueue(ResultWork, { isHeld: true }, { partition, awaitable: true });
  await sightings.seen('began', 1);
  await producer.close();
  sightings.release();
  await eventually('it to be done', () => worker.partitions.queues(partition)[0]?.counts.done === 1);
  expect(worker.log.messages('warn', 'error')).toEqual([]);
});

test('a producer whose connection is cut at the wrong moment gets the outcome when it is back', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const worker = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await served(worker, partition);
  const proxy = await TcpProxy.before(connection.uri);
  try {
    const producer = await startApp({ connection: { uri: proxy.uri }, mode: 'producer' });
    const awaitable = { partition, awaitable: true } as const;
    const { finished } = await producer.jobs.enqueue(ResultWork, { isHeld: true, gives: 1 }, awaitable);
    await sightings.seen('began', 1);
    const outcome = finished({ timeoutMs: 15_000 });
    await proxy.refuse();
    sightings.release();
    await eventually('it to be done', () => worker.partitions.queues(partition)[0]?.counts.done === 1);
    await proxy.admit();
    expect(await outcome).toMatchObject({ value: 1 });
    await producer.close();
  } finally {
    await proxy.close();
  }
});
