// A probe is told the truth: ready is a node that does its work, live one that a restart would not help.
import { GlobalStateService, RogerHealth, RogerModule } from 'nestjs-roger';
import type { HealthReport, RogerModuleOptions } from 'nestjs-roger';
import { Injectable } from '@nestjs/common';
import type { OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect } from 'amqplib';
import { eventually, served, startApp } from '../support/app';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from '../support/broker';
import { RecordedLog } from '../support/recorded-log';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

async function untilReady(health: RogerHealth): Promise<HealthReport> {
  let report = await health.check();
  await eventually('the node to be ready', async () => (report = await health.check()).isReady);
  return report;
}

test('a worker that does its work is ready, and says how', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } });
  const report = await untilReady(app.app.get(RogerHealth));
  expect(report).toEqual({
    isLive: true,
    isReady: true,
    state: 'running',
    checks: {
      connection: { status: 'up', state: 'connected' },
      blocked: { status: 'up' },
      consumers: { status: 'up', partitions: 1, waiting: [] },
      keeper: {
        status: expect.stringMatching(/up|unknown/) as string,
        ledgers: expect.any(Number) as number,
        silent: [],
      },
      eventLoop: { status: 'up', lagMs: expect.any(Number) as number },
    },
  });
});

test('a producer is ready when it is connected', async () => {
  const { app } = await startApp({ connection, mode: 'producer' });
  const report = await untilReady(app.get(RogerHealth));
  expect(report.checks).toMatchObject({ consumers: { partitions: 0 }, keeper: { status: 'unknown' } });
});

test('one in memory is ready, too', async () => {
  const { app } = await startApp({ partitions: { acme: { default: 1 } } });
  expect(await untilReady(app.get(RogerHealth))).toMatchObject({ isLive: true });
});

test('without a broker a node is live, not ready, and says so within the time', async () => {
  const { app } = await startApp({
    connection: { uri: NO_BROKER_URI },
    partitions: { acme: { default: 1, mail: 1 } },
  });
  const begun = performance.now();
  const report = await app.get(RogerHealth).check();
  expect(performance.now() - begun).toBeLessThan(2_500);
  expect(report).toMatchObject({ isLive: true, isReady: false, state: 'running' });
  expect(report.checks).toMatchObject({
    connection: { status: 'down', state: 'connecting' },
    blocked: { status: 'unknown' },
    consumers: {
      status: 'down',
      waiting: [
        { partition: 'acme', queue: 'default', reason: expect.stringContaining('connect') as string },
        { partition: 'acme', queue: 'mail' },
      ],
    },
  });
});

test('a lost connection makes a node unready, not dead, and its return makes it ready', async () => {
  const proxy = await TcpProxy.before(connection.uri);
  const partition = uniquePartition();
  const { app } = await startApp({
    connection: { uri: proxy.uri },
    partitions: { [partition]: { default: 1 } },
  });
  const health = app.get(RogerHealth);
  await untilReady(health);
  await proxy.refuse();
  await eventually('the node to be unready', async () => !(await health.check()).isReady);
  expect((await health.check()).isLive).toBe(true);
  await proxy.admit();
  await untilReady(health);
  await proxy.close();
});

test('a queue that can not be served is named', async () => {
  const partition = uniquePartition();
  const model = await connect(connection.uri);
  const channel = await model.createChannel();
  await channel.assertQueue(`${partition}-mail`, { durable: true });
  const app = await startApp({ connection, partitions: { [partition]: { default: 1, mail: 1 } } });
  const health = app.app.get(RogerHealth);
  await eventually('the reason', async () => {
    const { waiting } = (await health.check()).checks.consumers;
    return waiting.length === 1 && waiting[0]?.reason.includes(`${partition}-mail`) === true;
  });
  expect(await health.check()).toMatchObject({
    isLive: true,
    isReady: false,
    checks: { consumers: { status: 'down', waiting: [{ partition, queue: 'mail' }] } },
  });
  await channel.deleteQueue(`${partition}-mail`);
  await model.close();
});

