// What arrives on a queue is untrusted: what can't be understood is kept with its bytes, and harms no other job.
import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { connect } from 'amqplib';
import { IsInt } from 'class-validator';
import type { BuriedEvent, JobHandler, WorkerCallbacks } from 'nestjs-roger';
import { RogerCallbacks, RogerJob } from 'nestjs-roger';
import { eventually, served, startApp } from './support/app';
import { sharedBrokerUri, uniquePartition } from './support/broker';
import { Signals } from './support/signal';
import { within } from './support/within';

const connection = { uri: sharedBrokerUri() };
const runs = new Signals<unknown>();
const burials = new Signals<BuriedEvent>();

class Counted {
  @IsInt() n!: number;
}

@RogerJob({ name: 'counted', args: Counted, retryable: { levels: [1] } })
class CountedJob implements JobHandler<Counted> {
  perform({ n }: Counted): void {
    runs.add(n);
  }
}

@RogerJob({ name: 'newcomer' })
class Newcomer implements JobHandler<{ n: number }> {
  perform({ n }: { n: number }): void {
    runs.add(`newcomer ${n}`);
  }
}

@RogerJob({ name: 'once-failing', retryable: { levels: [1] } })
class OnceFailing implements JobHandler<{ n: number }> {
  private hasFailed = false;
  perform({ n }: { n: number }): void {
    runs.add(`once-failing ${n}`);
    if (this.hasFailed) return;
    this.hasFailed = true;
    throw new Error('the first time fails');
  }
}

@RogerCallbacks()
class Burials implements WorkerCallbacks {
  onBuried(event: BuriedEvent): void {
    burials.add(event);
  }
}

let broker: ChannelModel;
let channel: Channel;

beforeAll(async () => {
  broker = await connect(connection.uri);
  channel = await broker.createChannel();
});
afterAll(() => broker.close());
beforeEach(() => {
  runs.seen.length = 0;
  burials.seen.length = 0;
});

/** A job of this partition as it stands on the wire, with whatever is to be wrong about it. */
function envelope(partition: string, wrong: object = {}): string {
  return JSON.stringify({
    v: 1,
    id: 'job-1',
    name: 'counted',
    partition,
    queue: 'default',
    args: { n: 1 },
    attempt: 1,
    queuedAt: 1_790_000_000_000,
    ...wrong,
  });
}

async function worker(partition: string, ...providers: (new () => object)[]) {
  const app = await startApp({ connection, partitions: { [partition]: { default: 5 } } }, [
    Burials,
    ...providers,
  ]);
  await served(app, partition);
  return app;
}

function send(partition: string, body: Buffer | string, options: object = {}): void {
  channel.sendToQueue(`${partition}-default`, Buffer.from(body as string), { persistent: true, ...options });
}

/** Takes the oldest buried message for good. */
async function exhume(partition: string): Promise<GetMessage> {
  let found: GetMessage | false = false;
  await eventually('a buried message', async () => {
    found = await channel.get(`${partition}-default.buried`, { noAck: true });
    return found !== false;
  });
  return found as unknown as GetMessage;
}

const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
const NOT_JOBS: readonly (readonly [what: string, body: (partition: string) => Buffer | string])[] = [
  ['an empty message', () => ''],
  ['half a message', (p) => envelope(p).slice(0, 60)],
  ['a byte order mark', (p) => `\ufeff${envelope(p)}`],
  ['bad UTF-8', (p) => Buffer.concat([Buffer.from(envelope(p)), Buffer.from([0xff, 0xfe])])],
  ['null', () => 'null'],
  ['a list', () => '[]'],
  ['a nesting a hundred thousand deep', () => deep],
  ['more than maxJobBytes', (p) => envelope(p, { args: { text: 'x'.repeat(300_000) } })],
  ['a version of the future', (p) => envelope(p, { v: 99 })],
  ['no version', (p) => envelope(p, { v: undefined })],
  ['no name', (p) => envelope(p, { name: undefined })],
  ['attempt -1', (p) => envelope(p, { attempt: -1 })],
  ['a time that is none', (p) => envelope(p, { queuedAt: 'yesterday' })],
  ['an id with control characters', (p) => envelope(p, { id: 'a\r\nb' })],
  ['a __proto__ key', (p) => envelope(p).replace('{"n":1}', '{"n":1,"__proto__":{"isAdmin":true}}')],
  ['an escaped __proto__ key', (p) => envelope(p).replace('{"n":1}', '{"n":1,"\\u005f_proto__":{"a":1}}')],
];

test.each(NOT_JOBS)('%s is buried with its very bytes and the reason', async (_what, bodyOf) => {
  const partition = uniquePartition();
  const body = Buffer.from(bodyOf(partition) as string);
  await worker(partition, CountedJob);
  send(partition, body);

  const buried = await exhume(partition);
  expect(buried.content.equals(body)).toBe(true);
  expect(buried.properties.headers).toMatchObject({ 'x-roger-reason': 'ROGER_MALFORMED_JOB' });
  expect(burials.seen).toMatchObject([{ partition, queue: 'default', job: undefined }]);
  expect(runs.seen).toEqual([]);
});

