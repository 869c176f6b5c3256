// Its consumers stay few, however long the broker takes to answer.
import { EventEmitter } from 'node:events';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Delivery } from '../../transport';
import { ConsumingChannel } from './consuming-channel';
import type { FollowUps } from './follow-ups';

const PREFETCH = 100;
const MAX_CONSUMERS = 16;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function ignore(): void {
  // The test judges by the consumers.
}

interface Consumer {
  readonly size: number;
  readonly onMessage: (message: ConsumeMessage) => void;
}

/** A channel whose broker takes so many turns of the event loop for an answer. */
class SlowChannel extends EventEmitter {
  readonly consumers = new Map<string, Consumer>();
  mostConsumers = 0;
  begun = 0;
  private nextSize = 0;
  private tag = 0;

  constructor(private readonly turns: number) {
    super();
  }

  /** How many jobs all consumers may have. */
  get room(): number {
    return [...this.consumers.values()].reduce((sum, { size }) => sum + size, 0);
  }

  async prefetch(size: number): Promise<void> {
    this.nextSize = size;
    await this.answer();
  }

  async consume(_queue: string, onMessage: Consumer['onMessage']): Promise<{ consumerTag: string }> {
    const consumerTag = `consumer-${++this.begun}`;
    this.consumers.set(consumerTag, { size: this.nextSize, onMessage });
    this.mostConsumers = Math.max(this.mostConsumers, this.consumers.size);
    await this.answer();
    return { consumerTag };
  }

  async cancel(consumerTag: string): Promise<void> {
    this.consumers.delete(consumerTag);
    await this.answer();
  }

  ack(): void {
    // What is acked is gone.
  }

  get(): Promise<false> {
    return Promise.resolve(false);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Brings so many jobs to the only consumer. */
  deliver(count: number): void {
    const [consumer] = this.consumers.values();
    for (let n = 0; n < count; n++) {
      const fields = { deliveryTag: ++this.tag, redelivered: false };
      consumer?.onMessage({ fields, properties: {}, content: Buffer.from('x') } as unknown as ConsumeMessage);
    }
  }

  private async answer(): Promise<void> {
    for (let n = 0; n < this.turns; n++) await turn();
  }
}

test.each([0, 1, 5, 20])(
  'takes up the room that old deliveries leave one by one, by few consumers, with answers after %i turns',
  async (turns) => {
    const channel = new SlowChannel(turns);
    const deliveries: Delivery[] = [];
    const consuming = new ConsumingChannel(channel as unknown as Channel, 'a-default', {} as FollowUps, 20, {
      onDelivery: (delivery) => deliveries.push(delivery),
      onLost: ignore,
      onQueueGone: ignore,
      onCancelled: ignore,
      onSpent: ignore,
    });
    await consuming.setPrefetch(PREFETCH);
    channel.deliver(PREFETCH);
    await consuming.setPrefetch(PREFETCH);
    for (const delivery of deliveries) {
      delivery.settle({ kind: 'done' });
      await turn();
    }
    await consuming.settled();
    expect(channel.room).toBe(PREFETCH);
    expect(channel.mostConsumers).toBeLessThanOrEqual(MAX_CONSUMERS);
    // One for each that is settled, and one more each time that they are put together; fewer where answers take long.
    expect(channel.begun).toBeLessThanOrEqual(1 + PREFETCH / Math.max(1, turns));
    await consuming.close();
  },
);