test('a ledger whose keeper does not answer makes a node unready within the time, and healthy probes ask once a second', async () => {
  const namespace = uniquePartition();
  const options: RogerModuleOptions = {
    connection,
    namespace,
    ledgerShards: 1,
    partitions: { acme: { default: 1 } },
  };
  const app = await startApp(options);
  const health = app.app.get(RogerHealth);
  await served(app, 'acme');
  await app.app.get(GlobalStateService).pauseQueue('acme', 'default');
  expect((await untilReady(health)).checks.keeper).toEqual({ status: 'up', ledgers: 1, silent: [] });
  // Somebody deletes what the requests go to: no keeper gets any until it is declared again.
  const model = await connect(connection.uri);
  const channel = await model.createChannel();
  await channel.deleteQueue(`${namespace}.roger.ledger.0`);
  await channel
    .assertQueue(`${namespace}.roger.ledger.0`, { exclusive: true, durable: false })
    .catch(() => undefined);
  let report = await health.check({ timeoutMs: 500 });
  await eventually('the keeper to be missed', async () => {
    const begun = performance.now();
    report = await health.check({ timeoutMs: 500 });
    expect(performance.now() - begun).toBeLessThan(1_500);
    return !report.isReady;
  });
  expect(report).toMatchObject({
    isLive: true,
    checks: {
      keeper: {
        status: 'down',
        silent: [{ ledger: 0, reason: expect.stringContaining('500 ms') as string }],
      },
    },
  });
  await model.close();
  await untilReady(health);
});

test('a held-up event loop is noticed, and forgotten', async () => {
  const { app } = await startApp({ partitions: { acme: { default: 1 } } });
  const health = app.get(RogerHealth);
  await untilReady(health);
  // It is measured from the first check on, in steps.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const until = performance.now() + 400;
  while (performance.now() < until);
  const busy = await health.check({ maxEventLoopLagMs: 200 });
  expect(busy).toMatchObject({ isLive: true, isReady: false, checks: { eventLoop: { status: 'down' } } });
  expect(busy.checks.eventLoop.lagMs).toBeGreaterThanOrEqual(300);
  expect((await health.check()).isReady).toBe(true);
  await eventually('it to be forgotten', async () => {
    return (await health.check({ maxEventLoopLagMs: 200 })).isReady;
  });
});

/** Asks at every step of the life of the app. */
@Injectable()
class Prober implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  static readonly seen: string[] = [];
  constructor(private readonly health: RogerHealth) {}

  onModuleInit = (): Promise<void> => this.note('init');
  onModuleDestroy = (): Promise<void> => this.note('destroy');
  onApplicationShutdown = (): Promise<void> => this.note('shutdown');

  private async note(step: string): Promise<void> {
    const { state, isLive, isReady } = await this.health.check();
    Prober.seen.push(`${step}: ${state}, ${isLive ? 'live' : 'dead'}, ${isReady ? 'ready' : 'unready'}`);
  }
}

test('a node is ready from its start to the first moment of its end, and live until it is closed', async () => {
  const app = await NestFactory.createApplicationContext(
    {
      module: Prober,
      imports: [RogerModule.forRoot({ partitions: { acme: { default: 1 } } })],
      providers: [Prober],
    },
    { logger: new RecordedLog() },
  );
  const health = app.get(RogerHealth);
  await untilReady(health);
  const closing = app.close();
  // No turn of the event loop later.
  await Promise.resolve();
  const first = await health.check();
  expect(first).toMatchObject({ isLive: true, isReady: false, state: 'stopping' });
  await closing;
  expect(Prober.seen).toEqual([
    'init: starting, live, unready',
    'destroy: stopping, live, unready',
    'shutdown: stopped, dead, unready',
  ]);
  expect(await health.check()).toMatchObject({ isLive: false, isReady: false, state: 'stopped' });
});

test('a node that drains is unready while its last job runs', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions: { [partition]: { default: 1 } } }, [
    Work,
    sightings.of('one'),
  ]);
  const health = app.app.get(RogerHealth);
  await untilReady(health);
  await app.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'last' });
  await sightings.seen('began', 1);
  const closing = app.close();
  await eventually('the end to be told', async () => (await health.check()).state === 'stopping');
  expect(await health.check()).toMatchObject({ isLive: true, isReady: false });
  sightings.release();
  await closing;
  expect(sightings.ids('ended')).toEqual(['last']);
});