test('good jobs run around a bad one, and nobody is delivered twice', async () => {
  const partition = uniquePartition();
  const app = await worker(partition, CountedJob);
  for (let n = 1; n <= 20; n++) {
    send(partition, envelope(partition, { id: `job-${n}`, args: { n } }));
    if (n % 5 === 0) send(partition, 'no job');
  }
  await within('the good jobs', runs.count(20));
  await within('the bad ones', burials.count(4));
  expect([...runs.seen].sort((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 20 }, (_, n) => n + 1),
  );
  await eventually(
    'the queue to be empty',
    async () => (await app.info.queueDepth(partition, 'default'))?.ready === 0,
  );
});

test.each([
  ['partition', { partition: 'somebody-else' }],
  ['queue', { queue: 'mail' }],
])('a job of another %s never runs here; it is buried as misrouted', async (_what, wrong) => {
  const partition = uniquePartition();
  await worker(partition, CountedJob);
  send(partition, envelope(partition, wrong));
  const buried = await exhume(partition);
  expect(buried.properties.headers).toMatchObject({ 'x-roger-reason': 'ROGER_MISROUTED_JOB' });
  expect(runs.seen).toEqual([]);
});

test('args that fail the DTO on arrival are buried with the field named, without a run', async () => {
  const partition = uniquePartition();
  await worker(partition, CountedJob);
  send(partition, envelope(partition, { args: { n: 'one' } }));
  const { properties } = await exhume(partition);
  expect(properties.headers).toMatchObject({ 'x-roger-reason': 'ROGER_INVALID_JOB_ARGS' });
  expect(String(properties.headers?.['x-roger-message'])).toContain('n must be an integer');
  expect(properties.messageId).toBe('job-1');
  expect(runs.seen).toEqual([]);
});

test('headers that a foreigner forged change nothing: CC copies to nobody, x-death counts for nothing', async () => {
  const partition = uniquePartition();
  const neighbour = uniquePartition();
  await worker(partition, OnceFailing);
  const other = await worker(neighbour, OnceFailing);
  const headers = { CC: [`${neighbour}-default`], 'x-death': [{ count: 99, reason: 'expired', queue: 'x' }] };
  // The broker itself heeds CC where it is published; what Roger sends on must not carry it.
  channel.publish('', `${partition}-default`, Buffer.from(envelope(partition, { name: 'once-failing' })), {
    headers,
    replyTo: 'a.foreign.queue',
    messageId: 'bad\u0001id',
  });
  await within('the run and its retry', runs.count(2));
  const copy = await exhume(neighbour);
  expect(copy.properties.headers).toMatchObject({ 'x-roger-reason': 'ROGER_MISROUTED_JOB' });
  expect(await other.info.queueDepth(neighbour, 'default')).toMatchObject({ ready: 0, buried: 0 });
});

test('a job that only a new node knows is handed on by the old one until the new one takes it', async () => {
  const partition = uniquePartition();
  const old = await worker(partition, CountedJob);
  await old.jobs.enqueue(Newcomer, { n: 7 }, { partition });
  await eventually('the old node to hand it on', () =>
    old.partitions.queues(partition).some(({ counts }) => counts.handedOn > 0),
  );
  await worker(partition, Newcomer);
  await old.close();
  expect(await within('the run', runs.count(1))).toEqual(['newcomer 7']);
});

test('a job that no node knows is buried in the end, whole, and says that it was handed on', async () => {
  const partition = uniquePartition();
  await worker(partition, CountedJob);
  send(partition, envelope(partition, { name: 'forgotten', handedOn: 14 }));
  const { content, properties } = await exhume(partition);
  expect(properties.headers).toMatchObject({ 'x-roger-reason': 'ROGER_UNKNOWN_JOB' });
  expect(String(properties.headers?.['x-roger-message'])).toContain('"forgotten"');
  expect(JSON.parse(content.toString())).toMatchObject({ name: 'forgotten', args: { n: 1 } });
});

test('a job that kills its channel each time is buried by the broker after its deliveries', async () => {
  const partition = uniquePartition();
  const app = await startApp({
    connection,
    partitions: { [partition]: { default: 1 } },
    deliveryLimit: 2,
  });
  await served(app, partition);
  await app.close();
  send(partition, envelope(partition));
  // Taken and never settled, as by a worker that dies.
  for (let death = 0; death < 3; death++) {
    const dying = await broker.createChannel();
    await eventually('the delivery', async () => (await dying.get(`${partition}-default`)) !== false);
    await dying.close();
  }
  const buried = await exhume(partition);
  expect(buried.content.toString()).toBe(envelope(partition));
  expect(JSON.stringify(buried.properties.headers)).toContain('delivery_limit');
});
