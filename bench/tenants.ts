// An app whose partitions come and go while a benchmark runs, and the removal of what they leave on the broker.
import { randomBytes } from 'node:crypto';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Channel } from 'amqplib';
import { connect } from 'amqplib';
import type { PartitionQueues } from 'nestjs-roger';
import { RogerModule } from 'nestjs-roger';
import type { Conditions } from './benchmark';

/** How many channels remove queues at once. */
const REMOVERS = 8;
const SHARED_EXCHANGES = ['jobs', 'buried', 'system', 'delay.home'];

@Module({})
class BenchModule {}

export class Tenants {
  readonly namespace = `bench-${randomBytes(4).toString('hex')}`;

  private constructor(
    private readonly uri: string,
    readonly queuesById: ReadonlyMap<string, PartitionQueues>,
  ) {}

  /** Runs with so many partitions of these queues (their ids are in `queuesById`), none of them started. */
  static async during<T>(
    { uri }: Conditions,
    queuesById: ReadonlyMap<string, PartitionQueues>,
    task: (tenants: Tenants) => Promise<T>,
  ): Promise<T> {
    const tenants = new Tenants(uri, queuesById);
    try {
      return await task(tenants);
    } finally {
      await tenants.remove().catch((error: unknown) => console.error(error));
    }
  }

  /** An app that serves none of them yet. */
  startApp(providers: readonly Type[] = []): Promise<INestApplicationContext> {
    const roger = RogerModule.forRoot({ connection: { uri: this.uri }, namespace: this.namespace });
    return NestFactory.createApplicationContext(
      { module: BenchModule, imports: [roger], providers: [...providers] },
      { logger: ['error'] },
    );
  }

  /** Leaves nothing behind: the broker may be somebody's. */
  private async remove(): Promise<void> {
    const connection = await connect(this.uri, { noDelay: true });
    const names = [...this.queuesById].flatMap(([id, queues]) =>
      Object.keys(queues).map((queue) => `${this.namespace}.${id}-${queue}`),
    );
    const left = names.flatMap((name) => [name, `${name}.buried`]);
    const remove = async (channel: Channel): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) await channel.deleteQueue(name);
    };
    const channels = await Promise.all(Array.from({ length: REMOVERS }, () => connection.createChannel()));
    await Promise.all(channels.map(remove));
    const [channel] = channels;
    await channel?.deleteQueue(`${this.namespace}.roger.buried.notices`);
    for (const exchange of SHARED_EXCHANGES)
      await channel?.deleteExchange(`${this.namespace}.roger.${exchange}`);
    await connection.close();
  }
}
