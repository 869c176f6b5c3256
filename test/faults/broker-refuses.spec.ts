// The broker says no: other settings, no rights, full queues, an alarm. Typed errors, one line each, and it heals.
import type { ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import { BrokerBlockedError, NotConnectedError, QueueFullError, TopologyMismatchError } from 'nestjs-roger';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

let broker: PrivateRabbitmq;
let operator: ChannelModel;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
  operator = await connect(broker.uri);
});
afterAll(async () => {
  await operator.close();
  await broker.stop();
});

/** Does something to the broker on a channel of its own. */
async function operate<T>(
  task: (channel: Awaited<ReturnType<ChannelModel['createChannel']>>) => Promise<T>,
): Promise<T> {
  const channel = await operator.createChannel();
  try {
    return await task(channel);
  } finally {
    await channel.close();
  }
}

function deleteQueue(name: string): Promise<unknown> {
  return operate((channel) => channel.deleteQueue(name));
}

test('a queue with other settings makes its partition wait, and only that, until the queue is gone', async () => {
  const [odd, fine] = [uniquePartition('odd'), uniquePartition('fine')];
  await operate((channel) =>
    channel.assertQueue(`${odd}-default`, { durable: true, arguments: { 'x-queue-type': 'quorum' } }),
  );
  const sightings = new Sightings();
  const app = await startApp(
    { connection: { uri: broker.uri }, partitions: { [odd]: { default: 3 }, [fine]: { default: 3 } } },
    [Work, sightings.of('node')],
  );
  await served(app, fine);
  await app.jobs.enqueue(Work, {}, { partition: fine, id: 'fine' });
  await sightings.ended(['fine']);

  await eventually(
    'the reason to be known',
    () => app.partitions.queues(odd)[0]?.waitingFor instanceof TopologyMismatchError,
  );
  const reason = app.partitions.queues(odd)[0]?.waitingFor;
  expect(reason).toMatchObject({ object: `queue ${odd}-default` });
  expect(reason?.message).toContain('x-dead-letter-exchange');
  expect(app.nodeInfo.waitingPartitions().map(({ partition }) => partition)).toEqual([odd]);
  expect(app.log.messages('warn').filter((line) => line.includes(`${odd}-default`))).toHaveLength(1);

  await deleteQueue(`${odd}-default`);
  await served(app, odd);
  await app.jobs.enqueue(Work, {}, { partition: odd, id: 'odd' });
  await sightings.ended(['odd']);
  expect(app.log.messages('log')).toContain(`Queue ${odd}-default is served again`);
});

test('a memory alarm: enqueue says so after its limit, jobs are settled meanwhile, and all goes on after it', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const app = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 2 } }, enqueueTimeoutMs: 1_500 },
    [Work, sightings.of('node')],
  );
  await served(app, partition);
  for (const id of ['before-1', 'before-2']) await app.jobs.enqueue(Work, { ms: 1_500 }, { partition, id });
  await sightings.seen('began', 2);

  await broker.ctl('set_vm_memory_high_watermark', '0.0000001');
  try {
    // The broker tells a publisher of the alarm when it publishes.
    const refusals = await Promise.all(
      ['during-1', 'during-2'].map((id) =>
        app.jobs.enqueue(Work, {}, { partition, id }).then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    );
    for (const refusal of refusals) expect(refusal).toBeInstanceOf(BrokerBlockedError);
    await sightings.ended(['before-1', 'before-2']);
    expect(app.info.transportInfo().state).toBe('blocked');
    await eventually('the jobs before to be acknowledged', async () => {
      const [line] = (await broker.ctl('list_queues', 'name', 'messages', '--quiet'))
        .split('\n')
        .filter((it) => it.startsWith(`${partition}-default\t`));
      return line?.endsWith('\t0') === true;
    });
  } finally {
    await broker.ctl('set_vm_memory_high_watermark', '0.4');
  }
  await eventually('the alarm to be over', () => app.info.transportInfo().state === 'connected');
  await app.jobs.enqueue(Work, {}, { partition, id: 'after' });
  await sightings.ended(['after']);
  const alarms = app.log
    .messages('warn', 'log')
    .filter((line) => /blocks publishers|takes publishes again/.test(line));
  // Each connection that publishes says it once; that of the ledgers does when it happens to have something to say.
  expect(alarms.filter((line) => line.includes('(publishing)'))).toHaveLength(2);
  expect(new Set(alarms).size).toBe(alarms.length);
});

