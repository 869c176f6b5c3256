// What only the in-memory transport promises: its bounds, its turns, its clock. The rest is in test/.
import { setImmediate as immediately } from 'node:timers/promises';
import { InvalidOptionsError, QueueFullError, RogerClosedError } from '../../job/errors';
import type { Delivery, DeliveryConsumer, Settlement, Subscription } from '../../transport';
import { MemoryBroker, type MemoryBrokerOptions } from './memory-broker';
import { MemoryTransport } from './memory.transport';

const ADDRESS = { partition: 'acme', queue: 'mail' };
const DONE: Settlement = { kind: 'done' };
const DAY_SECONDS = 24 * 60 * 60;

/** The errors that reached the log. */
let errors: string[] = [];
const LOG = {
  log: () => undefined,
  warn: () => undefined,
  error: (message: string) => {
    errors.push(message);
  },
  debug: () => undefined,
};

beforeEach(() => {
  errors = [];
});

afterEach(() => {
  jest.useRealTimers();
});

class Taken implements DeliveryConsumer {
  readonly deliveries: Delivery[] = [];
  readonly words: string[] = [];
  constructor(private readonly settlement?: Settlement) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    if (this.settlement !== undefined) delivery.settle(this.settlement);
  }
  lost(detail: string): void {
    this.words.push(`lost: ${detail}`);
  }
  waiting(reason: Error | undefined): void {
    this.words.push(reason === undefined ? 'taking' : `waiting: ${reason.message}`);
  }
  get texts(): string[] {
    return this.deliveries.map(({ body }) => body.toString());
  }
}

function connect(broker: MemoryBroker): MemoryTransport {
  const transport = new MemoryTransport({ broker, log: LOG });
  transport.open();
  return transport;
}

function start(options: MemoryBrokerOptions = {}): { broker: MemoryBroker; transport: MemoryTransport } {
  const broker = new MemoryBroker(options);
  broker.declare(ADDRESS);
  return { broker, transport: connect(broker) };
}

function publish(transport: MemoryTransport, ...ids: string[]): Promise<unknown> {
  return Promise.all(ids.map((id) => transport.publish({ ...ADDRESS, id, body: Buffer.from(id) })));
}

/** Lets the rounds that are due take place: one to connect, one to deliver, one for what the deliveries brought about. */
async function roundsPass(): Promise<void> {
  for (let n = 0; n < 3; n++) await immediately();
}

function bury(id: string): Settlement {
  return { kind: 'bury', id, reason: { type: 'TypeError', message: `no mailbox for ${id}` } };
}

