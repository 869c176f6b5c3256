// Which lists of retry levels are taken.
import fc from 'fast-check';
import { DEFAULT_RETRY_LEVELS, nearestLevel, problemOfRetryLevels } from './retry-levels';

const WEEK = 604_800;

test('the default levels are valid and last about an hour', () => {
  expect(problemOfRetryLevels(DEFAULT_RETRY_LEVELS)).toBeUndefined();
  const seconds = DEFAULT_RETRY_LEVELS.reduce((sum, level) => sum + level, 0);
  expect(seconds / 60).toBeGreaterThan(55);
  expect(seconds / 60).toBeLessThan(65);
});

test('any list of whole seconds that does not get shorter is taken', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: WEEK }), { minLength: 1, maxLength: 100 }), (levels) => {
      expect(problemOfRetryLevels(levels.sort((a, b) => a - b))).toBeUndefined();
    }),
  );
});

test.each<[levels: unknown, problem: string]>([
  [undefined, 'must be a list of at least one number of seconds, not undefined'],
  [null, 'not null'],
  [10, 'not 10'],
  ['1,2,3', 'not "1,2,3"'],
  [{ 0: 1, length: 1 }, 'not an object'],
  [[], 'for no retries say retryable: false'],
  [[1, -1], 'from 1 to 604800 (a week), not -1'],
  [[0], 'not 0'],
  [[1.5], 'not 1.5'],
  [[Number.NaN], 'not NaN'],
  [[Infinity], 'not Infinity'],
  [['5'], 'not "5"'],
  [[WEEK + 1], 'not 604801'],
  [[2 ** 31], 'not 2147483648'],
  [[undefined], 'not undefined'],
  [[1, undefined, 3], 'not undefined'],
  [new Array(3), 'not undefined'],
  [[null], 'not null'],
  [[1, 5, 3], 'retry levels must not get shorter: 1, 5, 3'],
  [Array.from({ length: 101 }, () => 1), 'at most 100 retry levels, not 101'],
])('%p is refused: %s', (levels, problem) => {
  expect(problemOfRetryLevels(levels)).toContain(problem);
});

test('delays that somebody computes share a bounded number of levels', () => {
  const levels = new Set<number>();
  for (let seconds = 1; seconds <= WEEK; seconds++) levels.add(nearestLevel(seconds));
  expect(levels.size).toBeLessThan(150);
  expect([...levels]).toEqual([...levels].sort((a, b) => a - b));
});

test('a computed delay is never shortened, and a level is its own', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: WEEK }), (seconds) => {
      const level = nearestLevel(seconds);
      expect(level).toBeGreaterThanOrEqual(seconds);
      expect(level).toBeLessThanOrEqual(Math.ceil(seconds * 1.1) + 1);
      expect(nearestLevel(level)).toBe(level);
    }),
  );
});

test.each([1, 2, 9, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 86_400, WEEK])(
  'a delay of %i s is kept to the second',
  (seconds) => {
    expect(nearestLevel(seconds)).toBe(seconds);
  },
);
