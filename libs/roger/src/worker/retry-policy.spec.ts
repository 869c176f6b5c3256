// What follows a failed attempt, and how long an unknown job is offered to others.
import fc from 'fast-check';
import type { JobDefinition } from '../job/job-definition';
import { nearestLevel } from '../job/retry-levels';
import { BuryJob, RetryJob } from '../job/verdicts';
import type { RetryDefaults } from './retry-policy';
import { afterFailure, afterUnknown, secondsFor } from './retry-policy';

const LEVELS = [1, 5, 60];
const ERROR = new Error('no net');
const WEEK_MS = 7 * 24 * 3600 * 1000;
const MIDDLE = 0.5;
const BURY = { kind: 'bury' };
const END = { kind: 'end' };

type Said = Partial<Pick<JobDefinition, 'retryable' | 'retryLevels' | 'retryJitter' | 'retryRule'>>;

class Case {
  readonly problems: string[] = [];
  readonly defaults: RetryDefaults;

  constructor(defaults: Partial<RetryDefaults> = {}) {
    const onRuleFailure = (problem: string): void => void this.problems.push(problem);
    this.defaults = { levels: LEVELS, jitter: 0, chance: () => MIDDLE, onRuleFailure, ...defaults };
  }

  after(said: Said, attempt = 1, error: Error = ERROR): unknown {
    return afterFailure(
      { retryable: true, retryLevels: undefined, ...said },
      { attempt },
      error,
      this.defaults,
    );
  }
}

function retry(afterSeconds: number): unknown {
  return { kind: 'retry', afterSeconds };
}

const delays = fc.double({ min: 0, max: WEEK_MS, noNaN: true });
const attempts = fc.integer({ min: 1, max: 20 });

describe('levels', () => {
  test('each failed attempt is followed by its level, the last one by the grave', () => {
    const after = [1, 2, 3, 4, 5].map((attempt) => new Case().after({}, attempt));
    expect(after).toEqual([retry(1), retry(5), retry(60), BURY, BURY]);
  });

  test("a definition's own go before those of the queue or module, whichever list is longer", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.array(fc.nat()), attempts, (own, levels, attempt) => {
        const afterSeconds = own[attempt - 1];
        expect(new Case({ levels }).after({ retryLevels: own }, attempt)).toEqual(
          afterSeconds === undefined ? BURY : retry(afterSeconds),
        );
      }),
    );
  });

  test('a job that is not retryable is over after its first failure, and never buried', () => {
    for (const attempt of [1, 2, 100]) {
      expect(new Case().after({ retryable: false, retryLevels: [1] }, attempt)).toEqual(END);
    }
  });

  test('an attempt number beyond all levels, as a forged job may have, is buried', () => {
    expect(new Case().after({}, Number.MAX_SAFE_INTEGER)).toEqual(BURY);
  });
});

describe('jitter', () => {
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const levels = fc.integer({ min: 1, max: 600_000 });

  test('spreads a level over at most five, none before half of it, none much beyond one and a half', () => {
    fc.assert(
      fc.property(
        levels,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(chances),
        (level, jitter, all) => {
          const seen = all.map((chance) => {
            const next = new Case({ levels: [level], jitter, chance: () => chance }).after({});
            return (next as { afterSeconds: number }).afterSeconds;
          });
          for (const seconds of seen) {
            expect(seconds).toBeGreaterThanOrEqual(level / 2);
            expect(seconds).toBeLessThanOrEqual(level * 1.5 * 1.1 + 1);
          }
          expect(new Set(seen).size).toBeLessThanOrEqual(5);
        },
      ),
    );
  });

  test('of a definition goes before that of the module, in both directions', () => {
    const early = { levels: [100], chance: () => 0 };
    expect(new Case({ ...early, jitter: 0 }).after({ retryJitter: true })).toEqual(retry(nearestLevel(50)));
    expect(new Case({ ...early, jitter: 1 }).after({ retryJitter: false })).toEqual(retry(100));
    expect(new Case({ ...early, jitter: 1 }).after({})).toEqual(retry(nearestLevel(50)));
  });

  test('leaves alone what a handler or a function has said', () => {
    const jumpy = new Case({ jitter: 1, chance: () => 0 });
    expect(jumpy.after({ retryRule: () => ({ delayMs: 60_000 }) })).toEqual(retry(60));
    expect(jumpy.after({}, 1, new RetryJob({ delayMs: 60_000 }))).toEqual(retry(60));
  });
});