describe('the bounds of the in-memory broker', () => {
  test('a full queue refuses a job with QueueFullError and keeps what it has', async () => {
    const { transport } = start({ maxJobs: 2 });
    await publish(transport, 'a', 'b');
    await expect(publish(transport, 'c')).rejects.toThrow(QueueFullError);
    expect(await transport.depth(ADDRESS)).toMatchObject({ ready: 2 });
  });

  test('a job that runs or waits for a retry still counts; one that is over does not', async () => {
    const { transport } = start({ maxJobs: 2 });
    const consumer = new Taken();
    transport.consume(ADDRESS, 2, consumer);
    await publish(transport, 'a', 'b');
    await roundsPass();
    const [a, b] = consumer.deliveries;
    a?.settle({ kind: 'retry', id: 'a', afterSeconds: 60, body: Buffer.from('a') });
    await expect(publish(transport, 'c')).rejects.toThrow(QueueFullError);
    b?.settle(DONE);
    await expect(publish(transport, 'c')).resolves.toBeDefined();
    await transport.close();
  });

  test.each([
    ['buried', bury('a')],
    ['done', DONE],
  ])('a job that is %s makes room', async (_, settlement) => {
    const { transport } = start({ maxJobs: 1 });
    transport.consume(ADDRESS, 1, new Taken(settlement));
    await publish(transport, 'a');
    await roundsPass();
    await expect(publish(transport, 'b')).resolves.toBeDefined();
  });

  test('a purge makes room', async () => {
    const { transport } = start({ maxJobs: 1 });
    await publish(transport, 'a');
    await transport.purge(ADDRESS);
    await expect(publish(transport, 'b')).resolves.toBeDefined();
  });

  test('each queue has its own bound', async () => {
    const { transport } = start({ maxJobs: 1 });
    const other = { partition: 'acme', queue: 'other' };
    await transport.declareQueue(other);
    await publish(transport, 'a');
    await expect(transport.publish({ ...other, id: 'b', body: Buffer.alloc(0) })).resolves.toBeUndefined();
  });

  test('beyond maxBuriedJobs the oldest is dropped, and the log names its id and reason', async () => {
    const { broker, transport } = start({ maxBuriedJobs: 2 });
    const consumer = new Taken();
    transport.consume(ADDRESS, 3, consumer);
    await publish(transport, 'a', 'b', 'c');
    await roundsPass();
    for (const delivery of consumer.deliveries) delivery.settle(bury(delivery.body.toString()));
    expect(broker.buried(ADDRESS).map(({ id }) => id)).toEqual(['b', 'c']);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('"a"');
    expect(errors[0]).toContain('"no mailbox for a"');
    expect(errors[0]).toContain('maxBuriedJobs');
  });

  test('with maxBuriedJobs 0 every buried job leaves nothing but its line in the log', async () => {
    const { broker, transport } = start({ maxBuriedJobs: 0 });
    transport.consume(ADDRESS, 1, new Taken(bury('a')));
    await publish(transport, 'a');
    await roundsPass();
    expect(broker.buried(ADDRESS)).toEqual([]);
    expect(errors).toHaveLength(1);
  });

  test('what is buried without an id keeps the one it was published under', async () => {
    const { broker, transport } = start();
    transport.consume(ADDRESS, 1, new Taken({ ...bury('a'), id: undefined } as Settlement));
    await publish(transport, 'published-as');
    await roundsPass();
    expect(broker.buried(ADDRESS)).toMatchObject([{ id: 'published-as' }]);
  });

  test.each([{ maxJobs: 0 }, { maxJobs: 1.5 }, { maxJobs: Number.NaN }, { maxBuriedJobs: -1 }])(
    '%j is refused',
    (options) => {
      expect(() => new MemoryBroker(options)).toThrow(InvalidOptionsError);
    },
  );

  test('two brokers share nothing', async () => {
    const first = start();
    const second = start();
    await publish(first.transport, 'a');
    expect(await second.transport.depth(ADDRESS)).toMatchObject({ ready: 0 });
  });
});

describe('how the in-memory transport delivers', () => {
  test('never inside a call of publish, consume, setPrefetch or settle', async () => {
    const { transport } = start();
    const consumer = new Taken();
    const came = (): number => consumer.deliveries.length;
    const published = publish(transport, 'a', 'b', 'c');
    const subscription = transport.consume(ADDRESS, 1, consumer);
    expect(consumer.words).toEqual([]);
    expect(came()).toBe(0);
    await roundsPass();
    expect(came()).toBe(1);
    subscription.setPrefetch(2);
    expect(came()).toBe(1);
    await roundsPass();
    expect(came()).toBe(2);
    consumer.deliveries[0]?.settle(DONE);
    expect(came()).toBe(2);
    await roundsPass();
    expect(came()).toBe(3);
    await published;
  });

  test('consumers with room take turns', async () => {
    const { broker, transport } = start();
    const consumers = [new Taken(), new Taken(), new Taken()];
    for (const consumer of consumers) connect(broker).consume(ADDRESS, 2, consumer);
    await roundsPass();
    await publish(transport, 'a', 'b', 'c', 'd', 'e', 'f');
    await roundsPass();
    expect(consumers.map(({ texts }) => texts)).toEqual([
      ['a', 'd'],
      ['b', 'e'],
      ['c', 'f'],
    ]);
  });

  test('jobs handed back in any order, at any time, come again in their old one', async () => {
    const { transport } = start();
    const consumer = new Taken();
    const subscription = transport.consume(ADDRESS, 50, consumer);
    const ids = Array.from({ length: 60 }, (_, n) => `job-${n}`);
    await publish(transport, ...ids);
    await roundsPass();
    await subscription.stop();
    // 17 and 50 have no common divisor: every delivery has its turn once.
    for (let n = 0; n < 50; n++) {
      consumer.deliveries[(n * 17) % 50]?.settle({ kind: 'handBack' });
      if (n % 7 === 0) await roundsPass();
    }
    const next = new Taken(DONE);
    transport.consume(ADDRESS, 1, next);
    await roundsPass();
    expect(next.texts).toEqual(ids);
  });

  test('other work of the process gets its turn while a backlog is worked off', async () => {
    const { transport } = start();
    await publish(transport, ...Array.from({ length: 5_000 }, (_, n) => `job-${n}`));
    const consumer = new Taken(DONE);
    transport.consume(ADDRESS, 1, consumer);
    await roundsPass();
    expect(consumer.deliveries.length).toBeGreaterThan(0);
    expect(consumer.deliveries.length).toBeLessThan(5_000);
  });

  test('a prefetch that was lowered while there was room holds from then on', async () => {
    const { transport } = start();
    const consumer = new Taken();
    const subscription = transport.consume(ADDRESS, 5, consumer);
    await publish(transport, 'a', 'b');
    await roundsPass();
    subscription.setPrefetch(2);
    await publish(transport, 'c');
    await roundsPass();
    expect(consumer.texts).toEqual(['a', 'b']);
    consumer.deliveries[0]?.settle(DONE);
    await roundsPass();
    expect(consumer.texts).toEqual(['a', 'b', 'c']);
  });

  test('a prefetch of 0 takes no jobs until it is raised', async () => {
    const { transport } = start();
    const consumer = new Taken();
    const subscription = transport.consume(ADDRESS, 0, consumer);
    await publish(transport, 'a');
    await roundsPass();
    expect(consumer.texts).toEqual([]);
    subscription.setPrefetch(1);
    await roundsPass();
    expect(consumer.texts).toEqual(['a']);
  });
});

