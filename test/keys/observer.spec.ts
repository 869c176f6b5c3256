// The observer of keyed jobs is worth nothing unless it sees what is wrong: traces made by hand, each with one fault.
import { observe } from '../support/keyed-observer';
import type { Happening, TraceEvent } from '../support/trace';

/** Events a second apart, by the nodes that tell them. */
function traced(...events: readonly (readonly [node: string, happening: Happening])[]): TraceEvent[] {
  return events.map(([node, happening], index) => ({ at: index * 1_000_000, node, ...happening }));
}

function asked(id: string, keys: { queueKey?: string; executionKey?: string; isProbe?: boolean } = {}) {
  return ['producer', { what: 'asked', id, ...keys }] as const;
}

function enqueued(id: string) {
  return ['producer', { what: 'enqueued', id }] as const;
}

function run(
  what: 'began' | 'ended' | 'failed' | 'aborted',
  id: string,
  { node = 'worker', fence = 1, attempt = 1 } = {},
) {
  return [node, { what, id, run: `${id} ${node} ${fence} ${attempt}`, fence, attempt }] as const;
}

const cancelAsked = ['producer', { what: 'cancel asked', id: 'a' }] as const;
const cancelled = ['producer', { what: 'cancelled', id: 'a', met: 'queued', missing: [] }] as const;
const over = ['test', { what: 'over' }] as const;
const QUEUE_KEY = { queueKey: 'q' };
const EXECUTION_KEY = { executionKey: 'e' };

function broken(events: readonly TraceEvent[]): string[] {
  return [...new Set(observe(events).violations.map(({ breaks }) => breaks))];
}

const GOOD = traced(
  asked('a', { ...QUEUE_KEY, ...EXECUTION_KEY }),
  enqueued('a'),
  asked('b', EXECUTION_KEY),
  enqueued('b'),
  asked('c', QUEUE_KEY),
  ['producer', { what: 'duplicate', id: 'c', of: 'a' }],
  asked('d', EXECUTION_KEY),
  enqueued('d'),
  run('began', 'a', { fence: 1 }),
  run('failed', 'a', { fence: 1 }),
  run('began', 'b', { fence: 2 }),
  ['worker', { what: 'frozen' }],
  // The broker has given up the frozen worker.
  run('began', 'b', { fence: 3, node: 'heir' }),
  ['worker', { what: 'resumed' }],
  run('ended', 'b', { fence: 2 }),
  run('ended', 'b', { fence: 3, node: 'heir' }),
  run('began', 'a', { fence: 4, node: 'heir', attempt: 2 }),
  run('ended', 'a', { fence: 4, node: 'heir', attempt: 2 }),
  ['producer', { what: 'cancel asked', id: 'd' }],
  ['producer', { what: 'cancelled', id: 'd', met: 'queued', missing: [] }],
  asked('e', QUEUE_KEY),
  ['producer', { what: 'enqueue failed', id: 'e', error: 'LedgerUnavailableError' }],
  over,
  asked('f', { ...QUEUE_KEY, ...EXECUTION_KEY, isProbe: true }),
  enqueued('f'),
  run('began', 'f', { fence: 5 }),
  run('ended', 'f', { fence: 5 }),
);

test('a life with retries, a freeze, a repeat, a duplicate and a cancel breaks nothing', () => {
  const { violations, counts } = observe(GOOD);
  expect(violations).toEqual([]);
  expect(counts).toMatchObject({
    ...{ asked: 6, enqueued: 4, duplicates: 1, unanswered: 1, runs: 5 },
    ...{ repeated: 1, outdated: 1, cancelled: 1, retries: 1, kills: 0, freezes: 1 },
  });
});

test('of a cancelled job without a key, a copy of its retry may come late when the brokers were split, and no other', () => {
  const copy = (fence: number, ...between: (readonly [node: string, happening: Happening])[]) =>
    traced(
      ...[asked('a'), enqueued('a'), run('began', 'a', { fence }), run('failed', 'a', { fence })],
      ...[...between, cancelAsked, cancelled],
      ...[run('began', 'a', { fence, attempt: 2 }), run('ended', 'a', { fence, attempt: 2 })],
    );
  const split = ['worker', { what: 'split' }] as const;
  expect(broken(copy(0, split))).toEqual([]);
  expect(broken(copy(0))).toEqual(['I7']);
  expect(broken(copy(1, split))).toContain('I7');
});

test('a run that was granted before its node froze may begin when it wakes, outdated as it is', () => {
  const begins = (...before: (readonly [node: string, happening: Happening])[]) =>
    traced(
      ...[asked('a'), enqueued('a'), ...before],
      ...[run('began', 'a', { fence: 2, node: 'heir' }), run('ended', 'a', { fence: 2, node: 'heir' })],
      ...[run('began', 'a'), run('ended', 'a')],
    );
  expect(broken(begins(['worker', { what: 'frozen' }]))).toEqual([]);
  expect(broken(begins()).sort()).toEqual(['I3', 'I4']);
});

