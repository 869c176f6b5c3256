// The stream that tells of lanes may be deleted, restarted or soiled: workers go on finding the lanes that jobs stand on.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { connect } from 'amqplib';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { afterTest } from '../support/after-test';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { queueIsThere } from '../support/queue-is-there';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

/** Within so long a lane is found, whatever gets lost; what a broker needs to come back is beside it. */
const BOUND_MS = 10_000;
/** A quorum queue younger than that may not outlive a kill -9: RabbitMQ 3.10 registers new ones on disk twice a second. */
const QUEUE_REGISTERED_MS = 1_500;

let operator: ChannelModel;
let channel: ConfirmChannel;

beforeAll(async () => {
  operator = await connect(sharedBrokerUri());
  channel = await operator.createConfirmChannel();
});
afterAll(() => operator.close());

/** A worker and a producer in a namespace of their own, and with it a stream of their own. */
class Stage {
  readonly sightings = new Sightings();

  private constructor(
    readonly partition: string,
    private readonly options: { readonly connection: { readonly uri: string }; readonly namespace: string },
  ) {}

  worker!: TestApp;
  producer!: TestApp;

  static async begin(uri = sharedBrokerUri()): Promise<Stage> {
    const stage = new Stage(uniquePartition(), { connection: { uri }, namespace: uniquePartition('ns') });
    stage.worker = await stage.startWorker();
    await served(stage.worker, stage.partition);
    stage.producer = await startApp({ ...stage.options, mode: 'producer' });
    return stage;
  }

  get stream(): string {
    return `${this.options.namespace}.roger.lanes`;
  }

  startWorker(): Promise<TestApp> {
    const partitions = { [this.partition]: { default: 4 } };
    return startApp({ ...this.options, partitions }, [Work, this.sightings.of('worker')]);
  }

  async enqueue(priority: number, id = `p${priority}`): Promise<string> {
    await this.producer.jobs.enqueue(Work, {}, { partition: this.partition, id, priority });
    return id;
  }

  /** Enqueues one and waits for its end. */
  async runs(priority: number, id?: string): Promise<void> {
    await this.sightings.ended([await this.enqueue(priority, id)], BOUND_MS);
  }

  recordOf(lane: string): Buffer {
    return Buffer.from(JSON.stringify({ partition: this.partition, queue: 'default', lane }));
  }

  /** What was said of the stream. */
  complaints(): string[] {
    return this.worker.log.messages('warn', 'error').filter((line) => /lanes/i.test(line));
  }
}

/** The lanes that a worker would read of that starts now: a list that grows. */
async function lanesIn(stream: string): Promise<readonly string[]> {
  const reading = await operator.createChannel();
  afterTest('process', () => reading.close());
  const lanes: string[] = [];
  await reading.prefetch(100);
  const take = (message: Parameters<Parameters<Channel['consume']>[1]>[0]): void => {
    if (message === null) return;
    reading.ack(message);
    lanes.push((JSON.parse(message.content.toString()) as { lane: string }).lane);
  };
  await reading.consume(stream, take, { arguments: { 'x-stream-offset': 'first' } });
  return lanes;
}