describe('time in the in-memory transport', () => {
  test('jobs run under faked timers, and a retry follows the faked clock', async () => {
    jest.useFakeTimers();
    const { transport } = start();
    const consumer = new Taken();
    transport.consume(ADDRESS, 1, consumer);
    await publish(transport, 'a');
    await roundsPass();
    consumer.deliveries[0]?.settle({ kind: 'retry', id: 'a', afterSeconds: 60, body: Buffer.from('again') });
    jest.advanceTimersByTime(59_999);
    await roundsPass();
    expect(consumer.texts).toEqual(['a']);
    jest.advanceTimersByTime(1);
    await roundsPass();
    expect(consumer.texts).toEqual(['a', 'again']);
    expect(consumer.deliveries[1]?.redelivered).toBe(false);
  });

  test('a retry may be further off than a timer reaches', async () => {
    jest.useFakeTimers();
    const { transport } = start();
    const consumer = new Taken();
    transport.consume(ADDRESS, 1, consumer);
    await publish(transport, 'a');
    await roundsPass();
    const afterSeconds = 100 * DAY_SECONDS;
    consumer.deliveries[0]?.settle({ kind: 'retry', id: 'a', afterSeconds, body: Buffer.from('again') });
    jest.advanceTimersByTime(afterSeconds * 1000 - 1);
    await roundsPass();
    expect(consumer.texts).toEqual(['a']);
    jest.advanceTimersByTime(1);
    await roundsPass();
    expect(consumer.texts).toEqual(['a', 'again']);
  });

  test('a retry comes back behind what waits', async () => {
    jest.useFakeTimers();
    const { transport } = start();
    const consumer = new Taken();
    const subscription = transport.consume(ADDRESS, 1, consumer);
    await publish(transport, 'a', 'b');
    await roundsPass();
    await subscription.stop();
    consumer.deliveries[0]?.settle({ kind: 'retry', id: 'a', afterSeconds: 1, body: Buffer.from('again') });
    jest.advanceTimersByTime(1_000);
    const next = new Taken(DONE);
    transport.consume(ADDRESS, 1, next);
    await roundsPass();
    expect(next.texts).toEqual(['b', 'again']);
  });

  test('a retry keeps the process alive while a transport is open, and no longer', async () => {
    const armed: boolean[] = [];
    const timeout = jest.spyOn(global, 'setTimeout');
    const { broker, transport } = start();
    const other = connect(broker);
    transport.consume(
      ADDRESS,
      1,
      new Taken({ kind: 'retry', id: 'a', afterSeconds: 600, body: Buffer.from('a') }),
    );
    await publish(transport, 'a');
    await roundsPass();
    const timer = timeout.mock.results[0]?.value as NodeJS.Timeout;
    timeout.mockRestore();
    armed.push(timer.hasRef());
    await transport.close();
    armed.push(timer.hasRef());
    await other.close();
    armed.push(timer.hasRef());
    const later = connect(broker);
    armed.push(timer.hasRef());
    await later.close();
    expect(armed).toEqual([true, true, false, true]);
    clearTimeout(timer);
  });
});

