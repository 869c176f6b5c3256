// What every transport promises, as one exercise that every adapter runs.
/* eslint-disable jest/no-export -- the adapters' specs import the suite */
import { isDeepStrictEqual } from 'node:util';
import { QueueNotFoundError, RogerClosedError, RogerError } from '../libs/roger/src/job/errors';
import type { QueueAddress } from '../libs/roger/src/job/names';
import type { DispatchedJob, DispatchRoute, LedgerTransport } from '../libs/roger/src/ledger-transport';
import type {
  BuriedMessage,
  BuriedVisitor,
  Delivery,
  OutgoingJob,
  QueueDepth,
  QueueLane,
  Settlement,
  Subscription,
  Transport,
} from '../libs/roger/src/transport';
import { eventually } from './support/app';
import { RecordingConsumer, textsOf } from './support/recording-consumer';
import { within } from './support/within';

/** A broker under test and the processes that use it. One serves all the tests of a suite. */
export interface TransportFixture {
  /** Another transport on the same broker, opened: one per simulated process. The suite closes it after the test. */
  open(): Promise<TransportOfBothPorts>;
  /** A queue that nobody has used, in a partition that nobody has used. */
  address(): QueueAddress;
  /** Cuts, hard, all connections of all transports that are open. */
  cutConnections(): Promise<void>;
  /** The buried jobs of a queue, the oldest first. */
  buried(address: QueueAddress): Promise<readonly { readonly body: Buffer; readonly reasonType: string }[]>;
  /** Lets go of the broker. Called once, when all transports are closed. */
  close(): Promise<void>;
}

/** What puts jobs on an express lane is the second port, on the same connection. */
export type TransportOfBothPorts = Transport & { readonly ledgers?: Pick<LedgerTransport, 'dispatch'> };

/** Tests that an adapter can't pass, by their names, with the reason. The reason stands in the report. */
export type Skips = Readonly<Record<string, string>>;

/**
 * Declares the suite for one adapter.
 *
 * @example
 * ```ts
 * describeTransport('memory', () => Promise.resolve(new MemoryFixture()));
 * ```
 */
export function describeTransport(
  name: string,
  createFixture: () => Promise<TransportFixture>,
  skips: Skips = {},
): void {
  describe(`the ${name} transport`, () => {
    const stage = new Stage();
    const skipped = new Map(Object.entries(skips));
    const promises: Promises = (promise, exercise) => {
      const reason = skipped.get(promise);
      const title = reason === undefined ? promise : `${promise} (skipped: ${reason})`;
      const declareTest = reason === undefined ? test : test.skip;
      declareTest(title, () => exercise(stage), TEST_LIMIT_MS);
      skipped.delete(promise);
    };

    beforeAll(() => stage.set(createFixture), TEST_LIMIT_MS);
    afterEach(() => stage.clear(), TEST_LIMIT_MS);
    afterAll(() => stage.strike(), TEST_LIMIT_MS);

    describe('publishing', () => {
      publishing(promises);
    });
    describe('delivering', () => {
      delivering(promises);
    });
    describe('settling', () => {
      settling(promises);
    });
    describe('delaying', () => {
      delaying(promises);
    });
    describe('losing the connection', () => {
      losing(promises);
    });
    describe('looking and purging', () => {
      looking(promises);
    });
    describe('looking through the buried', () => {
      buried(promises);
    });
    describe('the express lane', () => {
      expressLane(promises);
    });
    describe('the lanes of priorities', () => {
      priorityLanes(promises);
    });
    describe('ending', () => {
      ending(promises);
    });

    const unknown = [...skipped.keys()];
    if (unknown.length > 0) throw new Error(`No such tests to skip: ${unknown.join('; ')}`);
  });
}

/** Above the patience of the single waits, so that these speak first. */
const TEST_LIMIT_MS = 60_000;

type Promises = (promise: string, exercise: (stage: Stage) => Promise<void>) => void;

const DONE: Settlement = { kind: 'done' };
const HAND_BACK: Settlement = { kind: 'handBack' };
const BURY = {
  kind: 'bury',
  id: 'a',
  reason: { type: 'TypeError', message: 'no mailbox' },
} as const satisfies Settlement;

const REASON = { type: 'TypeError', message: 'no mailbox', stack: 'TypeError: no mailbox' };

function publishing(promises: Promises): void {
  promises('a job whose publish resolved is delivered', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, 'a');
    const consumer = new RecordingConsumer();
    transport.consume(address, 1, consumer);
    const delivery = await consumer.delivery(1);
    expect(delivery.body.toString()).toBe('a');
    expect(delivery.redelivered).toBe(false);
  });

  promises('a job published by one process is delivered to another', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const other = await stage.open();
    other.consume(address, 1, consumer);
    await publish(transport, address, 'a');
    await consumer.first(1);
    expect(consumer.texts).toEqual(['a']);
  });

  promises('a job outlives the process that published it', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, 'a');
    await closeTransport(transport);
    await expectQueueToHold(stage, address, ['a']);
  });

  promises('a publish to a queue that nobody declared is refused with QueueNotFoundError', async (stage) => {
    const transport = await stage.open();
    const address = stage.address();
    const refused = publish(transport, address, 'a');
    await expect(refused).rejects.toThrow(QueueNotFoundError);
    await expect(refused).rejects.toMatchObject(address);
  });

  promises('a thousand publishes at once all resolve and each is delivered exactly once', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(1000);
    await publish(transport, address, ...texts);
    const consumer = new RecordingConsumer(settleAs(DONE));
    const subscription = transport.consume(address, 100, consumer);
    await consumer.first(texts.length);
    await close(subscription);
    expect([...consumer.texts].sort()).toEqual([...texts].sort());
    await expectQueueToHold(stage, address, []);
  });

  promises('bodies of any bytes arrive unchanged', async (stage) => {
    const { transport, address } = await stage.queue();
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const bodies = [
      Buffer.alloc(0),
      Buffer.from([0xff, 0xfe, 0x00, 0xc0, 0x80]),
      everyByte,
      Buffer.from('{"ä":"🚀"}'),
      Buffer.alloc(300_000, everyByte),
    ];
    for (const body of bodies) await within('a publish', transport.publish({ ...address, id: 'a', body }));
    const consumer = new RecordingConsumer();
    transport.consume(address, bodies.length, consumer);
    const deliveries = await consumer.first(bodies.length);
    expect(deliveries.map(({ body }, index) => bodies[index]?.equals(body))).toEqual(bodies.map(() => true));
  });

  promises('declaring a queue again leaves its jobs where they are', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, 'a');
    await declare(transport, address);
    await declare(await stage.open(), address);
    await expectQueueToHold(stage, address, ['a']);
  });
}

