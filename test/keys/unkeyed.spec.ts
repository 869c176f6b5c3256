// Jobs without keys never touch a ledger.
import type { ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri } from '../support/broker';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { queueIsThere } from '../support/queue-is-there';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const LEDGERS = 8;
let observer: ChannelModel;

beforeAll(async () => {
  observer = await connect(sharedBrokerUri());
});
afterAll(() => observer.close());

/** Those of the queues that exist. */
async function existing(names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    if (await queueIsThere(observer, name)) found.push(name);
  }
  return found;
}

async function deleteQueue(name: string): Promise<number> {
  const channel = await observer.createChannel();
  const { messageCount } = await channel.deleteQueue(name);
  await channel.close();
  return messageCount;
}

test('a thousand jobs without keys run, and no ledger exists', async () => {
  const { partition, worker } = keyedPartition({ default: 20 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  const ids = Array.from({ length: 1_000 }, (_, n) => `job-${n}`);
  await app.jobs.enqueueMany(
    ids.map((id, n) => app.jobs.create(Work, { failures: n % 100 === 0 ? 1 : 0 }, { partition, id })),
  );
  await sightings.ended(ids);
  const ledgers = Array.from({ length: LEDGERS }, (_, n) => `${partition}.roger.ledger.${n}`);
  expect(await existing([...ledgers, ...ledgers.map((name) => `${name}.log`)])).toEqual([]);
});

test('where there is a ledger, a thousand jobs without keys leave no record in its log', async () => {
  const { partition, worker } = keyedPartition({ default: 20 });
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  await app.jobs.enqueue(KeyedWork, { queueKey: 'key' }, { partition, id: 'keyed' });
  await sightings.ended(['keyed']);
  await eventually('its end to be known', async () => {
    return (await app.globalState.isQueued(partition, 'key')) === undefined;
  });
  const ids = Array.from({ length: 1_000 }, (_, n) => `job-${n}`);
  await app.jobs.enqueueMany(ids.map((id) => app.jobs.create(Work, {}, { partition, id })));
  await sightings.ended(ids);
  await app.close();

  const logs = await existing(
    Array.from({ length: LEDGERS }, (_, n) => `${partition}.roger.ledger.${n}.log`),
  );
  expect(logs).toHaveLength(1);
  const [log = ''] = logs;
  // What the one keyed job and the questions left, and what a thousand others did not.
  const records = await deleteQueue(log);
  expect(records).toBeGreaterThan(0);
  expect(records).toBeLessThan(50);
});