const lifeOf = (id: string, fence: number) => [run('began', id, { fence }), run('ended', id, { fence })];

test.each<[what: string, breaks: string[], events: readonly TraceEvent[]]>([
  ['a job that never begins', ['I1'], traced(asked('a'), enqueued('a'))],
  ['a job that begins and never ends', ['I1'], traced(asked('a'), enqueued('a'), run('began', 'a'))],
  [
    'a job whose only end came after another run of it had taken over',
    ['I1'],
    traced(
      ...[asked('a'), enqueued('a'), run('began', 'a'), ['worker', { what: 'frozen' }] as const],
      ...[run('began', 'a', { fence: 2, node: 'heir' }), run('ended', 'a')],
    ),
  ],
  ['a job that nobody enqueued', ['I2'], traced(...lifeOf('a', 1))],
  [
    'a job that ends twice though nothing happened to its node',
    ['I3'],
    traced(asked('a'), enqueued('a'), ...lifeOf('a', 1), ...lifeOf('a', 2)),
  ],
  [
    'a job that ends twice though its node was killed long after',
    ['I3'],
    [
      ...traced(asked('a'), enqueued('a'), ...lifeOf('a', 1)),
      ...traced(['worker', { what: 'killed' }], ...lifeOf('a', 2)).map((one) => ({
        ...one,
        at: one.at + 60_000_000,
      })),
    ],
  ],
  [
    'two runs of an execution key at a time, under two fences',
    ['I4'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), asked('b', EXECUTION_KEY), enqueued('b')],
      ...[
        run('began', 'a'),
        run('began', 'b', { fence: 2 }),
        run('ended', 'a'),
        run('ended', 'b', { fence: 2 }),
      ],
    ),
  ],
  [
    'two runs of an execution key at a time, under one fence',
    ['I4'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), asked('b', EXECUTION_KEY), enqueued('b')],
      ...[run('began', 'a'), run('began', 'b'), run('ended', 'a'), run('ended', 'b')],
    ),
  ],
  [
    'a run that begins under an older fence than one before it',
    ['I4'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), asked('b', EXECUTION_KEY), enqueued('b')],
      ...[...lifeOf('a', 2), ...lifeOf('b', 1)],
    ),
  ],
  [
    'two nodes with one fence',
    ['I4'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), asked('b', EXECUTION_KEY), enqueued('b')],
      ...lifeOf('a', 1),
      ...[run('began', 'b', { node: 'other' }), run('ended', 'b', { node: 'other' })],
    ),
  ],
  [
    'jobs of an execution key out of their order',
    ['I4'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), asked('b', EXECUTION_KEY), enqueued('b')],
      ...[...lifeOf('b', 1), ...lifeOf('a', 2)],
    ),
  ],
  [
    'two jobs with a queue key at a time',
    ['I5'],
    traced(
      ...[asked('a', QUEUE_KEY), enqueued('a'), asked('b', QUEUE_KEY), enqueued('b')],
      ...[...lifeOf('a', 1), ...lifeOf('b', 2)],
    ),
  ],
  [
    'a queue key that stays taken',
    ['I6'],
    traced(
      ...[asked('a', QUEUE_KEY), enqueued('a'), ...lifeOf('a', 1), over],
      ...[
        asked('b', { ...QUEUE_KEY, isProbe: true }),
        ['producer', { what: 'duplicate', id: 'b', of: 'a' }] as const,
      ],
    ),
  ],
  [
    'an execution key that stays taken',
    ['I1', 'I6'],
    traced(
      ...[asked('a', EXECUTION_KEY), enqueued('a'), ...lifeOf('a', 1), over],
      ...[asked('b', { ...EXECUTION_KEY, isProbe: true }), enqueued('b')],
    ),
  ],
  [
    'a key that nobody has looked at in the end',
    ['I6'],
    traced(asked('a', QUEUE_KEY), enqueued('a'), ...lifeOf('a', 1), over),
  ],
  [
    'a job that begins after its cancel was acknowledged',
    ['I7'],
    traced(asked('a'), enqueued('a'), cancelAsked, cancelled, ...lifeOf('a', 1)),
  ],
  [
    'an attempt that is smaller than the one before',
    ['I3', 'I8'],
    traced(
      ...[asked('a'), enqueued('a'), run('began', 'a', { attempt: 2 }), run('failed', 'a', { attempt: 2 })],
      ...[run('began', 'a', { fence: 2 }), run('ended', 'a', { fence: 2 })],
    ),
  ],
])('%s is seen', (_what, breaks, events) => {
  expect(broken(events).sort()).toEqual(breaks);
});