function delivering(promises: Promises): void {
  promises('consuming declares the queue first', async (stage) => {
    const transport = await stage.open();
    const address = stage.address();
    const consumer = new RecordingConsumer();
    transport.consume(address, 1, consumer);
    await consumer.taking();
    await publish(transport, address, 'a');
    await consumer.first(1);
    expect(consumer.texts).toEqual(['a']);
  });

  promises('jobs of one queue come in the order they were published', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(200);
    const consumer = new RecordingConsumer(settleSoonAs(DONE));
    transport.consume(address, 7, consumer);
    await publish(transport, address, ...texts);
    await consumer.first(texts.length);
    expect(consumer.texts).toEqual(texts);
  });

  promises('at most `prefetch` deliveries are unsettled at a time', async (stage) => {
    const { transport, address } = await stage.queue();
    let unsettled = 0;
    let most = 0;
    const settle = (delivery: Delivery): void => {
      unsettled--;
      delivery.settle(DONE);
    };
    const early: Delivery[] = [];
    const consumer = new RecordingConsumer((delivery) => {
      most = Math.max(most, ++unsettled);
      if (early.length < 3) early.push(delivery);
      else setImmediate(settle, delivery);
    });
    await publish(transport, address, ...numbered(200));
    transport.consume(address, 3, consumer);
    await consumer.first(3);
    early.forEach(settle);
    await consumer.first(200);
    expect(most).toBe(3);
  });

  promises('what exceeds `prefetch` stays in the queue, for others', async (stage) => {
    const { transport, address } = await stage.queue();
    const greedy = new RecordingConsumer();
    transport.consume(address, 3, greedy);
    await publish(transport, address, ...numbered(10));
    await greedy.first(3);
    const other = new RecordingConsumer();
    (await stage.open()).consume(address, 7, other);
    await other.first(7);
    expect(greedy.texts).toEqual(numbered(3));
  });

  promises(
    "two subscriptions of one queue share its jobs; one that is full doesn't hold up the other",
    async (stage) => {
      const { transport, address } = await stage.queue();
      const slow = new RecordingConsumer();
      const quick = new RecordingConsumer(settleAs(DONE));
      transport.consume(address, 1, slow);
      (await stage.open()).consume(address, 5, quick);
      await Promise.all([slow.taking(), quick.taking()]);
      const texts = numbered(20);
      await publish(transport, address, ...texts);
      await Promise.all([slow.first(1), quick.first(19)]);
      expect([...slow.texts, ...quick.texts].sort()).toEqual([...texts].sort());
    },
  );

  promises('setPrefetch lets more jobs come while deliveries are unsettled', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 2, consumer);
    await publish(transport, address, ...numbered(10));
    await consumer.first(2);
    subscription.setPrefetch(5);
    await consumer.first(5);
    const rest = new RecordingConsumer();
    (await stage.open()).consume(address, 5, rest);
    await rest.first(5);
    expect(consumer.texts).toEqual(numbered(5));
  });

  promises('setPrefetch lets no job come until fewer are unsettled than it says', async (stage) => {
    const { transport, address } = await stage.queue();
    let settled = 0;
    const unsettledAtArrival: number[] = [];
    const consumer: RecordingConsumer = new RecordingConsumer(() => {
      unsettledAtArrival.push(consumer.deliveries.length - settled);
    });
    const settle = (delivery: Delivery): void => {
      settled++;
      delivery.settle(DONE);
    };
    const subscription = transport.consume(address, 5, consumer);
    await publish(transport, address, ...numbered(10));
    const early = await consumer.first(5);
    subscription.setPrefetch(1);
    for (const delivery of early) settle(delivery);
    for (let n = 6; n <= 10; n++) settle(await consumer.delivery(n));
    expect(unsettledAtArrival).toEqual([1, 2, 3, 4, 5, 1, 1, 1, 1, 1]);
    expect(consumer.texts).toEqual(numbered(10));
    expect(consumer.losses).toEqual([]);
  });

  promises("queues of two partitions with alike names don't mix", async (stage) => {
    const { transport, address: own } = await stage.queue();
    const addresses = [
      { partition: `${own.partition}-b`, queue: 'c' },
      { partition: own.partition, queue: 'b_c' },
      { partition: `${own.partition}_b`, queue: 'c' },
      { partition: own.partition, queue: 'c' },
      { partition: `${own.partition}-b_c`, queue: own.queue },
    ];
    const consumers = addresses.map(() => new RecordingConsumer(settleAs(DONE)));
    for (const address of addresses) await declare(transport, address);
    for (const [index, address] of addresses.entries()) await publish(transport, address, `job of ${index}`);
    for (const [index, consumer] of consumers.entries()) {
      transport.consume(addresses[index] ?? own, 10, consumer);
    }
    await Promise.all(consumers.map((consumer) => consumer.first(1)));
    // A second one each: what went astray would have come before it.
    for (const address of addresses) await publish(transport, address, 'last');
    await Promise.all(
      consumers.map((consumer) =>
        consumer.until('the last', () => consumer.texts.includes('last') || undefined),
      ),
    );
    expect(consumers.map(({ texts }) => texts)).toEqual(
      addresses.map((_, index) => [`job of ${index}`, 'last']),
    );
  });
}

