// The other side of every comparison: amqplib as plain and as quick as it can be used.
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import type { Tally } from './tally';

/** A message as Roger sends it. */
export interface RawMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: Readonly<Record<'contentType' | 'messageId' | 'appId', string>> & {
    readonly deliveryMode: number;
    readonly headers?: Record<string, unknown>;
  };
}

export class RawPublisher {
  private constructor(
    private readonly channel: ConfirmChannel,
    private readonly message: RawMessage,
  ) {}

  static async open(connection: ChannelModel, message: RawMessage): Promise<RawPublisher> {
    return new RawPublisher(await connection.createConfirmChannel(), message);
  }

  /** Resolves at the broker's confirm. */
  publish(): Promise<void> {
    const { exchange, routingKey, body, properties } = this.message;
    const { contentType, messageId, appId, deliveryMode, headers } = properties;
    // Written out: amqplib spends half as much again on options that come from a spread.
    const options = { mandatory: true, contentType, messageId, appId, deliveryMode, headers };
    return new Promise((resolve, reject) => {
      this.channel.publish(exchange, routingKey, body, options, (error: unknown) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  /** Fills the queue. */
  async fill(jobs: number): Promise<void> {
    await inFlight(1_000, jobs, () => this.publish());
  }
}

export interface RawConsumerOptions {
  readonly queue: string;
  readonly prefetch: number;
  /** One ack for each message, or one for all of a turn of the event loop. */
  readonly acks: 'each' | 'grouped';
  /** What has to be done before the acknowledgement of a message that has not been dead-lettered. */
  readonly before?: () => Promise<void>;
}

/** Takes messages from the queue and counts them until the channel is closed. */
export async function consumeRaw(
  connection: ChannelModel,
  tally: Tally,
  { queue, prefetch, acks, before }: RawConsumerOptions,
): Promise<Channel> {
  const channel = await connection.createChannel();
  await channel.prefetch(prefetch);
  const acknowledge = acks === 'each' ? ackEach(channel) : ackGrouped(channel);
  await channel.consume(queue, (message) => {
    if (message === null) throw new Error('the broker cancelled the consumer');
    tally.count();
    const prior = message.properties.headers?.['x-death'] === undefined ? before?.() : undefined;
    if (prior === undefined) acknowledge(message);
    else
      void prior.then(() => {
        acknowledge(message);
      });
  });
  return channel;
}

/** Keeps so many tasks on their way until so many have been done. */
export async function inFlight(width: number, total: number, task: () => Promise<unknown>): Promise<void> {
  let left = total;
  const line = async (): Promise<void> => {
    while (left-- > 0) await task();
  };
  await Promise.all(Array.from({ length: width }, line));
}

type Acknowledge = (message: Parameters<Channel['ack']>[0]) => void;

function ackEach(channel: Channel): Acknowledge {
  return (message) => channel.ack(message);
}

function ackGrouped(channel: Channel): Acknowledge {
  let latest: Parameters<Channel['ack']>[0] | undefined;
  return (message) => {
    const isScheduled = latest !== undefined;
    latest = message;
    if (isScheduled) return;
    setImmediate(() => {
      if (latest !== undefined) channel.ack(latest, true);
      latest = undefined;
    });
  };
}
