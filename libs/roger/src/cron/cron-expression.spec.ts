// Ticks come when the clocks of their zone say so, on the days too when those are changed.
import { CronExpression } from './cron-expression';

function read(expression: string, timeZone = 'UTC'): CronExpression {
  const found = CronExpression.read(expression, timeZone);
  if (!(found instanceof CronExpression)) throw new Error(found.message);
  return found;
}

function ticks(expression: CronExpression, from: string, count: number): string[] {
  const found: string[] = [];
  let time = Date.parse(from);
  while (found.length < count) {
    time = expression.nextAfter(time) ?? NaN;
    found.push(new Date(time).toISOString().replace(':00.000Z', 'Z'));
  }
  return found;
}

const at = (text: string): number => Date.parse(text);

describe('a cron expression', () => {
  it('has minutes or seconds, or a nickname', () => {
    const noon = at('2026-01-01T12:00:00Z');
    expect(read('*/5 * * * *').nextAfter(noon)).toBe(noon + 300_000);
    expect(read('*/5 * * * * *').nextAfter(noon)).toBe(noon + 5_000);
    expect(read('@hourly').nextAfter(noon)).toBe(noon + 3_600_000);
    expect(read(' @Daily ').nextAfter(noon)).toBe(at('2026-01-02T00:00:00Z'));
  });

  it('finds the next tick after a time, and the latest up to it', () => {
    const each = read('* * * * * *');
    const second = at('2026-01-01T12:00:00Z');
    expect(each.nextAfter(second)).toBe(second + 1_000);
    expect(each.nextAfter(second + 999)).toBe(second + 1_000);
    expect(each.latestUpTo(second)).toBe(second);
    expect(each.latestUpTo(second + 999)).toBe(second);
    expect(each.latestUpTo(second - 1)).toBe(second - 1_000);
    expect(read('0 3 * * *').latestUpTo(second)).toBe(at('2026-01-01T03:00:00Z'));
    expect(read('0 3 * * *').latestUpTo(at('2026-01-01T03:00:00Z'))).toBe(at('2026-01-01T03:00:00Z'));
    expect(read('0 3 * * *').latestUpTo(at('2026-01-01T02:59:59Z'))).toBe(at('2025-12-31T03:00:00Z'));
  });

  it('ticks at the end of the gap when the clocks go forward over its time, and at its time again the day after', () => {
    expect(ticks(read('30 2 * * *', 'Europe/Berlin'), '2026-03-28T00:00:00Z', 3)).toEqual([
      '2026-03-28T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ]);
  });

  it('ticks once when its time comes twice, as the clocks go back', () => {
    expect(ticks(read('30 2 * * *', 'Europe/Berlin'), '2026-10-24T00:00:00Z', 3)).toEqual([
      '2026-10-24T00:30Z',
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ]);
  });

  it('ticks each hour that passes, whatever the clocks do', () => {
    const hourly = read('30 * * * *', 'Europe/Berlin');
    expect(ticks(hourly, '2026-03-28T23:45:00Z', 3)).toEqual([
      '2026-03-29T00:30Z',
      '2026-03-29T01:30Z',
      '2026-03-29T02:30Z',
    ]);
    expect(ticks(hourly, '2026-10-24T23:45:00Z', 3)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-25T01:30Z',
      '2026-10-25T02:30Z',
    ]);
  });

  it.each([
    [
      '61 * * * *',
      'UTC',
      'expression',
      /"61 \* \* \* \*" is no cron expression: Invalid value for minute: 61/,
    ],
    ['* * * *', 'UTC', 'expression', /five or six fields/],
    ['* * * * * * *', 'UTC', 'expression', /five or six fields/],
    ['@reboot', 'UTC', 'expression', /or be one of @yearly/],
    ['2026-01-01T00:00:00', 'UTC', 'expression', /five or six fields/],
    ['0 0 31 2 *', 'UTC', 'expression', /never ticks/],
    [7, 'UTC', 'expression', /must be a text/],
    ['* * * * *', 'Europe/Nowhere', 'timeZone', /"Europe\/Nowhere" is no time zone/],
    ['* * * * *', 7, 'timeZone', /7 is no time zone/],
  ])('is refused, and the culprit is named: %j in %j', (expression, timeZone, culprit, message) => {
    expect(CronExpression.read(expression, timeZone)).toEqual({
      culprit,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('the ticks that are due', () => {
  const begin = at('2026-01-01T12:00:00Z');

  it('are all of the last minute', () => {
    const due = read('*/10 * * * * *').dueTicks(begin, begin + 35_000, 60_000, 'skip');
    expect(due).toEqual([begin + 10_000, begin + 20_000, begin + 30_000]);
  });

  it('are only those of the last minute after a sleep', () => {
    const due = read('*/30 * * * * *').dueTicks(begin, begin + 3_600_000, 60_000, 'once');
    expect(due).toEqual([begin + 3_570_000, begin + 3_600_000]);
  });

  it('are none of those before it, or the latest one', () => {
    const noon = at('2026-01-03T12:00:00Z');
    expect(read('0 3 * * *').dueTicks(begin, noon, 60_000, 'skip')).toEqual([]);
    expect(read('0 3 * * *').dueTicks(begin, noon, 60_000, 'once')).toEqual([at('2026-01-03T03:00:00Z')]);
    expect(read('0 3 * * *').dueTicks(noon, noon + 600_000, 60_000, 'once')).toEqual([]);
  });
});