function settling(promises: Promises): void {
  promises('a delivery settled as done never comes again', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(DONE));
    const subscription = transport.consume(address, 10, consumer);
    await publish(transport, address, 'a');
    await consumer.first(1);
    await close(subscription);
    await expectQueueToHold(stage, address, []);
  });

  promises('a retry comes back after its seconds with its new body, not before', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    transport.consume(address, 10, consumer);
    await publish(transport, address, 'attempt 1');
    const first = await consumer.delivery(1);
    const settledAt = performance.now();
    first.settle(retryAs('attempt 2'));
    const second = await consumer.delivery(2);
    // Clocks of two processes, each in whole milliseconds.
    expect(performance.now() - settledAt).toBeGreaterThan(900);
    expect(second.body.toString()).toBe('attempt 2');
    second.settle(DONE);
    expect(consumer.texts).toEqual(['attempt 1', 'attempt 2']);
  });

  promises('a retry outlives the process that asked for it', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(retryAs('attempt 2')));
    transport.consume(address, 1, consumer);
    await publish(transport, address, 'attempt 1');
    await consumer.first(1);
    await closeTransport(transport);
    const next = new RecordingConsumer();
    (await stage.open()).consume(address, 1, next);
    await next.first(1);
    expect(next.texts).toEqual(['attempt 2']);
  });

  promises('a buried job is kept with its bytes and reason and counted in depth', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(BURY));
    const subscription = transport.consume(address, 1, consumer);
    const body = Buffer.from([0xff, 0x00, 0x80]);
    await within('a publish', transport.publish({ ...address, id: 'a', body }));
    await consumer.first(1);
    await close(subscription);
    expect(await stage.buried(address)).toEqual([{ body, reasonType: 'TypeError' }]);
    await eventuallyDepth(transport, address, { ready: 0, consumers: 0, buried: 1 });
    await expectQueueToHold(stage, address, []);
  });

  promises('what has no id can be buried too', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs({ ...BURY, id: undefined }));
    const subscription = transport.consume(address, 1, consumer);
    await publish(transport, address, 'no job at all');
    await consumer.first(1);
    await close(subscription);
    expect(await stage.buried(address)).toEqual([
      { body: Buffer.from('no job at all'), reasonType: 'TypeError' },
    ]);
  });

  promises('a job handed back comes again at the head, flagged as redelivered', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    await publish(transport, address, 'a', 'b', 'c');
    transport.consume(address, 1, consumer);
    (await consumer.delivery(1)).settle(HAND_BACK);
    for (let n = 2; n <= 4; n++) (await consumer.delivery(n)).settle(DONE);
    expect(consumer.texts).toEqual(['a', 'a', 'b', 'c']);
    expect(consumer.deliveries.map(({ redelivered }) => redelivered)).toEqual([false, true, false, false]);
  });

  promises('several jobs handed back come again in their order, before all that wait', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    await publish(transport, address, ...numbered(6));
    const subscription = transport.consume(address, 4, consumer);
    const deliveries = await consumer.first(4);
    await within('stop', subscription.stop());
    for (const delivery of deliveries) delivery.settle(HAND_BACK);
    await close(subscription);
    const again = await expectQueueToHold(stage, address, numbered(6));
    expect(again.map(({ redelivered }) => redelivered)).toEqual([true, true, true, true, false, false]);
  });

  promises('settling twice settles once: the first counts', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 3, consumer);
    await publish(transport, address, 'a', 'b', 'c');
    const [a, b, c] = await consumer.first(3);
    settleAll(a, [DONE, HAND_BACK]);
    settleAll(b, [BURY, DONE, DONE]);
    await within('stop', subscription.stop());
    settleAll(c, [HAND_BACK, DONE, BURY]);
    await close(subscription);
    expect(consumer.losses).toEqual([]);
    expect(await stage.buried(address)).toHaveLength(1);
    await expectQueueToHold(stage, address, ['c']);
  });

  promises('settling twice makes room for one job', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    transport.consume(address, 2, consumer);
    await publish(transport, address, 'a', 'b', 'c', 'd');
    const [a] = await consumer.first(2);
    settleAll(a, [DONE, DONE]);
    await consumer.first(3);
    const other = new RecordingConsumer();
    (await stage.open()).consume(address, 2, other);
    await other.first(1);
    expect(other.texts).toEqual(['d']);
    expect(consumer.texts).toEqual(['a', 'b', 'c']);
    expect(consumer.losses).toEqual([]);
  });
}

function losing(promises: Promises): void {
  promises(
    'unsettled deliveries of a lost consumer go to another consumer, flagged as redelivered',
    async (stage) => {
      const { transport, address } = await stage.queue();
      const lost = new RecordingConsumer();
      const subscription = transport.consume(address, 10, lost);
      await publish(transport, address, ...numbered(5));
      await lost.first(5);
      await within('stop', subscription.stop());
      await stage.cutConnections();
      await lost.loss();
      const other = new RecordingConsumer();
      (await stage.open()).consume(address, 10, other);
      const deliveries = await other.first(5);
      expect([...other.texts].sort()).toEqual(numbered(5));
      expect(deliveries.every(({ redelivered }) => redelivered)).toBe(true);
      expect(lost.losses).toHaveLength(1);
    },
  );

  promises('a subscription consumes again by itself after its connection was cut', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    transport.consume(address, 1, consumer);
    await publish(transport, address, 'held');
    await consumer.first(1);
    await stage.cutConnections();
    await consumer.loss();
    const again = await consumer.delivery(2);
    expect(again.redelivered).toBe(true);
    again.settle(DONE);
    await consumer.taking();
    await publish(transport, address, 'later');
    await consumer.first(3);
    expect(consumer.texts).toEqual(['held', 'held', 'later']);
  });

  promises('a subscription keeps its prefetch over a cut', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 1, consumer);
    await publish(transport, address, ...numbered(5));
    await consumer.first(1);
    subscription.setPrefetch(3);
    await consumer.first(3);
    await stage.cutConnections();
    await consumer.loss();
    await consumer.first(6);
    const other = new RecordingConsumer();
    (await stage.open()).consume(address, 10, other);
    await other.first(2);
    expect(consumer.deliveries).toHaveLength(6);
  });

  promises('settlements after the loss are ignored', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 1, consumer);
    await publish(transport, address, 'a');
    const old = await consumer.delivery(1);
    await stage.cutConnections();
    await consumer.loss();
    old.settle(DONE);
    await consumer.delivery(2);
    settleAll(old, [DONE, BURY]);
    await close(subscription);
    expect(consumer.losses).toHaveLength(1);
    expect(await stage.buried(address)).toEqual([]);
    await expectQueueToHold(stage, address, ['a']);
  });

  promises('what was published before the cut is delivered after it', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(100);
    await publish(transport, address, ...texts);
    await stage.cutConnections();
    const consumer = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 100, consumer);
    await consumer.first(100);
    expect([...consumer.texts].sort()).toEqual([...texts].sort());
  });

  promises('of publishes that a cut interrupts, none resolves whose job is not delivered', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(500);
    const publishes = Promise.allSettled(texts.map((text) => transport.publish(job(address, text))));
    await stage.cutConnections();
    const outcomes = await within('the publishes to settle', publishes);
    const resolved = texts.filter((_, index) => outcomes[index]?.status === 'fulfilled');
    const errors = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    );
    expect(errors.filter((error) => !(error instanceof RogerError))).toEqual([]);
    const consumer = new RecordingConsumer(settleAs(DONE));
    (await stage.open()).consume(address, 100, consumer);
    await consumer.until(`the ${resolved.length} jobs whose publish resolved`, () => {
      // Counted first: the set is only built when it can be complete.
      if (consumer.deliveries.length < resolved.length) return undefined;
      const came = new Set(consumer.texts);
      return resolved.every((text) => came.has(text)) || undefined;
    });
    expect(consumer.texts.filter((text) => !texts.includes(text))).toEqual([]);
  });
}

