// Where Roger and raw amqplib meet: queues that Roger declared, used by both, removed at the end.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DynamicModule, INestApplicationContext } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import type { JobClass, PartitionQueues } from 'nestjs-roger';
import { JobQueue, PartitionService, RogerModule } from 'nestjs-roger';
import type { Conditions, Result } from './benchmark';
import { ARGS, CheckedJob, FailingJob, KeyedJob, PlainJob, RankedJob, ScopedJob } from './jobs';
import type { RawMessage } from './raw';
import { Tally } from './tally';

export const PARTITION = 'bench';
const POLL_MS = 5;
/** The longest delay of a benchmark is shorter than the level after these. */
const DELAY_LEVELS = 12;
/** Those besides the queue itself. */
const LANES = ['express', 'now', ...Array.from({ length: 9 }, (_, n) => `p${n + 1}`)];
/** The default of `ledgerShards`. */
const LEDGERS = 8;

@Module({})
class BenchModule {}

/** An app with Roger in it, and the tally that its jobs count on. */
export interface RogerApp {
  readonly jobs: JobQueue;
  readonly partitions: PartitionService;
  readonly tally: Tally;
  readonly app: INestApplicationContext;
  close(): Promise<void>;
}

export class Arena {
  readonly namespace = `bench-${randomBytes(4).toString('hex')}`;
  private readonly connections: ChannelModel[] = [];

  private constructor(
    private readonly uri: string,
    private readonly queues: readonly string[],
  ) {}

  /** Has Roger declare the queues, so that raw amqplib works on the very kind that Roger uses, and removes them after. */
  static async during(
    { uri }: Conditions,
    benchmark: (arena: Arena) => Promise<Result>,
    queues: readonly string[] = ['default'],
  ): Promise<Result> {
    const arena = new Arena(uri, queues);
    try {
      await arena.open();
      return await benchmark(arena);
    } finally {
      // A broker that went away is not the error to tell of.
      await arena.close().catch((error: unknown) => console.error(error));
    }
  }

  /** The queue's name on the broker. */
  nameOf(queue = 'default'): string {
    return `${this.namespace}.${PARTITION}-${queue}`;
  }

  /** The exchange and the queue of a retry level. */
  levelName(seconds: number): string {
    return `${this.namespace}.roger.retry.${seconds}`;
  }

  /** Leaves nothing of a retry level that was used. */
  removeLevel(seconds: number): Promise<void> {
    return this.control(async (channel) => {
      await channel.deleteQueue(this.levelName(seconds));
      await channel.deleteExchange(this.levelName(seconds));
    });
  }

  /** A connection of raw amqplib, set up as Roger sets up its own. */
  async connect(): Promise<ChannelModel> {
    const connection = await connect(this.uri, { noDelay: true });
    this.connections.push(connection);
    return connection;
  }

  /** An app that only enqueues. */
  startProducer(): Promise<RogerApp> {
    return this.start('producer', { default: 1 });
  }

  /** An app that runs the jobs of these queues. */
  startWorker(queues: PartitionQueues, tally?: Tally, imports?: readonly DynamicModule[]): Promise<RogerApp> {
    return this.start('worker', queues, tally, imports);
  }

  /** What Roger sends for one of these jobs, to the byte, with exchange, routing key and properties. */
  async messageOf(jobClass: JobClass, queue = 'default'): Promise<RawMessage> {
    const producer = await this.startProducer();
    await producer.jobs.enqueue(jobClass, ARGS, { queue });
    await producer.close();
    const connection = await this.connect();
    const channel = await connection.createChannel();
    const message = await channel.get(this.nameOf(queue), { noAck: true });
    if (message === false) throw new Error('the job that was enqueued is not in its queue');
    await connection.close();
    const { contentType, messageId, appId, deliveryMode } = message.properties as RawMessage['properties'];
    const { exchange, routingKey } = message.fields;
    return {
      exchange,
      routingKey,
      body: message.content,
      properties: { contentType, messageId, appId, deliveryMode },
    };
  }

