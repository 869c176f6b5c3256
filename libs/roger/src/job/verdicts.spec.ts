// What a handler may throw.
import { InvalidArgumentError } from './errors';
import { BuryJob, DiscardJob, RetryJob, SnoozeJob } from './verdicts';

const WEEK_MS = 7 * 24 * 3600 * 1000;

test.each([-1, Number.NaN, Infinity, WEEK_MS + 1, '5' as never, null as never])(
  'a delay of %p is refused where it is written',
  (delayMs) => {
    expect(() => new RetryJob({ delayMs })).toThrow(InvalidArgumentError);
    expect(() => new SnoozeJob({ delayMs })).toThrow(InvalidArgumentError);
  },
);

test.each([0, 0.5, 1, WEEK_MS])('a delay of %p ms is taken', (delayMs) => {
  expect(new RetryJob({ delayMs }).delayMs).toBe(delayMs);
  expect(new SnoozeJob({ delayMs }).delayMs).toBe(delayMs);
});

test('each says by name and message what it is', () => {
  const shown = [
    new RetryJob({ reason: 'busy' }),
    new RetryJob(),
    new BuryJob('broken'),
    new DiscardJob('gone'),
    new SnoozeJob({ delayMs: 1 }),
  ].map(String);
  expect(shown).toEqual([
    'RetryJob: busy',
    'RetryJob: the handler asks for another attempt',
    'BuryJob: broken',
    'DiscardJob: gone',
    'SnoozeJob: the handler asks to be called later',
  ]);
});