/** A broker forgets a consumer, and takes back what was given back or looked at, a moment after it has answered. */
function eventuallyDepth(transport: Transport, address: QueueAddress, expected: QueueDepth): Promise<void> {
  return eventually(`the depth to be ${JSON.stringify(expected)}`, async () =>
    isDeepStrictEqual(await transport.depth(address), expected),
  );
}

function looking(promises: Promises): void {
  promises("depth is undefined for a queue that doesn't exist", async (stage) => {
    const transport = await stage.open();
    expect(await within('depth', transport.depth(stage.address()))).toBeUndefined();
    // And the question harmed nothing.
    const address = stage.address();
    await declare(transport, address);
    expect(await within('depth', transport.depth(address))).toEqual({ ready: 0, consumers: 0, buried: 0 });
  });

  promises('depth counts what waits and who consumes, not what is delivered', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, ...numbered(5));
    await eventuallyDepth(transport, address, { ready: 5, consumers: 0, buried: 0 });
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 2, consumer);
    await consumer.first(2);
    await eventuallyDepth(transport, address, { ready: 3, consumers: 1, buried: 0 });
    await close(subscription);
    await eventuallyDepth(transport, address, { ready: 5, consumers: 0, buried: 0 });
  });

  promises('purge removes what is ready and reports the number', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, ...numbered(5));
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 2, consumer);
    await consumer.first(2);
    expect(await within('purge', transport.purge(address))).toBe(3);
    await close(subscription);
    await expectQueueToHold(stage, address, numbered(2));
    expect(await within('purge', transport.purge(address))).toBe(0);
  });

  promises('purge of a queue that nobody declared is refused with QueueNotFoundError', async (stage) => {
    const transport = await stage.open();
    const address = stage.address();
    await expect(within('purge', transport.purge(address))).rejects.toThrow(QueueNotFoundError);
    await declare(transport, address);
    await publish(transport, address, 'a');
    await expectQueueToHold(stage, address, ['a']);
  });
}

function delaying(promises: Promises): void {
  promises('a delayed job is delivered after its seconds, to half of one', async (stage) => {
    const { transport, address } = await stage.queue();
    // The first one waits until its levels are there.
    await publishLater(transport, address, 3, 'warm');
    const { arrivedAt, consumer } = arrivals(transport, address);
    const publishedAt = performance.now();
    await publishLater(transport, address, 1, 'one');
    await publishLater(transport, address, 2, 'two');
    await publishLater(transport, address, 3, 'three');
    await consumer.first(4);
    for (const [text, seconds] of [
      ['one', 1],
      ['two', 2],
      ['three', 3],
    ] as const) {
      const afterMs = (arrivedAt.get(text) ?? 0) - publishedAt;
      expect(Math.abs(afterMs - seconds * 1_000)).toBeLessThan(500);
    }
  });

  promises('what is delayed for shorter comes first, and what is not delayed at once', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 10, consumer);
    await publishLater(transport, address, 3, 'three');
    await publishLater(transport, address, 1, 'one');
    await publish(transport, address, 'none');
    await consumer.first(3);
    expect(consumer.texts).toEqual(['none', 'one', 'three']);
    expect(consumer.deliveries.map(({ redelivered }) => redelivered)).toEqual([false, false, false]);
  });

  promises('a delayed job outlives the process that published it', async (stage) => {
    const { transport, address } = await stage.queue();
    await publishLater(transport, address, 1, 'a');
    await closeTransport(transport);
    const consumer = new RecordingConsumer(settleAs(DONE));
    (await stage.open()).consume(address, 1, consumer);
    await consumer.first(1);
    expect(consumer.texts).toEqual(['a']);
  });

  promises('a delayed job is neither counted as ready nor purged', async (stage) => {
    const { transport, address } = await stage.queue();
    await publishLater(transport, address, 2, 'a');
    await eventuallyDepth(transport, address, { ready: 0, consumers: 0, buried: 0 });
    expect(await transport.purge(address)).toBe(0);
    const consumer = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 1, consumer);
    await consumer.first(1);
    expect(consumer.texts).toEqual(['a']);
  });

  promises('a ledger sends delayed jobs too', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 10, consumer);
    await dispatch(transport, address, { kind: 'delay', seconds: 2 }, 'two');
    await dispatch(transport, address, { kind: 'delay', seconds: 1 }, 'one');
    await dispatch(transport, address, { kind: 'normal' }, 'none');
    await consumer.first(3);
    expect(consumer.texts).toEqual(['none', 'one', 'two']);
  });
}

