// How many jobs a lane holds at hand, by how long its jobs take.
import fc from 'fast-check';
import { PrefetchPolicy } from './prefetch-policy';

const workers = fc.integer({ min: 1, max: 65_000 });
const durationMs = fc.double({ min: 0, max: 3_600_000, noNaN: true });

/** The sizes of the buffer that the policy chose one after the other, while these jobs ended. */
function sizes(policy: PrefetchPolicy, maxWorkers: number, durations: Iterable<number>): number[] {
  const seen: number[] = [];
  for (const duration of durations) if (policy.record(duration)) seen.push(policy.prefetch - maxWorkers);
  return seen;
}

function* steady(ms: number, count: number): Generator<number> {
  for (let n = 0; n < count; n++) yield ms;
}

/** Times around a mean, each off by up to a part of it; the same for the same seed. */
function* noisy(ms: number, count: number, part: number, seed: number): Generator<number> {
  let state = seed;
  for (let n = 0; n < count; n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield ms * (1 + part * ((2 * state) / 2 ** 32 - 1));
  }
}

test('at first no job is held back from other nodes', () => {
  fc.assert(
    fc.property(workers, (maxWorkers) => {
      expect(new PrefetchPolicy(maxWorkers).prefetch).toBe(maxWorkers);
    }),
  );
});

test('whatever happens, between 0 and 125 jobs are held, and a change is told exactly when there is one', () => {
  const events = fc.array(
    fc.oneof(fc.record({ ran: durationMs, times: fc.nat({ max: 40 }) }), fc.record({ stalled: durationMs })),
  );
  fc.assert(
    fc.property(workers, events, (maxWorkers, happenings) => {
      const policy = new PrefetchPolicy(maxWorkers);
      let before = policy.prefetch;
      const expectTold = (isChanged: boolean): void => {
        expect(isChanged).toBe(policy.prefetch !== before);
        before = policy.prefetch;
        expect(before - maxWorkers).toBeGreaterThanOrEqual(0);
        expect(before - maxWorkers).toBeLessThanOrEqual(125);
      };
      for (const it of happenings) {
        if ('stalled' in it) expectTold(policy.recordStall(it.stalled));
        else for (let n = 0; n < it.times; n++) expectTold(policy.record(it.ran));
      }
    }),
  );
});

test('long jobs are left in the queue for whoever is free', () => {
  fc.assert(
    fc.property(workers, fc.double({ min: 101, max: 3_600_000, noNaN: true }), (maxWorkers, ms) => {
      expect(sizes(new PrefetchPolicy(maxWorkers), maxWorkers, steady(ms, 200))).toEqual([]);
    }),
  );
});

test('quick jobs are held in stock, as many as there can be for the quickest', () => {
  fc.assert(
    fc.property(workers, fc.double({ min: 0, max: 0.25, noNaN: true }), (maxWorkers, ms) => {
      expect(sizes(new PrefetchPolicy(maxWorkers), maxWorkers, steady(ms, 200))).toEqual([125]);
    }),
  );
});

test('the stock is never worth more than 100 ms of work', () => {
  fc.assert(
    fc.property(workers, fc.double({ min: 0.3, max: 1_000, noNaN: true }), (maxWorkers, ms) => {
      for (const size of sizes(new PrefetchPolicy(maxWorkers), maxWorkers, steady(ms, 200))) {
        expect((size * ms) / maxWorkers).toBeLessThanOrEqual(100);
      }
    }),
  );
});

test('the quicker the jobs, the larger the stock', () => {
  const stockAt = (ms: number): number => sizes(new PrefetchPolicy(10), 10, steady(ms, 32)).at(-1) ?? 0;
  const stocks = [200, 50, 20, 10, 5, 1, 0.1].map(stockAt);
  expect(stocks).toEqual([...stocks].sort((a, b) => a - b));
  expect(stocks[0]).toBe(0);
  expect(stocks.at(-1)).toBe(125);
});

test('a handful of jobs decides nothing', () => {
  expect(sizes(new PrefetchPolicy(10), 10, steady(0, 31))).toEqual([]);
  expect(sizes(new PrefetchPolicy(10), 10, steady(0, 32))).toEqual([125]);
});

test('jobs that always take the same are decided on once', () => {
  fc.assert(
    fc.property(workers, durationMs, (maxWorkers, ms) => {
      expect(sizes(new PrefetchPolicy(maxWorkers), maxWorkers, steady(ms, 5_000)).length).toBeLessThanOrEqual(
        1,
      );
    }),
  );
});

test('jobs that take about the same do not renew the consumer again and again', () => {
  // Around the border between long and short, and around the borders between sizes, too.
  const around = fc.oneof(
    fc.double({ min: 0.1, max: 200, noNaN: true }),
    fc.constantFrom(98, 99, 100, 101, 102),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), around, fc.nat(), (maxWorkers, ms, seed) => {
      const changes = sizes(new PrefetchPolicy(maxWorkers), maxWorkers, noisy(ms, 10_000, 0.25, seed));
      expect(changes.length).toBeLessThanOrEqual(2);
    }),
  );
});

test('jobs that have become slow lose their stock, and get it back when they are quick again', () => {
  const policy = new PrefetchPolicy(10);
  expect(sizes(policy, 10, steady(0.1, 100))).toEqual([125]);
  expect(sizes(policy, 10, steady(1_000, 100))).toEqual([0]);
  expect(sizes(policy, 10, steady(0.1, 2_000)).at(-1)).toBe(125);
});

test('a stall takes the stock away at once, and a few quick jobs do not bring it back', () => {
  const policy = new PrefetchPolicy(10);
  sizes(policy, 10, steady(0.1, 32));
  expect(policy.prefetch).toBe(135);
  expect(policy.recordStall(600)).toBe(true);
  expect(policy.prefetch).toBe(10);
  expect(policy.recordStall(600)).toBe(false);
  expect(sizes(policy, 10, steady(0.1, 32))).toEqual([]);
  // One step below the most is near enough.
  expect(sizes(policy, 10, steady(0.1, 2_000)).at(-1)).toBeGreaterThanOrEqual(64);
});
