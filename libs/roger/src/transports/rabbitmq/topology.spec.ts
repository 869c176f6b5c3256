// What is declared on a broker that is not quite there yet.
import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { BrokerNames } from './broker-names';
import { Topology } from './topology';

const ADDRESS = { partition: 'acme', queue: 'mail' };

class Channel extends EventEmitter {
  constructor(
    private readonly broker: StartingBroker,
    private readonly isConfirming: boolean,
  ) {
    super();
  }

  assertExchange(): Promise<void> {
    return Promise.resolve();
  }

  bindQueue(): Promise<void> {
    return Promise.resolve();
  }

  assertQueue(name: string): Promise<void> {
    this.broker.asked.push(name);
    if (this.broker.downFor-- <= 0) return Promise.resolve();
    this.emit('error', Object.assign(new Error('home node of durable queue is down'), { code: 404 }));
    this.emit('close');
    return Promise.reject(new Error('no reply will be forthcoming'));
  }

  publish(): void {
    if (!this.isConfirming) throw new Error('nobody would know whether it has come');
    this.broker.recorded++;
  }

  waitForConfirms(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.emit('close');
    return Promise.resolve();
  }
}

class StartingBroker {
  readonly asked: string[] = [];
  recorded = 0;

  /** @param downFor so many declarations it says that the home of the queue is down */
  constructor(public downFor: number) {}

  createChannel(): Promise<Channel> {
    return Promise.resolve(new Channel(this, false));
  }

  createConfirmChannel(): Promise<Channel> {
    return Promise.resolve(new Channel(this, true));
  }
}

test('a lane is made on a broker that has just started and does not find its queues yet', async () => {
  const broker = new StartingBroker(2);
  const topology = new Topology(new BrokerNames(undefined), {
    ...{ deliveryLimit: 5, maxBuriedQueueSize: 10, ledgerShards: 1 },
    journal: undefined,
  });
  await topology.makeLane(broker as unknown as ChannelModel, ADDRESS, 'p3');
  expect(broker.asked.slice(0, 3)).toEqual(Array(3).fill('roger.lanes'));
  expect(broker.asked.at(-1)).toBe('acme-mail.p3');
  expect(broker.recorded).toBe(2);
});