function buried(promises: Promises): void {
  promises('they are shown with id, bytes, reason and time, the oldest first, and stay', async (stage) => {
    const { transport, address } = await stage.queue();
    const before = Date.now();
    await bury(transport, address, 'a', 'b');
    const seen: BuriedMessage[] = [];
    await visit(transport, address, (jobs) => {
      seen.push(...jobs);
      return [];
    });
    expect(seen).toMatchObject([
      { id: 'a', body: Buffer.from('a'), reason: REASON },
      { id: 'b', body: Buffer.from('b'), reason: REASON },
    ]);
    for (const { buriedAt } of seen) expect(buriedAt).toBeGreaterThanOrEqual(before);
    await expectBuried(transport, address, ['a', 'b']);
  });

  promises('those that are said to be removed are gone, the others keep their order', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(250);
    await bury(transport, address, ...texts);
    const isOdd = ({ body }: BuriedMessage): boolean => texts.indexOf(body.toString()) % 2 === 1;
    await visit(transport, address, (jobs) => jobs.filter(isOdd));
    await expectBuried(transport, address, everySecond(texts, 0));
  });

  promises('a visit ends at its limit, or when it is over', async (stage) => {
    const { transport, address } = await stage.queue();
    await bury(transport, address, ...numbered(250));
    const counts: number[] = [];
    await visit(transport, address, (jobs) => (counts.push(jobs.length), []), 3);
    expect(counts).toEqual([3]);
    let parts = 0;
    const once: BuriedVisitor = (jobs) => Promise.resolve({ removed: jobs, isOver: ++parts === 1 });
    await within('a visit', transport.visitBuried(address, once, Infinity));
    expect(parts).toBe(1);
    await eventually('the others to be there', async () => {
      const left = (await transport.depth(address))?.buried ?? 0;
      return left > 0 && left < 250;
    });
  });

  promises('what is shown is seen by nobody else, and back afterwards', async (stage) => {
    const { transport, address } = await stage.queue();
    await bury(transport, address, 'a', 'b', 'c');
    const other = await stage.open();
    const seenByOther: string[] = [];
    const nosy: BuriedVisitor = async (jobs) => {
      await visit(other, address, (others) => (seenByOther.push(...others.map(({ id }) => id)), []));
      return { removed: jobs.slice(1), isOver: true };
    };
    await within('a visit', transport.visitBuried(address, nosy, 2));
    expect(seenByOther).toEqual(['c']);
    expect((await buriedTexts(transport, address, 2)).sort()).toEqual(['a', 'c']);
  });

  promises('a visit that rejects removes nothing of its part, and rejects with that', async (stage) => {
    const { transport, address } = await stage.queue();
    await bury(transport, address, 'a', 'b');
    const failing = transport.visitBuried(address, () => Promise.reject(new Error('not now')), Infinity);
    await expect(within('a visit', failing)).rejects.toThrow('not now');
    await expectBuried(transport, address, ['a', 'b']);
  });

  promises(
    'a visit to a queue that nobody declared is refused, one to no buried shows nothing',
    async (stage) => {
      const { transport, address } = await stage.queue();
      const shown: BuriedMessage[] = [];
      const look = (jobs: readonly BuriedMessage[]): BuriedMessage[] => (shown.push(...jobs), []);
      await expect(visit(transport, stage.address(), look)).rejects.toThrow(QueueNotFoundError);
      await visit(transport, address, look);
      expect(shown).toEqual([]);
    },
  );
}

/** Buries the texts, one after the other. */
function bury(transport: TransportOfBothPorts, address: QueueAddress, ...texts: string[]): Promise<void> {
  return dispatch(transport, address, { kind: 'bury', reason: REASON }, ...texts);
}

/** Removes what the look picks. */
function visit(
  transport: Transport,
  address: QueueAddress,
  look: (jobs: readonly BuriedMessage[]) => readonly BuriedMessage[],
  limit = Infinity,
): Promise<void> {
  const visitor: BuriedVisitor = (jobs) => Promise.resolve({ removed: look(jobs), isOver: false });
  return within('a visit', transport.visitBuried(address, visitor, limit));
}

async function expectBuried(
  transport: Transport,
  address: QueueAddress,
  texts: readonly string[],
): Promise<void> {
  expect(await buriedTexts(transport, address, texts.length)).toEqual(texts);
}

async function buriedTexts(transport: Transport, address: QueueAddress, count: number): Promise<string[]> {
  // What is given back stands there a moment later.
  await eventually(`${count} to be buried`, async () => {
    return (await transport.depth(address))?.buried === count;
  });
  const seen: string[] = [];
  await visit(transport, address, (jobs) => (seen.push(...jobs.map(({ body }) => body.toString())), []));
  return seen;
}

