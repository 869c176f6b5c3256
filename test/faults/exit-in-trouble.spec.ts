// An app that is closed while its broker is in trouble closes within seconds, and its process ends by itself.
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { BrokerBlockedError } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { uniquePartition } from '../support/broker';
import { ChildApp } from '../support/child-app';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

/** Farewells to a broker that doesn't answer, one after the other: to each queue, to all three connections. */
const FAREWELLS_MS = 8_500;

const together = testsAtOnce(4);

let broker: PrivateRabbitmq;
const proxies: TcpProxy[] = [];

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await broker.stop();
});

async function startChild(heartbeatSeconds: number): Promise<{ child: ChildApp; proxy: TcpProxy }> {
  const proxy = await TcpProxy.before(broker.uri);
  proxies.push(proxy);
  const connection = { uri: proxy.uri, heartbeatSeconds };
  const roger = { connection, partitions: { [uniquePartition()]: { default: 1, other: 1 } } };
  return { proxy, child: await ChildApp.start({ node: 'child', roger, sightings: new Sightings() }) };
}

async function expectToEnd(child: ChildApp): Promise<void> {
  const askedAt = performance.now();
  await child.close();
  expect(await child.gone()).toEqual({ code: 0, signal: null });
  expect(performance.now() - askedAt).toBeLessThan(FAREWELLS_MS);
}

together('when the broker has fallen silent and nobody has noticed yet', async () => {
  const { child, proxy } = await startChild(60);
  proxy.silence('up', 'down');
  await expectToEnd(child);
});

together('when the silence was noticed and the next connection does not come about', async () => {
  const { child, proxy } = await startChild(1);
  proxy.silence('up', 'down');
  await eventually('all connections to be tried again', () => proxy.accepted === 6);
  await expectToEnd(child);
});

together('when the broker is not there', async () => {
  const { child, proxy } = await startChild(60);
  await proxy.refuse();
  await eventually(
    'all connections to have failed',
    () => child.lines.filter((line) => line.includes("Can't connect")).length === 3,
  );
  await expectToEnd(child);
});

test('when the broker blocks publishers; what can not be settled then runs again', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const partitions = { [partition]: { default: 1 } };
  const app = await startApp({ connection: { uri: broker.uri }, partitions, enqueueTimeoutMs: 60_000 }, [
    Work,
    sightings.of('first'),
  ]);
  await served(app, partition);
  await app.jobs.enqueue(Work, { failures: 1, ms: 3_000 }, { partition, id: 'flaky' });
  await sightings.seen('began', 1);
  await broker.ctl('set_vm_memory_high_watermark', '0.0000001');
  try {
    const stuck = app.jobs.enqueue(Work, {}, { partition, id: 'stuck' }).catch((error: unknown) => error);
    await eventually('the alarm to be known', () => app.info.transportInfo().state === 'blocked');
    await eventually('the job to have failed', () =>
      app.log.messages('warn').some((line) => line.includes('failed in attempt 1')),
    );
    const askedAt = performance.now();
    await app.close();
    expect(performance.now() - askedAt).toBeLessThan(FAREWELLS_MS);
    expect(await stuck).toBeInstanceOf(BrokerBlockedError);
  } finally {
    await broker.ctl('set_vm_memory_high_watermark', '0.4');
  }
  await startApp({ connection: { uri: broker.uri }, partitions }, [Work, sightings.of('second')]);
  await sightings.ended(['flaky']);
});