describe('the ends of the in-memory transport', () => {
  async function holding(): Promise<{
    transport: MemoryTransport;
    consumer: Taken;
    subscription: Subscription;
  }> {
    const { transport } = start();
    const consumer = new Taken();
    const subscription = transport.consume(ADDRESS, 1, consumer);
    await publish(transport, 'a');
    await roundsPass();
    return { transport, consumer, subscription };
  }

  test('a crash is told with its detail, then jobs are taken again', async () => {
    const { transport, consumer } = await holding();
    transport.crash('pulled the plug');
    expect(transport.state).toBe('connecting');
    await roundsPass();
    expect(transport.state).toBe('connected');
    expect(consumer.words).toEqual(['taking', 'lost: pulled the plug', 'waiting: pulled the plug', 'taking']);
    expect(consumer.texts).toEqual(['a', 'a']);
  });

  test('what is settled inside `lost`, of any subscription, is not counted', async () => {
    const { transport, consumer } = await holding();
    const second = new Taken();
    transport.consume(ADDRESS, 1, second);
    await publish(transport, 'b');
    await roundsPass();
    consumer.lost = () => second.deliveries[0]?.settle(DONE);
    transport.crash();
    await roundsPass();
    expect(await transport.depth(ADDRESS)).toEqual({ ready: 0, consumers: 2, buried: 0 });
    expect([...consumer.texts, ...second.texts].sort()).toEqual(['a', 'a', 'b', 'b']);
  });

  test('after a crash others have the jobs before the crashed node does', async () => {
    const { broker, transport } = start();
    const crashed = new Taken();
    transport.consume(ADDRESS, 2, crashed);
    await publish(transport, 'a', 'b');
    await roundsPass();
    const other = new Taken();
    connect(broker).consume(ADDRESS, 2, other);
    await roundsPass();
    transport.crash();
    await roundsPass();
    expect(other.texts).toEqual(['a', 'b']);
    expect(other.deliveries.every(({ redelivered }) => redelivered)).toBe(true);
  });

  test('a transport closed in the middle of a crash stays closed', async () => {
    const { transport, consumer } = await holding();
    transport.crash();
    await transport.close();
    await roundsPass();
    expect(transport.state).toBe('closed');
    expect(consumer.texts).toEqual(['a']);
  });

  test('a close of one’s own is no loss to the consumer', async () => {
    const { transport, consumer, subscription } = await holding();
    await subscription.close();
    await transport.close();
    expect(consumer.words).toEqual(['taking']);
  });

  test('consuming begins with open; the jobs wait', async () => {
    const broker = new MemoryBroker();
    const transport = new MemoryTransport({ broker, log: LOG });
    const consumer = new Taken();
    transport.consume(ADDRESS, 1, consumer);
    await publish(transport, 'a');
    await roundsPass();
    expect(transport.state).toBe('closed');
    expect(consumer.texts).toEqual([]);
    transport.open();
    await roundsPass();
    expect(consumer.texts).toEqual(['a']);
  });

  test('who consumes after the close is told why no job comes', async () => {
    const { transport } = start();
    await transport.close();
    const consumer = new Taken();
    transport.consume(ADDRESS, 1, consumer);
    await roundsPass();
    expect(consumer.words).toEqual([`waiting: ${new RogerClosedError().message}`]);
  });
});

test('a job that is never settled because its node crashes each time is buried, and what is given back is not', async () => {
  const { broker, transport } = start({ deliveryLimit: 2 });
  const taken = new Taken();
  transport.consume(ADDRESS, 1, taken);
  await publish(transport, 'killer');
  await roundsPass();
  for (let n = 0; n < 3; n++) {
    taken.deliveries.at(-1)?.settle({ kind: 'handBack' });
    await roundsPass();
  }
  expect(broker.buried(ADDRESS)).toEqual([]);
  for (let n = 0; n < 3; n++) {
    transport.crash();
    await roundsPass();
  }
  expect(taken.deliveries).toHaveLength(6);
  expect(broker.buried(ADDRESS)).toMatchObject([{ id: 'killer', reason: { type: 'ROGER_JOB_CRASHED' } }]);
});
