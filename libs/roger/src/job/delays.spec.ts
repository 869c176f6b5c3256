// The arithmetic of delays: whole seconds, binary levels, and which times are none.
import fc from 'fast-check';
import {
  DELAY_LEVELS,
  dueTimeOf,
  hasLevel,
  levelsOf,
  longestLevelOf,
  MAX_DELAY_SECONDS,
  problemOfDelayMs,
  problemOfRunAt,
  secondsOfLevel,
  secondsUntil,
} from './delays';

const NOW = 1_790_000_000_000;
const seconds = fc.integer({ min: 1, max: MAX_DELAY_SECONDS });

test('the levels of a delay last as long as the delay, each is used once, and each is longer than the next', () => {
  fc.assert(
    fc.property(seconds, (delay) => {
      const levels = levelsOf(delay);
      expect(levels.reduce((sum, level) => sum + secondsOfLevel(level), 0)).toBe(delay);
      expect(levels).toEqual([...new Set(levels)].sort((a, b) => b - a));
      expect(levels[0]).toBe(longestLevelOf(delay));
      expect(levels.every((level) => level < DELAY_LEVELS && hasLevel(delay, level))).toBe(true);
    }),
  );
});

test('a job is at most a quarter of a second early, and less than a second late', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_DELAY_SECONDS * 1_000 }), (ms) => {
      const lateMs = secondsUntil(NOW + ms, NOW) * 1_000 - ms;
      expect(lateMs).toBeGreaterThanOrEqual(-250);
      expect(lateMs).toBeLessThanOrEqual(750);
    }),
  );
});

test('a delay of whole seconds stays what it is when a little of it has gone by', () => {
  fc.assert(
    fc.property(seconds, fc.integer({ min: 0, max: 700 }), (delay, gone) => {
      expect(secondsUntil(NOW + delay * 1_000, NOW + gone)).toBe(delay);
    }),
  );
});

test('what is past, or due within a quarter of a second, is due at once', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1_000_000, max: 250 }), (ms) => {
      expect(secondsUntil(NOW + ms, NOW)).toBe(0);
    }),
  );
});

test('a delay of up to a quarter of a second is none; a time that was a second ahead when it was named still is one', () => {
  expect(dueTimeOf({ delayMs: 250 }, NOW)).toBeUndefined();
  expect(dueTimeOf({ delayMs: 251 }, NOW)).toBe(NOW + 251);
  expect(dueTimeOf({ runAt: NOW + 998 }, NOW)).toBe(NOW + 998);
  expect(dueTimeOf({ delayMs: 1_000 }, NOW)).toBe(NOW + 1_000);
  expect(dueTimeOf({ runAt: NOW - 5 }, NOW)).toBeUndefined();
  expect(dueTimeOf({ runAt: new Date(NOW + 5_000) }, NOW)).toBe(NOW + 5_000);
  expect(dueTimeOf({ runAt: NOW + 1_500.4 }, NOW)).toBe(NOW + 1_500);
  expect(dueTimeOf({}, NOW)).toBeUndefined();
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '5', null, MAX_DELAY_SECONDS * 1_000 + 1])(
  'a delay of %p is none',
  (delayMs) => {
    expect(problemOfDelayMs(delayMs)).toMatch(/is no delay|is too late/);
  },
);

test.each([
  Number.NaN,
  new Date('no date'),
  '2030-01-01',
  null,
  Number.POSITIVE_INFINITY,
  NOW + MAX_DELAY_SECONDS * 1_000 + 1,
])('%p is no time for a job', (runAt) => {
  expect(problemOfRunAt(runAt, NOW)).toMatch(/is no time|is too late/);
});

test('the longest delay is fine, and so is any time in the past', () => {
  expect(problemOfDelayMs(MAX_DELAY_SECONDS * 1_000)).toBeUndefined();
  expect(problemOfDelayMs(0)).toBeUndefined();
  expect(problemOfRunAt(new Date(NOW + MAX_DELAY_SECONDS * 1_000), NOW)).toBeUndefined();
  expect(problemOfRunAt(-5, NOW)).toBeUndefined();
});
