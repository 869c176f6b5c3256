// Holds the RabbitMQ transport to the promises of the port.
import type { ChannelModel } from 'amqplib';
import { connect } from 'amqplib';
import type { QueueAddress } from '../libs/roger/src/job/names';
import { RabbitmqTransport } from '../libs/roger/src/transports/rabbitmq/rabbitmq.transport';
import { eventually } from './support/app';
import { sharedBrokerUri, uniquePartition } from './support/broker';
import { TcpProxy } from './support/tcp-proxy';
import { describeTransport, type TransportFixture } from './transport.conformance';

const SILENCE = { log: ignore, warn: ignore, error: ignore, debug: ignore };

class RabbitmqFixture implements TransportFixture {
  private constructor(
    private readonly proxy: TcpProxy,
    private readonly observer: ChannelModel,
  ) {}

  static async create(): Promise<RabbitmqFixture> {
    return new RabbitmqFixture(await TcpProxy.before(sharedBrokerUri()), await connect(sharedBrokerUri()));
  }

  async open(): Promise<RabbitmqTransport> {
    const transport = new RabbitmqTransport(
      {
        connection: { uri: this.proxy.uri },
        namespace: undefined,
        enqueueTimeoutMs: 10_000,
        maxBufferedBytes: 64 * 1024 * 1024,
        deliveryLimit: 20,
        maxBuriedQueueSize: 1_000,
        ledgerShards: 8,
        journal: undefined,
      },
      SILENCE,
    );
    transport.open();
    await eventually('the transport to connect', () => transport.state === 'connected');
    return transport;
  }

  address(): QueueAddress {
    return { partition: uniquePartition(), queue: 'default' };
  }

  cutConnections(): Promise<void> {
    this.proxy.cut();
    return Promise.resolve();
  }

  async buried({ partition, queue }: QueueAddress): ReturnType<TransportFixture['buried']> {
    // Closing the channel gives back what was taken to be looked at.
    const channel = await this.observer.createChannel();
    const jobs: { body: Buffer; reasonType: string }[] = [];
    for (;;) {
      const message = await channel.get(`${partition}-${queue}.buried`);
      if (message === false) break;
      const headers = message.properties.headers ?? {};
      jobs.push({ body: message.content, reasonType: String(headers['x-roger-reason']) });
    }
    await channel.close();
    return jobs;
  }

  async close(): Promise<void> {
    await this.observer.close();
    await this.proxy.close();
  }
}

function ignore(): void {
  // The suite judges by what happens.
}

describeTransport('RabbitMQ', () => RabbitmqFixture.create());