test('rights taken away make a partition wait with the reason; given back, it goes on', async () => {
  const partition = uniquePartition();
  await broker.ctl('add_user', 'tenant', 'secret-word');
  await broker.ctl('set_permissions', 'tenant', '^$', '^$', '^$');
  const uri = broker.uri.replace('guest:guest', 'tenant:secret-word');
  const sightings = new Sightings();
  const app = await startApp({ connection: { uri }, partitions: { [partition]: { default: 2 } } }, [
    Work,
    sightings.of('node'),
  ]);
  await eventually('the reason to be known', () => {
    const reason = app.partitions.queues(partition)[0]?.waitingFor;
    return reason !== undefined && !(reason instanceof NotConnectedError);
  });
  expect(app.partitions.queues(partition)[0]?.waitingFor).toMatchObject({ code: 'ROGER_BROKER_REFUSED' });
  const complaints = () => app.log.messages('warn').filter((line) => line.includes('is not served'));
  await eventually('the queue to complain', () => complaints().length > 0);

  await broker.ctl('set_permissions', 'tenant', '.*', '.*', '.*');
  await served(app, partition);
  expect(complaints()).toHaveLength(1);
  await app.jobs.enqueue(Work, {}, { partition, id: 'one' });
  await sightings.ended(['one']);
  expect(JSON.stringify(app.log.lines)).not.toContain('secret-word');
});

test('a queue that a policy has bounded refuses what is too much: QueueFullError, and the rest is kept', async () => {
  const partition = uniquePartition();
  const worker = await startApp({
    connection: { uri: broker.uri },
    partitions: { [partition]: { default: 1 } },
  });
  await served(worker, partition);
  await worker.close();
  await broker.ctl(
    'set_policy',
    partition,
    `^${partition}-default$`,
    '{"max-length":10}',
    '--apply-to',
    'queues',
  );
  const { jobs, info } = await startApp({ connection: { uri: broker.uri }, mode: 'producer' });

  const { enqueued, failures } = await jobs.enqueueMany(
    Work,
    // Many: the broker begins to refuse only after a while.
    Array.from({ length: 10_000 }, () => ({})),
    { partition },
  );
  expect(enqueued + failures.length).toBe(10_000);
  expect(failures.length).toBeGreaterThan(0);
  for (const { error } of failures) expect(error).toBeInstanceOf(QueueFullError);
  expect((await info.queueDepth(partition, 'default'))?.ready).toBe(enqueued);
});

test('a full buried queue drops its oldest with a line that holds it whole, and keeps the newest', async () => {
  const partition = uniquePartition();
  const app = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 1 } }, maxBuriedQueueSize: 3 },
    [],
  );
  await served(app, partition);
  const total = 10;
  for (let n = 1; n <= total; n++) {
    await operate(async (channel) => {
      channel.sendToQueue(`${partition}-default`, Buffer.from(`no job ${n}`), { persistent: true });
      return Promise.resolve();
    });
  }
  await eventually('all to be buried', () => app.partitions.queues(partition)[0]?.counts.buried === total);
  await eventually('the queue to be empty', async () =>
    (await broker.ctl('list_queues', 'name', 'messages', '--quiet')).includes(`${partition}-default\t0`),
  );

  const kept = await operate(async (channel) => {
    const bodies: string[] = [];
    for (let message = await channel.get(`${partition}-default.buried`); message !== false;) {
      bodies.push(message.content.toString());
      message = await channel.get(`${partition}-default.buried`);
    }
    return bodies;
  });
  const dropped = app.log
    .messages('error')
    .filter((line) => line.includes('maxBuriedQueueSize'))
    .map((line) => /no job \d+/.exec(line)?.[0]);
  expect(kept).toContain(`no job ${total}`);
  // The broker lets a few more in than the limit before it refuses.
  expect(kept.length).toBeGreaterThanOrEqual(3);
  expect(kept.length).toBeLessThan(total);
  expect(new Set([...kept, ...dropped]).size).toBe(total);
});