  /** Empties the queue. With more or fewer jobs in it than there should be, the race was not a fair one. */
  async clear(expected: number, queue = 'default'): Promise<void> {
    await this.control(async (channel) => {
      const { messageCount } = await channel.purgeQueue(this.nameOf(queue));
      if (messageCount === expected) return;
      throw new Error(`${messageCount} jobs are in the queue, not ${expected}`);
    });
  }

  /** Removes what is in the queue, however much that is: some may be on its way still. */
  async empty(queue = 'default'): Promise<void> {
    await this.control((channel) => channel.purgeQueue(this.nameOf(queue)));
  }

  private async open(): Promise<void> {
    const queues = Object.fromEntries(this.queues.map((queue) => [queue, 1]));
    const app = await this.startNest('worker', queues, new Tally());
    const partitions = app.get(PartitionService);
    while (!partitions.isRunning(PARTITION)) await sleep(POLL_MS);
    await app.close();
  }

  /** Leaves nothing behind: the broker may be somebody's. */
  private async close(): Promise<void> {
    await Promise.allSettled(this.connections.map((connection) => connection.close()));
    await this.control(async (channel) => {
      for (const queue of this.queues) {
        await channel.deleteQueue(this.nameOf(queue));
        await channel.deleteQueue(`${this.nameOf(queue)}.buried`);
        for (const lane of LANES) await channel.deleteQueue(`${this.nameOf(queue)}.${lane}`);
      }
      for (let ledger = 0; ledger < LEDGERS; ledger++) {
        await channel.deleteQueue(`${this.namespace}.roger.ledger.${ledger}`);
        await channel.deleteQueue(`${this.namespace}.roger.ledger.${ledger}.log`);
      }
      const levels = Array.from({ length: DELAY_LEVELS }, (_, level) => `delay.${level}`);
      for (const level of [...levels, 'delay.homeless']) {
        await channel.deleteQueue(`${this.namespace}.roger.${level}`);
      }
      await channel.deleteQueue(`${this.namespace}.roger.buried.notices`);
      await channel.deleteQueue(`${this.namespace}.roger.lanes`);
      for (const exchange of ['jobs', 'buried', 'system', ...levels, 'delay.home', 'delay.homeless']) {
        await channel.deleteExchange(`${this.namespace}.roger.${exchange}`);
      }
    });
  }

  private async control(task: (channel: Channel) => Promise<unknown>): Promise<void> {
    const connection = await connect(this.uri, { noDelay: true });
    await task(await connection.createChannel());
    await connection.close();
  }

  private async start(
    mode: 'producer' | 'worker',
    queues: PartitionQueues,
    tally = new Tally(),
    imports?: readonly DynamicModule[],
  ): Promise<RogerApp> {
    const app = await this.startNest(mode, queues, tally, imports);
    return {
      jobs: app.get(JobQueue),
      partitions: app.get(PartitionService),
      tally,
      app,
      close: () => app.close(),
    };
  }

  private startNest(
    mode: 'producer' | 'worker',
    queues: PartitionQueues,
    tally: Tally,
    imports: readonly DynamicModule[] = [],
  ): Promise<INestApplicationContext> {
    const roger = RogerModule.forRoot({
      connection: { uri: this.uri },
      namespace: this.namespace,
      partitions: { [PARTITION]: queues },
      mode,
    });
    const providers = [
      { provide: Tally, useValue: tally },
      PlainJob,
      CheckedJob,
      FailingJob,
      RankedJob,
      KeyedJob,
      ScopedJob,
    ];
    return NestFactory.createApplicationContext(
      { module: BenchModule, imports: [roger, ...imports], providers },
      // Errors only: a job that got buried must not pass for a slow one.
      { logger: ['error'] },
    );
  }
}