describe('the stream, deleted', () => {
  test('a worker that runs finds a lane that nobody had before, and serves those that it had', async () => {
    const stage = await Stage.begin();
    await stage.runs(3, 'before');
    await channel.deleteQueue(stage.stream);
    await stage.runs(7);
    await stage.runs(3, 'after');
    await stage.runs(8);
    expect(stage.complaints()).toEqual([]);
  });

  test('before there was any lane, too', async () => {
    const stage = await Stage.begin();
    await channel.deleteQueue(stage.stream);
    await stage.runs(7);
    expect(stage.complaints()).toEqual([]);
  });

  test('is written anew by a worker that knows, for those that start later', async () => {
    const stage = await Stage.begin();
    await stage.runs(3, 'before');
    await channel.deleteQueue(stage.stream);
    await eventually('the stream to be there', () => queueIsThere(operator, stage.stream));
    const lanes = await lanesIn(stage.stream);
    await eventually('the lane to be told again', () => lanes.includes('p3'), BOUND_MS);
  });

  test('and there again, by somebody else, before a worker looks, is written anew as well', async () => {
    const stage = await Stage.begin();
    await stage.runs(3, 'before');
    // Further on than the new one gets.
    for (let n = 0; n < 50; n++) channel.sendToQueue(stage.stream, stage.recordOf('p3'));
    await channel.waitForConfirms();
    await stage.runs(4);
    await channel.deleteQueue(stage.stream);
    // The producer, too, makes a stream that is missing; but not that surely before the worker does.
    await channel.assertQueue(stage.stream, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    await stage.runs(7);
    const lanes = await lanesIn(stage.stream);
    await eventually('all lanes to be told', () => ['p3', 'p4', 'p7'].every((lane) => lanes.includes(lane)));
    await stage.worker.close();

    await stage.enqueue(3, 'after');
    await stage.startWorker();
    await stage.sightings.ended(['after'], BOUND_MS);
    expect(stage.complaints()).toEqual([]);
  });
});

describe('the broker', () => {
  let broker: PrivateRabbitmq;

  beforeAll(async () => {
    broker = await startPrivateRabbitmq();
  });
  afterAll(() => broker.stop());

  test.each([
    ['killed', 'kill'],
    ['stopped in good order', 'stopGracefully'],
  ] as const)('%s and started again: workers find the lanes that are new since', async (_how, takeDown) => {
    const stage = await Stage.begin(broker.uri);
    const isConnected = (): boolean => stage.producer.info.transportInfo().state === 'connected';
    await stage.runs(3, 'before');
    await sleep(QUEUE_REGISTERED_MS);

    await broker[takeDown]();
    await eventually('the worker to notice', () => !stage.worker.partitions.isRunning(stage.partition));
    await broker.start();
    await served(stage.worker, stage.partition);
    await eventually('the producer to be connected', isConnected);
    await stage.runs(7);
    await stage.runs(3, 'after');
    await stage.runs(8);
  });
});

test('what somebody else writes there harms nobody, and is said once', async () => {
  const stage = await Stage.begin();
  await stage.runs(3, 'before');
  const record = { partition: stage.partition, queue: 'default', lane: 'p1' };
  const garbage: unknown[] = [
    ...[null, 1, 'text', [], [record], {}],
    ...[null, 1, {}, [], '', 'x'.repeat(100_000), '../#', { toString: 1 }].flatMap((odd) =>
      ['partition', 'queue', 'lane'].map((field) => ({ ...record, [field]: odd })),
    ),
    ...['normal', 'p0', 'p10', 'toString'].map((lane) => ({ ...record, lane })),
  ];
  const bodies = ['', '{', '\0', '['.repeat(100_000), ...garbage.map((one) => JSON.stringify(one))];
  const soil = (): void => {
    for (const body of bodies) {
      channel.sendToQueue(stage.stream, Buffer.from(body), { headers: { 'x-stream-offset': 1e12 } });
    }
    // Of a queue that nobody has.
    channel.sendToQueue(
      stage.stream,
      Buffer.from(JSON.stringify({ ...record, partition: uniquePartition() })),
    );
    channel.sendToQueue(stage.stream, Buffer.from([0xff, 0xfe, 0x80]));
  };
  soil();
  await stage.runs(7);
  // Whoever looks again, or begins to read, reads that as the last.
  soil();
  await eventually('it to be said', () => stage.complaints().length > 0);
  await stage.worker.close();
  expect(stage.complaints()).toEqual([
    `The stream ${stage.stream} holds what is no record of a lane, the first at offset 2; such messages are passed over`,
  ]);

  await stage.enqueue(3, 'after');
  await stage.enqueue(8);
  await stage.startWorker();
  await stage.sightings.ended(['after', 'p8'], BOUND_MS);
});