describe('a function for retryable', () => {
  test('is given the error and the attempt', () => {
    const asked: unknown[] = [];
    new Case().after({ retryRule: (...given) => asked.push(given) > 0 }, 3);
    expect(asked).toEqual([[ERROR, 3]]);
  });

  test('that says false ends the job, and true takes the next level, until none is left', () => {
    expect(new Case().after({ retryRule: () => false })).toEqual(END);
    expect([1, 2, 3, 4].map((attempt) => new Case().after({ retryRule: () => true }, attempt))).toEqual([
      retry(1),
      retry(5),
      retry(60),
      BURY,
    ]);
  });

  test('that says a delay is followed for as long as it says so', () => {
    fc.assert(
      fc.property(delays, fc.integer({ min: 1 }), (delayMs, attempt) => {
        expect(new Case().after({ retryRule: () => ({ delayMs }) }, attempt)).toEqual(
          retry(secondsFor(delayMs)),
        );
      }),
    );
  });

  test.each<[string, () => unknown, string]>([
    [
      'throws',
      () => {
        throw new Error('slip');
      },
      'it threw slip',
    ],
    ['answers nothing', () => undefined, 'it answered undefined, which is neither'],
    ['answers a number', () => 5, 'it answered 5, which is neither'],
    ['answers a delay that is none', () => ({ delayMs: Number.NaN }), 'it answered delayMs NaN'],
    ['answers a delay of the past', () => ({ delayMs: -1 }), 'it answered delayMs -1'],
    ['answers a delay beyond a week', () => ({ delayMs: WEEK_MS + 1 }), 'it answered delayMs 604800001'],
    ['answers by a promise', () => Promise.reject(new Error('late')), 'it must answer at once'],
  ])('that %s is complained of and counts as true', (_what, rule, problem) => {
    const wrong = new Case();
    expect(wrong.after({ retryRule: rule as () => boolean })).toEqual(retry(1));
    expect(wrong.problems).toEqual([expect.stringContaining(problem)]);
  });
});

describe('what a handler throws', () => {
  const notRetryable: Said = { retryable: false, retryRule: () => false };

  test('RetryJob with a delay is obeyed in every attempt, whatever the definition says', () => {
    fc.assert(
      fc.property(delays, fc.integer({ min: 1 }), (delayMs, attempt) => {
        expect(new Case().after(notRetryable, attempt, new RetryJob({ delayMs }))).toEqual(
          retry(secondsFor(delayMs)),
        );
      }),
    );
  });

  test('RetryJob without a delay takes the next level, also where nothing is retryable, until none is left', () => {
    const after = [1, 4].map((attempt) => new Case().after(notRetryable, attempt, new RetryJob()));
    expect(after).toEqual([retry(1), BURY]);
  });

  test('BuryJob buries, whatever levels are left and whatever the definition says', () => {
    expect(new Case().after({}, 1, new BuryJob('x'))).toEqual(BURY);
    expect(new Case().after(notRetryable, 1, new BuryJob('x'))).toEqual(BURY);
  });
});

test('a delay becomes whole seconds, at least one, never less, and hardly more than a tenth longer', () => {
  fc.assert(
    fc.property(delays, (delayMs) => {
      const seconds = secondsFor(delayMs);
      expect(Number.isInteger(seconds)).toBe(true);
      expect(seconds).toBeGreaterThanOrEqual(Math.max(1, delayMs / 1000));
      expect(seconds).toBeLessThanOrEqual(Math.max(1, Math.ceil(delayMs / 1000)) * 1.1 + 1);
    }),
  );
});

test('an unknown job is offered to others for about five minutes, often at first, and not for ever', () => {
  const waits: number[] = [];
  for (let times = 0; ; times++) {
    const delay = afterUnknown(times);
    if (delay === undefined) break;
    waits.push(delay);
  }
  expect(waits[0]).toBe(1);
  expect(waits).toEqual([...waits].sort((a, b) => a - b));
  const minutes = waits.reduce((sum, delay) => sum + delay, 0) / 60;
  expect(minutes).toBeGreaterThan(4);
  expect(minutes).toBeLessThan(6);
});

test('a job that says it was handed on more often than anyone does is not handed on again', () => {
  expect(afterUnknown(Number.MAX_SAFE_INTEGER)).toBeUndefined();
});

describe('a job with a bound of its own', () => {
  const after = (said: Said, attempt: number, maxRetries: number, error: Error = ERROR): unknown =>
    afterFailure(
      { retryable: true, retryLevels: undefined, ...said },
      { attempt, maxRetries },
      error,
      new Case().defaults,
    );

  test('is tried again so often, at whatever level, and then buried', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.integer({ min: 1, max: 30 }), (maxRetries, attempt) => {
        const expected = attempt <= maxRetries ? retry(LEVELS[attempt - 1] ?? 60) : BURY;
        expect(after({}, attempt, maxRetries)).toEqual(expected);
      }),
    );
  });

  test('is bound whatever its handler or its function says, and ends where it is not retryable', () => {
    expect(after({}, 1, 0, new RetryJob({ delayMs: 1_000 }))).toEqual(BURY);
    expect(after({ retryRule: () => ({ delayMs: 1_000 }) }, 2, 1)).toEqual(BURY);
    expect(after({ retryRule: () => ({ delayMs: 1_000 }) }, 1, 1)).toEqual(retry(1));
    expect(after({ retryable: false }, 1, 5)).toEqual(END);
    expect(after({}, 1, 5, new BuryJob('enough'))).toEqual(BURY);
  });
});