function expressLane(promises: Promises): void {
  promises('a queue has none until a job needs it', async (stage) => {
    const { transport, address } = await stage.queue();
    expect(await lanesOf(transport, stage.address())).toEqual([]);
    await publish(transport, address, 'a');
    await dispatch(transport, address, { kind: 'normal' }, 'b');
    expect(await lanesOf(transport, address)).toEqual([]);
    await dispatch(transport, address, { kind: 'express' }, 'c');
    expect(await lanesOf(await stage.open(), address)).toEqual(['express']);
  });

  promises('each lane gives its jobs, in their order, to its own consumers', async (stage) => {
    const { transport, address } = await stage.queue();
    const normal = new RecordingConsumer(settleAs(DONE));
    const express = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 10, normal);
    transport.consume(address, 10, express, 'express');
    await publish(transport, address, 'n1');
    await dispatch(transport, address, { kind: 'express' }, 'e1', 'e2');
    await dispatch(transport, address, { kind: 'normal' }, 'n2');
    await Promise.all([normal.first(2), express.first(2)]);
    expect(normal.texts).toEqual(['n1', 'n2']);
    expect(express.texts).toEqual(['e1', 'e2']);
  });

  promises('a job of it is delivered while the normal lane is full of jobs', async (stage) => {
    const { transport, address } = await stage.queue();
    const normal = new RecordingConsumer();
    transport.consume(address, 1, normal);
    await publish(transport, address, ...numbered(100));
    await normal.first(1);
    const express = new RecordingConsumer();
    transport.consume(address, 1, express, 'express');
    await dispatch(transport, address, { kind: 'express' }, 'first');
    expect((await express.delivery(1)).redelivered).toBe(false);
    expect(express.texts).toEqual(['first']);
    expect(normal.deliveries).toHaveLength(1);
  });

  promises('a dispatch declares the queue that is missing', async (stage) => {
    const transport = await stage.open();
    const [normal, express] = [stage.address(), stage.address()];
    await dispatch(transport, normal, { kind: 'normal' }, 'a');
    await dispatch(transport, express, { kind: 'express' }, 'b');
    await expectQueueToHold(stage, normal, ['a']);
    await expectQueueToHold(stage, express, []);
    await expectExpressLaneToHold(stage, express, ['b']);
  });

  promises('what is handed back or lost goes back to its own lane, at the head', async (stage) => {
    const { transport, address } = await stage.queue();
    await dispatch(transport, address, { kind: 'express' }, 'a', 'b', 'c');
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 2, consumer, 'express');
    const [a] = await consumer.first(2);
    await within('stop', subscription.stop());
    a?.settle(HAND_BACK);
    await close(subscription);
    const again = await expectExpressLaneToHold(stage, address, ['a', 'b', 'c']);
    expect(again.map(({ redelivered }) => redelivered)).toEqual([true, true, false]);
    await expectQueueToHold(stage, address, []);
  });

  promises('a job of it that is to be retried comes back on the normal lane', async (stage) => {
    const { transport, address } = await stage.queue();
    const normal = new RecordingConsumer();
    transport.consume(address, 10, normal);
    transport.consume(address, 10, new RecordingConsumer(settleAs(retryAs('attempt 2'))), 'express');
    await dispatch(transport, address, { kind: 'express' }, 'attempt 1');
    await normal.first(1);
    expect(normal.texts).toEqual(['attempt 2']);
  });

  promises('a job of it is buried where those of the normal lane are', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(BURY));
    const subscription = transport.consume(address, 1, consumer, 'express');
    await dispatch(transport, address, { kind: 'express' }, 'a');
    await consumer.first(1);
    await close(subscription);
    expect(await stage.buried(address)).toEqual([{ body: Buffer.from('a'), reasonType: 'TypeError' }]);
  });

  promises('it is consumed again after a cut, its jobs flagged as redelivered', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    transport.consume(address, 10, consumer, 'express');
    await dispatch(transport, address, { kind: 'express' }, 'a');
    await consumer.first(1);
    await stage.cutConnections();
    await consumer.loss();
    expect((await consumer.delivery(2)).redelivered).toBe(true);
    expect(consumer.texts).toEqual(['a', 'a']);
  });

  promises('a job that is dispatched for later or for good is where it was sent', async (stage) => {
    const { transport, address } = await stage.queue();
    const sentAt = performance.now();
    await dispatch(transport, address, { kind: 'retry', afterSeconds: 1 }, 'later');
    await dispatch(transport, address, { kind: 'bury', reason: BURY.reason }, 'buried');
    const consumer = new RecordingConsumer(settleAs(DONE));
    transport.consume(address, 1, consumer);
    await consumer.first(1);
    expect(consumer.texts).toEqual(['later']);
    expect(performance.now() - sentAt).toBeGreaterThan(900);
    expect(await stage.buried(address)).toEqual([{ body: Buffer.from('buried'), reasonType: 'TypeError' }]);
  });

  promises('depth counts what waits on both lanes', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, ...numbered(2));
    await dispatch(transport, address, { kind: 'express' }, ...numbered(3));
    await eventuallyDepth(transport, address, { ready: 5, consumers: 0, buried: 0 });
  });

  promises('purge removes what is ready on both lanes', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, ...numbered(2));
    await dispatch(transport, address, { kind: 'express' }, ...numbered(3));
    expect(await within('purge', transport.purge(address))).toBe(5);
    await expectQueueToHold(stage, address, []);
    await expectExpressLaneToHold(stage, address, []);
  });

  promises('purge shows each job of both lanes before it is gone, and no delivered one', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 1, consumer);
    await publish(transport, address, 'delivered', ...numbered(4));
    await consumer.first(1);
    await dispatch(transport, address, { kind: 'express' }, 'e1', 'e2');
    const shown: string[] = [];
    const purging = transport.purge(address, async (bodies) => {
      // The removal waits for whoever looks.
      await new Promise((resolve) => setImmediate(resolve));
      shown.push(...bodies.map((body) => body.toString()));
    });
    expect(await within('purge', purging)).toBe(6);
    expect(shown.sort()).toEqual([...numbered(4), 'e1', 'e2']);
    await close(subscription);
    await expectQueueToHold(stage, address, ['delivered']);
    await expectExpressLaneToHold(stage, address, []);
  });

  promises(
    'a purge whose looking is refused leaves what it has shown, and rejects with that',
    async (stage) => {
      const { transport, address } = await stage.queue();
      await publish(transport, address, ...numbered(3));
      await dispatch(transport, address, { kind: 'express' }, 'e1', 'e2');
      const purging = transport.purge(address, () => Promise.reject(new Error('not now')));
      await expect(within('purge', purging)).rejects.toThrow('not now');
      await expectQueueToHold(stage, address, numbered(3));
      await expectExpressLaneToHold(stage, address, ['e1', 'e2']);
    },
  );

  promises('purge of an empty queue shows nothing', async (stage) => {
    const { transport, address } = await stage.queue();
    const shown: Buffer[] = [];
    const purging = transport.purge(address, (bodies) => {
      shown.push(...bodies);
      return Promise.resolve();
    });
    expect(await within('purge', purging)).toBe(0);
    expect(shown).toEqual([]);
  });
}

