// The broker may die, be restarted, or not be there yet: what it confirmed is done, and everything comes back by itself.
import { setTimeout as sleep } from 'node:timers/promises';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { NotConnectedError, RogerError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { Load } from '../support/load';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

/** A quorum queue younger than that may not outlive a kill -9: RabbitMQ 3.10 registers new ones on disk twice a second. */
const QUEUE_REGISTERED_MS = 1_500;

let broker: PrivateRabbitmq;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
afterAll(() => broker.stop());

/** The lines about connections, without addresses and causes. */
function connectionLines({ log }: TestApp): string[] {
  return log.messages('log', 'warn', 'error').flatMap((line) => {
    const [, change, purpose] =
      /^(Connected|Lost the connection|Can't connect) .*\((publishing|consuming)\)/.exec(line) ?? [];
    return change === undefined || purpose === undefined ? [] : [`${change} (${purpose})`];
  });
}

test.each([
  ['killed', () => broker.kill()],
  ['stopped in good order', () => broker.stopGracefully()],
])(
  'when the broker is %s under load and comes back, all that was confirmed is done',
  async (_how, takeDown) => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp(
      { connection: { uri: broker.uri }, partitions: { [partition]: { default: 5 } } },
      [Work, sightings.of('worker')],
    );
    await served(app, partition);
    const load = new Load(app.jobs, { partition, atOnce: 50, args: { ms: 5 } });
    await load.more(300);
    await sleep(QUEUE_REGISTERED_MS);

    await takeDown();
    await eventually('the partition to wait', () => app.nodeInfo.waitingPartitions().length === 1);
    expect(app.partitions.queues(partition)[0]?.waitingFor).toBeInstanceOf(NotConnectedError);
    await broker.start();
    await load.more(300);
    await load.stop();
    await sightings.ended(load.confirmed);

    expect(load.refusals.filter((error) => !(error instanceof RogerError))).toEqual([]);
    await eventually('every job to have left the queue', async () => {
      const depth = await app.info.queueDepth(partition, 'default');
      return depth?.ready === 0 && depth.consumers > 0 && depth.buried === 0;
    });
    expect(sightings.peak('worker')).toBe(5);
    const change = (purpose: string): string[] => [
      `Connected (${purpose})`,
      `Lost the connection (${purpose})`,
      `Can't connect (${purpose})`,
      `Connected (${purpose})`,
    ];
    const lines = connectionLines(app);
    expect(lines.filter((line) => line.includes('publishing'))).toEqual(change('publishing'));
    expect(lines.filter((line) => line.includes('consuming'))).toEqual(change('consuming'));
  },
);

test('an app that starts before its broker waits for it: what was enqueued meanwhile goes through, and its partitions are served', async () => {
  await broker.stopGracefully();
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp(
    {
      connection: { uri: broker.uri },
      partitions: { [partition]: { default: 5 } },
      enqueueTimeoutMs: 30_000,
    },
    [Work, sightings.of('worker')],
  );
  const ids = Array.from({ length: 20 }, (_, n) => `early-${n}`);
  const enqueued = Promise.all(ids.map((id) => app.jobs.enqueue(Work, {}, { partition, id })));
  await eventually('both connections to have failed', () => connectionLines(app).length === 2);
  expect(app.info.transportInfo()).toEqual({
    transport: 'RabbitMQ (not connected yet)',
    state: 'connecting',
  });
  expect(app.nodeInfo.waitingPartitions()[0]?.queues[0]?.waitingFor).toBeInstanceOf(NotConnectedError);

  await broker.start();
  await enqueued;
  await sightings.ended(ids);
  await served(app, partition);
  expect(connectionLines(app).sort()).toEqual([
    "Can't connect (consuming)",
    "Can't connect (publishing)",
    'Connected (consuming)',
    'Connected (publishing)',
  ]);
});
