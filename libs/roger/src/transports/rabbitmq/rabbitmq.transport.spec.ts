// A close ends within its time limit, whatever becomes of the clock on the wall meanwhile.
import { RabbitmqTransport } from './rabbitmq.transport';

const HOUR_MS = 3_600_000;
const CLOSE_MS = 3_000;

/** A connection that never comes about. */
jest.mock('./broker-connection', () => {
  const { EventEmitter } = jest.requireActual<typeof import('node:events')>('node:events');
  class NoConnection extends EventEmitter {
    open(): void {
      // Nothing answers.
    }
    close(): Promise<void> {
      return Promise.resolve();
    }
  }
  return { BrokerConnection: NoConnection };
});

const LOG = { log: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // The tests judge by what happens.
}

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

test.each([
  ['put forward', HOUR_MS],
  ['put back', -HOUR_MS],
])('a close waits for confirms as long as it should though the clock is %s', async (_how, jumpMs) => {
  const transport = new RabbitmqTransport(
    {
      connection: { uri: 'amqp://127.0.0.1' },
      namespace: undefined,
      enqueueTimeoutMs: HOUR_MS,
      maxBufferedBytes: 10_000,
      deliveryLimit: 20,
      maxBuriedQueueSize: 100,
      ledgerShards: 8,
      journal: undefined,
    },
    LOG,
  );
  const ends: string[] = [];
  const job = { id: 'j1', partition: 'acme', queue: 'default', body: Buffer.from('x') };
  transport.publish(job).catch(() => ends.push('publish'));
  void transport.close(CLOSE_MS).then(() => ends.push('close'));
  jest.setSystemTime(Date.now() + jumpMs);
  await jest.advanceTimersByTimeAsync(CLOSE_MS - 500);
  expect(ends).toEqual([]);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(ends).toEqual(['publish', 'close']);
});