function priorityLanes(promises: Promises): void {
  promises('each gives its jobs, in their order, to its own consumers', async (stage) => {
    const { transport, address } = await stage.queue();
    const texts = numbered(50);
    for (const lane of ['p9', 'p1', 'now', 'normal'] as const) {
      for (const text of texts) await publishOn(transport, address, lane, `${lane} ${text}`);
    }
    for (const lane of ['p9', 'p1', 'now', 'normal'] as const) {
      const drained = await drain(stage, address, texts.length, lane);
      expect(textsOf(drained)).toEqual(texts.map((text) => `${lane} ${text}`));
    }
  });

  promises(
    'who follows is told of those that are there and of each that is made, by whomever',
    async (stage) => {
      const { transport, address } = await stage.queue();
      await publishOn(transport, address, 'p4', 'a');
      const follower = await stage.open();
      const told: string[] = [];
      follower.followLanes(({ partition, queue }, lane) => {
        if (partition === address.partition && queue === address.queue) told.push(lane);
      });
      await eventually('the lane that was there', () => told.includes('p4'));
      await publishOn(await stage.open(), address, 'now', 'b');
      await dispatchOn(transport, address, { kind: 'normal' }, 'p7', 'c');
      await dispatch(transport, address, { kind: 'express' }, 'd');
      await eventually('all that were made', () => told.length >= 4);
      expect([...told].sort()).toEqual(['express', 'now', 'p4', 'p7']);
      await publishOn(transport, address, 'now', 'e');
      expect(await lanesOf(follower, address)).toEqual(['express', 'now', 'p4', 'p7']);
    },
  );

  promises('who follows is told of those made while it was cut off', async (stage) => {
    const { transport, address } = await stage.queue();
    const told: string[] = [];
    transport.followLanes(({ partition }, lane) => {
      if (partition === address.partition) told.push(lane);
    });
    await publishOn(transport, address, 'p1', 'a');
    await eventually('the first', () => told.includes('p1'));
    await stage.cutConnections();
    await publishOn(await stage.open(), address, 'p2', 'b');
    await eventually('the second', () => told.includes('p2'));
  });

  promises(
    'a job for one of a queue that nobody declared is refused with QueueNotFoundError',
    async (stage) => {
      const transport = await stage.open();
      await expect(publishOn(transport, stage.address(), 'p9', 'a')).rejects.toThrow(QueueNotFoundError);
    },
  );

  promises('many first jobs of one at once are all kept, from several processes', async (stage) => {
    const { transport, address } = await stage.queue();
    const other = await stage.open();
    const texts = numbered(200);
    const publishing = texts.map((text, n) =>
      publishOn(n % 2 === 0 ? transport : other, address, 'p3', text),
    );
    await Promise.all(publishing);
    expect([...textsOf(await drain(stage, address, texts.length, 'p3'))].sort()).toEqual(texts);
  });

  promises('a retry and a delayed job come home to the lane that they were sent to', async (stage) => {
    const { transport, address } = await stage.queue();
    const back = new RecordingConsumer();
    transport.consume(address, 10, back, 'p6');
    const retry = { ...retryAs('retried'), lane: 'p6' } as Settlement;
    transport.consume(address, 10, new RecordingConsumer(settleAs(retry)), 'now');
    await publishOn(transport, address, 'now', 'first');
    await within(
      'a delayed publish',
      transport.publish({ ...job(address, 'due'), lane: 'p6', afterSeconds: 1 }),
    );
    await dispatchOn(transport, address, { kind: 'retry', afterSeconds: 1 }, 'p6', 'retried by a ledger');
    await dispatchOn(transport, address, { kind: 'delay', seconds: 1 }, 'p6', 'due by a ledger');
    await back.first(4);
    expect([...back.texts].sort()).toEqual(['due', 'due by a ledger', 'retried', 'retried by a ledger']);
  });

  promises('a job that comes later makes the lane that it comes to', async (stage) => {
    const { transport, address } = await stage.queue();
    await within(
      'a delayed publish',
      transport.publish({ ...job(address, 'due'), lane: 'p8', afterSeconds: 1 }),
    );
    const other = await stage.queue();
    await dispatchOn(transport, other.address, { kind: 'retry', afterSeconds: 1 }, 'p2', 'retried');
    expect(textsOf(await drain(stage, address, 1, 'p8'))).toEqual(['due']);
    expect(textsOf(await drain(stage, other.address, 1, 'p2'))).toEqual(['retried']);
    expect(await lanesOf(await stage.open(), address)).toEqual(['p8']);
    expect(await lanesOf(await stage.open(), other.address)).toEqual(['p2']);
  });

  promises(
    'what is handed back goes to the head of its lane, and what is buried to the buried',
    async (stage) => {
      const { transport, address } = await stage.queue();
      for (const text of ['a', 'b', 'c']) await publishOn(transport, address, 'p5', text);
      const consumer = new RecordingConsumer();
      const subscription = transport.consume(address, 2, consumer, 'p5');
      const [a, b] = await consumer.first(2);
      await within('stop', subscription.stop());
      a?.settle(HAND_BACK);
      b?.settle(BURY);
      await close(subscription);
      expect(textsOf(await drain(stage, address, 2, 'p5'))).toEqual(['a', 'c']);
      expect(await stage.buried(address)).toEqual([{ body: Buffer.from('b'), reasonType: 'TypeError' }]);
    },
  );

  promises('depth and purge know all lanes', async (stage) => {
    const { transport, address } = await stage.queue();
    await publish(transport, address, 'a');
    await publishOn(transport, address, 'p1', 'b');
    await publishOn(transport, address, 'p9', 'c');
    await publishOn(transport, address, 'now', 'd');
    await dispatch(transport, address, { kind: 'express' }, 'e');
    await eventuallyDepth(transport, address, { ready: 5, consumers: 0, buried: 0 });
    const shown: string[] = [];
    const purging = transport.purge(address, (bodies) => {
      shown.push(...bodies.map(String));
      return Promise.resolve();
    });
    expect(await within('purge', purging)).toBe(5);
    expect(shown.sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    await eventuallyDepth(transport, address, { ready: 0, consumers: 0, buried: 0 });
  });
}

function ending(promises: Promises): void {
  promises('stop takes no more jobs while settlements still go through', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 2, consumer);
    await publish(transport, address, ...numbered(5));
    const deliveries = await consumer.first(2);
    await within('stop', subscription.stop());
    for (const delivery of deliveries) delivery.settle(DONE);
    await expectQueueToHold(stage, address, numbered(5).slice(2));
    await close(subscription);
    expect(consumer.texts).toEqual(numbered(2));
    await expectQueueToHold(stage, address, []);
  });

  promises('close gives back what is unsettled, and what was settled never comes again', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 100, consumer);
    await publish(transport, address, ...numbered(100));
    const deliveries = await consumer.first(100);
    for (const delivery of everySecond(deliveries, 0)) delivery.settle(DONE);
    await close(subscription);
    // No longer ours: these do nothing.
    for (const delivery of deliveries) delivery.settle(DONE);
    const again = await expectQueueToHold(stage, address, everySecond(numbered(100), 1));
    expect(again.every(({ redelivered }) => redelivered)).toBe(true);
  });

  promises('a closed subscription takes no more jobs', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer(settleAs(DONE));
    const subscription = transport.consume(address, 10, consumer);
    await consumer.taking();
    await close(subscription);
    await publish(transport, address, 'a');
    await expectQueueToHold(stage, address, ['a']);
    expect(consumer.deliveries).toEqual([]);
  });

  promises('closing the transport gives back what its subscriptions hold', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumers = [new RecordingConsumer(), new RecordingConsumer()];
    for (const consumer of consumers) transport.consume(address, 3, consumer);
    await publish(transport, address, ...numbered(6));
    await Promise.all(consumers.map((consumer) => consumer.first(3)));
    consumers[0]?.deliveries[0]?.settle(DONE);
    await closeTransport(transport);
    const settled = consumers[0]?.texts[0];
    const kept = numbered(6).filter((text) => text !== settled);
    expect([...textsOf(await drain(stage, address, kept.length))].sort()).toEqual(kept);
  });

  promises('publish after close is refused with RogerClosedError', async (stage) => {
    const { transport, address } = await stage.queue();
    await closeTransport(transport);
    await expect(publish(transport, address, 'a')).rejects.toThrow(RogerClosedError);
    await expectQueueToHold(stage, address, []);
  });

  promises('the state tells whether it is connected', async (stage) => {
    const { transport } = await stage.queue();
    expect(transport.state).toBe('connected');
    expect(transport.describe()).not.toBe('');
    await closeTransport(transport);
    expect(transport.state).toBe('closed');
  });

  promises('closing, stopping and opening again after the end are harmless', async (stage) => {
    const { transport, address } = await stage.queue();
    const consumer = new RecordingConsumer();
    const subscription = transport.consume(address, 1, consumer);
    await consumer.taking();
    await Promise.all([close(subscription), close(subscription)]);
    await Promise.all([closeTransport(transport), closeTransport(transport)]);
    await closeTransport(transport);
    await close(subscription);
    await within('stop', subscription.stop());
    subscription.setPrefetch(5);
    transport.open();
    expect(transport.state).toBe('closed');
    await publish(await stage.open(), address, 'a');
    await expectQueueToHold(stage, address, ['a']);
    expect(consumer.deliveries).toEqual([]);
  });
}

