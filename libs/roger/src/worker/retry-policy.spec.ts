// What follows a failed attempt, and how long an unknown job is offered to others.
import fc from 'fast-check';
import { afterFailure, afterUnknown } from './retry-policy';

const MODULE_LEVELS = [1, 5, 60];

test('each failed attempt is followed by its level, the last one by the grave', () => {
  const definition = { retryable: true, retryLevels: undefined };
  const after = [1, 2, 3, 4, 5].map((attempt) => afterFailure(definition, { attempt }, MODULE_LEVELS));
  expect(after).toEqual([
    { kind: 'retry', afterSeconds: 1 },
    { kind: 'retry', afterSeconds: 5 },
    { kind: 'retry', afterSeconds: 60 },
    { kind: 'bury' },
    { kind: 'bury' },
  ]);
});

test("a definition's own levels go before the module's, whichever list is longer", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat()),
      fc.array(fc.nat()),
      fc.integer({ min: 1, max: 20 }),
      (own, levels, attempt) => {
        const afterSeconds = own[attempt - 1];
        expect(afterFailure({ retryable: true, retryLevels: own }, { attempt }, levels)).toEqual(
          afterSeconds === undefined ? { kind: 'bury' } : { kind: 'retry', afterSeconds },
        );
      },
    ),
  );
});

test('a job that is not retryable is over after its first failure, and never buried', () => {
  for (const attempt of [1, 2, 100]) {
    expect(afterFailure({ retryable: false, retryLevels: [1] }, { attempt }, MODULE_LEVELS)).toEqual({
      kind: 'end',
    });
  }
});

test('an attempt number beyond all levels, as a forged job may have, is buried', () => {
  const definition = { retryable: true, retryLevels: undefined };
  expect(afterFailure(definition, { attempt: Number.MAX_SAFE_INTEGER }, MODULE_LEVELS)).toEqual({
    kind: 'bury',
  });
});

test('an unknown job is offered to others for about five minutes, often at first, and not for ever', () => {
  const delays: number[] = [];
  for (let times = 0; ; times++) {
    const delay = afterUnknown(times);
    if (delay === undefined) break;
    delays.push(delay);
  }
  expect(delays[0]).toBe(1);
  expect(delays).toEqual([...delays].sort((a, b) => a - b));
  const minutes = delays.reduce((sum, delay) => sum + delay, 0) / 60;
  expect(minutes).toBeGreaterThan(4);
  expect(minutes).toBeLessThan(6);
});

test('a job that says it was handed on more often than anyone does is not handed on again', () => {
  expect(afterUnknown(Number.MAX_SAFE_INTEGER)).toBeUndefined();
});
