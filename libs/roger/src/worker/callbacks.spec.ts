// Callbacks are told one after the other, and none can harm a job or another callback.
import type { Job } from '../job/job';
import type { JobContext } from '../job/job-definition';
import type { AfterRunEvent, BuriedEvent, CancelEvent, ErrorEvent, WorkerCallbacks } from './callbacks';
import { CallbackChain } from './callbacks';

const JOB: Job = {
  id: 'j1',
  name: 'mail',
  partition: 'acme',
  queue: 'default',
  args: {},
  attempt: 1,
  queuedAt: 0,
};
const CONTEXT = {} as JobContext;
const AFTER = { job: JOB, result: 42 };
const FAILED = { job: JOB, error: new Error('x'), next: { kind: 'bury' } } as const;
const CANCELLED = { job: JOB, reason: 'wrong address' };
const BURIED = {
  job: JOB,
  partition: 'acme',
  queue: 'default',
  body: Buffer.from('x'),
  error: new Error('x'),
};

let errors: string[] = [];
const LOG = {
  log: () => undefined,
  warn: () => undefined,
  error: (message: string) => void errors.push(message),
  debug: () => undefined,
};

beforeEach(() => {
  errors = [];
});

/** Throws whatever it is given, as JavaScript may. */
const throwing = (thrown: unknown) => (): never => {
  throw thrown;
};

function chainOf(...providers: WorkerCallbacks[]): CallbackChain {
  const chain = new CallbackChain(LOG);
  for (const provider of providers) chain.add(provider);
  return chain;
}

test('each is awaited before the next is called, in the order in which they were found', async () => {
  const order: string[] = [];
  const slow = (name: string): WorkerCallbacks => ({
    async beforeRun() {
      order.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${name} ends`);
    },
  });
  await chainOf(slow('a'), slow('b'), slow('c')).beforeRun({ job: JOB, context: CONTEXT });
  expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

test.each(['afterRun', 'onError', 'onCancel', 'onBuried'] as const)(
  '%s of all has ended before the job goes on',
  async (name) => {
    const ended: string[] = [];
    const slow = (which: string): WorkerCallbacks => ({
      [name]: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        ended.push(which);
      },
    });
    const chain = chainOf(slow('a'), slow('b'));
    if (name === 'afterRun') await chain.afterRun(AFTER, new Map());
    else if (name === 'onError') await chain.onError(FAILED, new Map());
    else if (name === 'onCancel') await chain.onCancel(CANCELLED);
    else await chain.onBuried(BURIED);
    expect(ended).toEqual(['a', 'b']);
  },
);

test("what beforeRun returns reaches the other methods of the same provider, and nobody else's", async () => {
  const seen: unknown[] = [];
  const counting = (start: number): WorkerCallbacks<number> => ({
    beforeRun: () => Promise.resolve(start),
    afterRun: ({ state, result }: AfterRunEvent<number>) => seen.push(['after', state, result]),
    onError: ({ state, error, next }: ErrorEvent<number>) =>
      seen.push(['error', state, error.message, next.kind]),
    onCancel: ({ state, reason }: CancelEvent<number>) => seen.push(['cancel', state, reason]),
    onBuried: ({ state, job, body }: BuriedEvent<number>) =>
      seen.push(['buried', state, job?.id, body.toString()]),
  });
  const without: WorkerCallbacks = { afterRun: ({ state }) => seen.push(['without', state]) };
  const chain = chainOf(counting(1), without, counting(2));

  const states = await chain.beforeRun({ job: JOB, context: CONTEXT });
  await chain.afterRun(AFTER, states);
  await chain.onError(FAILED, states);
  await chain.onCancel(CANCELLED, states);
  await chain.onBuried(BURIED, states);
  expect(seen).toEqual([
    ['after', 1, 42],
    ['without', undefined],
    ['after', 2, 42],
    ['error', 1, 'x', 'bury'],
    ['error', 2, 'x', 'bury'],
    ['cancel', 1, 'wrong address'],
    ['cancel', 2, 'wrong address'],
    ['buried', 1, 'j1', 'x'],
    ['buried', 2, 'j1', 'x'],
  ]);
});

test('two runs at once have a state each', async () => {
  let runs = 0;
  const seen: unknown[] = [];
  const chain = chainOf({ beforeRun: () => ++runs, afterRun: ({ state }) => seen.push(state) });
  const [first, second] = await Promise.all([
    chain.beforeRun({ job: JOB, context: CONTEXT }),
    chain.beforeRun({ job: JOB, context: CONTEXT }),
  ]);
  await chain.afterRun(AFTER, second);
  await chain.afterRun(AFTER, first);
  expect(seen).toEqual([2, 1]);
});

test.each<[what: string, thrown: () => unknown, shown: string]>([
  ['throws', throwing(new Error('no disk')), 'no disk'],
  ['throws several lines', throwing(new Error('no\n\u001b[2Jdisk')), 'no\\u000a\\u001b[2Jdisk'],
  ['throws an error without a text', throwing(Object.assign(new Error(), { message: {} })), 'an object'],
  ['rejects', () => Promise.reject(new Error('no net')), 'no net'],
  ['throws a text', throwing('a\nb'), '"a\\nb"'],
  ['throws undefined', throwing(undefined), 'undefined'],
  ['throws what has no text', throwing(Object.create(null)), 'an object'],
])('one that %s is logged; the next is called and the job does not notice', async (_what, thrown, shown) => {
  const called: string[] = [];
  const bad: WorkerCallbacks = {
    beforeRun: thrown,
    afterRun: thrown,
    onError: thrown,
    onCancel: thrown,
    onBuried: thrown,
  };
  const good: WorkerCallbacks = {
    beforeRun: () => called.push('beforeRun'),
    afterRun: () => called.push('afterRun'),
    onError: () => called.push('onError'),
    onCancel: () => called.push('onCancel'),
    onBuried: () => called.push('onBuried'),
  };
  const chain = chainOf(bad, good);
  const states = await chain.beforeRun({ job: JOB, context: CONTEXT });
  await chain.afterRun(AFTER, states);
  await chain.onError(FAILED, states);
  await chain.onCancel(CANCELLED, states);
  await chain.onBuried(BURIED, states);
  expect(called).toEqual(['beforeRun', 'afterRun', 'onError', 'onCancel', 'onBuried']);
  expect(errors).toHaveLength(5);
  for (const [index, name] of called.entries()) {
    expect(errors[index]).toContain(`The callback ${name} threw: `);
    expect(errors[index]).toContain(shown);
    expect(errors[index]).toContain('; the job goes on');
  }
});

test('a beforeRun that throws leaves its provider without state', async () => {
  const seen: unknown[] = [];
  const chain = chainOf({
    beforeRun: () => {
      throw new Error('x');
    },
    afterRun: ({ state }) => seen.push(state),
  });
  await chain.afterRun(AFTER, await chain.beforeRun({ job: JOB, context: CONTEXT }));
  expect(seen).toEqual([undefined]);
});

test('methods are called on their provider', async () => {
  class Counter implements WorkerCallbacks {
    count = 0;
    beforeRun(): void {
      this.count++;
    }
  }
  const counter = new Counter();
  await chainOf(counter).beforeRun({ job: JOB, context: CONTEXT });
  expect(counter.count).toBe(1);
});

test('a chain knows whether there is anyone to tell', () => {
  expect(chainOf().isEmpty).toBe(true);
  expect(chainOf({}).isEmpty).toBe(false);
});
