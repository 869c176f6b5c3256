// A publish settles within its time limit, whatever becomes of the clock on the wall meanwhile.
import { EventEmitter } from 'node:events';
import { BrokerUnavailableError } from '../../job/errors';
import type { BrokerConnection } from './broker-connection';
import { BrokerNames } from './broker-names';
import { Publisher } from './publisher';

const TIMEOUT_MS = 10_000;
const HOUR_MS = 3_600_000;

const MAX_BYTES = 10_000;

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
  const options = { names: new BrokerNames(undefined), timeoutMs: TIMEOUT_MS, maxBufferedBytes: MAX_BYTES };
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

describe('a buffer without room', () => {
  /** A message so large that it takes this part of the buffer. */
  const large = (part: number) => ({ ...MESSAGE, body: Buffer.alloc(MAX_BYTES * part - 512) });

  /** Notes how the publishes end, in the order in which they do. */
  function publishing(publisher: Publisher) {
    const ends: string[] = [];
    const publish = (name: string, part: number, whenFull: 'refuse' | 'wait'): void => {
      publisher.publish(large(part), whenFull).catch((error: unknown) => {
        ends.push(`${name}: ${(error as Error).name}`);
      });
    };
    return { publish, ends };
  }

  test('refuses at once who does not wait', async () => {
    const { publish, ends } = publishing(publisherWithoutBroker());
    publish('first', 0.9, 'refuse');
    publish('second', 0.2, 'refuse');
    publish('third', 0.1, 'refuse');
    await jest.advanceTimersByTimeAsync(1);
    expect(ends).toEqual(['second: EnqueueBufferFullError']);
  });

  test('says that it is full as long as somebody waits, and lets nobody wait for longer than the time limit', async () => {
    const publisher = publisherWithoutBroker();
    const { publish, ends } = publishing(publisher);
    publish('first', 0.9, 'refuse');
    expect(publisher.isFull).toBe(false);
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS / 2);
    publish('second', 0.1, 'wait');
    publish('third', 0.1, 'wait');
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS / 2 - 500);
    expect({ ends, isFull: publisher.isFull }).toEqual({ ends: [], isFull: true });
    await jest.advanceTimersByTimeAsync(1_000);
    expect({ ends, isFull: publisher.isFull }).toEqual({
      ends: ['first: BrokerUnavailableError'],
      isFull: false,
    });
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS / 2);
    expect(ends.slice(1)).toEqual(['second: BrokerUnavailableError', 'third: BrokerUnavailableError']);
  });

  test('says so at the end of the time limit to who has waited for room in vain', async () => {
    const publisher = publisherWithoutBroker();
    const { publish, ends } = publishing(publisher);
    void publisher.publishFollowUp(large(0.9), () => false);
    publish('first', 0.1, 'wait');
    await jest.advanceTimersByTimeAsync(TIMEOUT_MS + 500);
    expect({ ends, isFull: publisher.isFull }).toEqual({
      ends: ['first: EnqueueBufferFullError'],
      isFull: false,
    });
    // It took up no room, and leaves none behind.
    publish('second', 0.2, 'refuse');
    await jest.advanceTimersByTimeAsync(1);
    expect(ends[1]).toBe('second: EnqueueBufferFullError');
  });

  test('takes half of it from those that wait, so that the others find room', async () => {
    const publisher = publisherWithoutBroker();
    const { publish, ends } = publishing(publisher);
    for (let n = 0; n < 10; n++) publish('patient', 0.1, 'wait');
    for (let n = 0; n < 6; n++) publish('impatient', 0.1, 'refuse');
    await jest.advanceTimersByTimeAsync(1);
    expect(ends).toEqual(['impatient: EnqueueBufferFullError']);
  });

  test('takes what is larger than that half when it is empty, and never what is larger than itself', async () => {
    const publisher = publisherWithoutBroker();
    const { publish, ends } = publishing(publisher);
    publish('too large', 1.1, 'wait');
    publish('large', 1, 'wait');
    await jest.advanceTimersByTimeAsync(1);
    expect({ ends, isFull: publisher.isFull }).toEqual({
      ends: ['too large: EnqueueBufferFullError'],
      isFull: false,
    });
  });

  test('lets nobody wait past a close', async () => {
    const publisher = publisherWithoutBroker();
    const { publish, ends } = publishing(publisher);
    publish('first', 0.9, 'refuse');
    publish('second', 0.9, 'wait');
    const closed = publisher.close(1_000);
    await jest.advanceTimersByTimeAsync(1_000);
    await closed;
    expect(ends).toEqual(['first: BrokerUnavailableError', 'second: BrokerUnavailableError']);
    expect(jest.getTimerCount()).toBe(0);
  });
});