/** The fixture of a suite, and the transports of the test that runs. */
class Stage {
  private fixture: TransportFixture | undefined;
  private opened: TransportOfBothPorts[] = [];

  async set(createFixture: () => Promise<TransportFixture>): Promise<void> {
    this.fixture = await createFixture();
  }

  async clear(): Promise<void> {
    const transports = this.opened;
    this.opened = [];
    await Promise.all(transports.map(closeTransport));
  }

  async strike(): Promise<void> {
    await this.fixture?.close();
  }

  async open(): Promise<TransportOfBothPorts> {
    const transport = await within('a transport to open', this.broker.open());
    this.opened.push(transport);
    return transport;
  }

  address(): QueueAddress {
    return this.broker.address();
  }

  /** A transport and a queue, declared, that is this test's own. */
  async queue(): Promise<{ transport: TransportOfBothPorts; address: QueueAddress }> {
    const transport = await this.open();
    const address = this.address();
    await declare(transport, address);
    return { transport, address };
  }

  cutConnections(): Promise<void> {
    return within('the connections to be cut', this.broker.cutConnections());
  }

  buried(address: QueueAddress): ReturnType<TransportFixture['buried']> {
    return within('the buried jobs', this.broker.buried(address));
  }

  private get broker(): TransportFixture {
    if (this.fixture === undefined) throw new Error('The fixture could not be created');
    return this.fixture;
  }
}

/**
 * Proves that the queue holds these jobs, in this order, and no other: a marker is published behind them, and all is
 * taken up to it.
 */
async function expectQueueToHold(
  stage: Stage,
  address: QueueAddress,
  texts: readonly string[],
): Promise<readonly Delivery[]> {
  await publish(await stage.open(), address, 'marker');
  const deliveries = await drain(stage, address, texts.length + 1);
  expect(textsOf(deliveries)).toEqual([...texts, 'marker']);
  return deliveries.slice(0, -1);
}

/** The same of the queue's express lane. */
async function expectExpressLaneToHold(
  stage: Stage,
  address: QueueAddress,
  texts: readonly string[],
): Promise<readonly Delivery[]> {
  await dispatch(await stage.open(), address, { kind: 'express' }, 'marker');
  const deliveries = await drain(stage, address, texts.length + 1, 'express');
  expect(textsOf(deliveries)).toEqual([...texts, 'marker']);
  return deliveries.slice(0, -1);
}

/** Takes so many jobs of the queue and settles them as done. */
async function drain(
  stage: Stage,
  address: QueueAddress,
  count: number,
  lane?: QueueLane,
): Promise<readonly Delivery[]> {
  const transport = await stage.open();
  const consumer = new RecordingConsumer(settleAs(DONE));
  const subscription = transport.consume(address, 10, consumer, lane);
  await consumer.first(count);
  await close(subscription);
  return consumer.deliveries;
}

/** Publishes the texts as jobs, in this order, all at once. */
async function publish(transport: Transport, address: QueueAddress, ...texts: string[]): Promise<void> {
  await within('the publishes', Promise.all(texts.map((text) => transport.publish(job(address, text)))));
}

async function publishLater(
  transport: Transport,
  address: QueueAddress,
  afterSeconds: number,
  text: string,
): Promise<void> {
  await within('a delayed publish', transport.publish({ ...job(address, text), afterSeconds }));
}

/** When each text came. */
function arrivals(transport: Transport, address: QueueAddress) {
  const arrivedAt = new Map<string, number>();
  const consumer = new RecordingConsumer((delivery) => {
    arrivedAt.set(delivery.body.toString(), performance.now());
    delivery.settle(DONE);
  });
  transport.consume(address, 10, consumer);
  return { arrivedAt, consumer };
}

/** Dispatches the texts as jobs, one after the other: a ledger's order is that of its confirms. */
async function dispatch(
  { ledgers }: TransportOfBothPorts,
  { partition, queue }: QueueAddress,
  route: DispatchRoute,
  ...texts: string[]
): Promise<void> {
  if (ledgers === undefined) throw new Error('The transport has no second port');
  for (const text of texts) {
    await within('a dispatch', ledgers.dispatch({ ...job({ partition, queue }, text), route }));
  }
}

async function dispatchOn(
  { ledgers }: TransportOfBothPorts,
  address: QueueAddress,
  route: DispatchRoute,
  lane: DispatchedJob['lane'],
  text: string,
): Promise<void> {
  if (ledgers === undefined) throw new Error('The transport has no second port');
  await within('a dispatch', ledgers.dispatch({ ...job(address, text), route, lane }));
}

function publishOn(
  transport: Transport,
  address: QueueAddress,
  lane: OutgoingJob['lane'],
  text: string,
): Promise<void> {
  return within('a publish', transport.publish({ ...job(address, text), lane }));
}

/** By name. */
async function lanesOf(transport: Transport, address: QueueAddress): Promise<readonly QueueLane[]> {
  return [...(await within('the question for lanes', transport.lanesOf(address)))].sort();
}

function job({ partition, queue }: QueueAddress, text: string): Omit<OutgoingJob, 'lane'> {
  return { partition, queue, id: text.replaceAll(' ', '-'), body: Buffer.from(text) };
}

function declare(transport: Transport, address: QueueAddress): Promise<void> {
  return within('the queue to be declared', transport.declareQueue(address));
}

function close(subscription: Subscription): Promise<void> {
  return within('the subscription to close', subscription.close());
}

function closeTransport(transport: Transport): Promise<void> {
  return within('the transport to close', transport.close(5_000));
}

function settleAs(settlement: Settlement): (delivery: Delivery) => void {
  return (delivery) => {
    delivery.settle(settlement);
  };
}

function settleSoonAs(settlement: Settlement): (delivery: Delivery) => void {
  return (delivery) => {
    setImmediate(() => {
      delivery.settle(settlement);
    });
  };
}

function settleAll(delivery: Delivery | undefined, settlements: readonly Settlement[]): void {
  for (const settlement of settlements) delivery?.settle(settlement);
}

function retryAs(text: string): Settlement {
  return { kind: 'retry', id: 'a', afterSeconds: 1, body: Buffer.from(text) };
}

/** `001`, `002` …: their alphabetical order is their order. */
function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1).padStart(4, '0'));
}

function everySecond<T>(items: readonly T[], from: 0 | 1): T[] {
  return items.filter((_, index) => index % 2 === from);
}
