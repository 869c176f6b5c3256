// A publish settles within its time limit, whatever becomes of the clock on the wall meanwhile.
import { EventEmitter } from 'node:events';
import { BrokerUnavailableError } from '../../job/errors';
import type { BrokerConnection } from './broker-connection';
import { Publisher } from './publisher';

const TIMEOUT_MS = 10_000;
const HOUR_MS = 3_600_000;

const MESSAGE = {
  exchange: 'roger.jobs',
  routingKey: 'acme-default',
  messageId: 'j1',
  appId: 'acme',
  contentType: 'text/plain',
  body: Buffer.from('x'),
};

const LOG = { log: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // The tests judge by what happens.
}

/** A publisher whose broker is away. */
function publisherWithoutBroker(): Publisher {
  const connection = new EventEmitter() as unknown as BrokerConnection;
  const options = { timeoutMs: TIMEOUT_MS, maxBufferedBytes: 10_000 };
  return new Publisher(connection, options, LOG, () => Promise.resolve());
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
])('waits for the broker as long as it should though the clock is %s', async (_how, jumpMs) => {
  let failure: unknown;
  publisherWithoutBroker()
    .publish(MESSAGE)
    .catch((error: unknown) => {
      failure = error;
    });
  jest.setSystemTime(Date.now() + jumpMs);
  await jest.advanceTimersByTimeAsync(TIMEOUT_MS - 500);
  expect(failure).toBeUndefined();
  await jest.advanceTimersByTimeAsync(1_000);
  expect(failure).toBeInstanceOf(BrokerUnavailableError);
});
