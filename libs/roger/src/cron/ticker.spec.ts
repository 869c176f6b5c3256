// A node asks for each tick at its time, by the keeper's clock, however its own goes.
import type { SchedulesReply, ScheduleRow, TickReply } from '../ledger/operation';
import type { DeclaredSchedule } from '../ledger/schedules';
import type { LedgersOfTicker } from './ticker';
import { Ticker } from './ticker';

const NOON = Date.parse('2026-01-01T12:00:00Z');
const TAKEN: TickReply = { tick: 'taken' };

function row(more: Partial<ScheduleRow> = {}): ScheduleRow {
  return {
    ...{ partition: 'p', name: 'n', job: 'j', source: 'run time', expression: '* * * * *', timeZone: 'UTC' },
    ...{ catchUp: 'skip', revision: 1, after: NOON, paused: false },
    ...more,
  };
}

/** One ledger, which answers as it is told to. */
class Ledger implements LedgersOfTicker {
  readonly asked: number[] = [];
  readonly declared: string[] = [];
  refreshes = 0;
  answer: (tick: number) => TickReply = () => TAKEN;
  failure: Error | undefined;

  follow(): void {
    // The test tells the ticker itself.
  }
  ledgerOf(): number {
    return 0;
  }
  refresh(): void {
    this.refreshes++;
  }
  async declare({ name }: DeclaredSchedule): Promise<boolean> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    this.declared.push(name);
    return true;
  }
  async tick(_row: ScheduleRow, tick: number): Promise<TickReply> {
    await Promise.resolve();
    this.asked.push(tick - NOON);
    if (this.failure !== undefined) throw this.failure;
    return this.answer(tick);
  }
}

describe('a ticker', () => {
  let ledger: Ledger;
  let ticker: Ticker;
  const warnings: string[] = [];
  const told = (schedules: readonly ScheduleRow[], state = 's'): SchedulesReply => ({ state, schedules });
  const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);

  function start(...schedules: ScheduleRow[]): void {
    ticker.serve('p');
    ticker.onSchedules(0, told(schedules));
  }

  beforeEach(() => {
    jest.useFakeTimers({ now: NOON });
    ledger = new Ledger();
    warnings.length = 0;
    const quiet = (): undefined => undefined;
    const warn = (line: unknown): void => void warnings.push(String(line));
    const log = { log: quiet, error: warn, debug: quiet, warn };
    ticker = new Ticker(ledger, log);
  });

  afterEach(() => {
    ticker.stop();
    jest.useRealTimers();
  });

  it('asks once for each tick, at its time', async () => {
    start(row());
    await pass(59_999);
    expect(ledger.asked).toEqual([]);
    await pass(1);
    expect(ledger.asked).toEqual([60_000]);
    await pass(120_000);
    expect(ledger.asked).toEqual([60_000, 120_000, 180_000]);
  });

  it('waits for a tick that is farther off than a timer goes', async () => {
    start(row({ expression: '0 0 1 3 *' }));
    await pass(58 * 24 * 3_600_000);
    expect(ledger.asked).toEqual([]);
    await pass(12 * 3_600_000);
    expect(ledger.asked).toEqual([Date.parse('2026-03-01T00:00:00Z') - NOON]);
    // It looks at the clock 84 000 times, which on a busy machine takes its seconds.
  }, 30_000);

  it('leaves alone what is paused, of other partitions, or of code that is not here', async () => {
    start(row({ paused: true }), row({ partition: 'q' }), row({ name: 'd', source: 'definition' }));
    await pass(180_000);
    expect(ledger.asked).toEqual([]);
  });

  it('asks for a tick that came just before it heard of the schedule, but not for one before its own start', async () => {
    start(row({ after: NOON - 3_600_000 }));
    await pass(90_000);
    expect(ledger.asked).toEqual([60_000]);
    ticker.onSchedules(0, told([row(), row({ name: 'made', after: NOON + 59_000 })]));
    await pass(0);
    expect(ledger.asked).toEqual([60_000, 60_000]);
  });

  it('makes up at its start for the latest tick, if it is to', async () => {
    start(row({ after: NOON - 3_600_000, catchUp: 'once', expression: '*/20 * * * *' }));
    await pass(0);
    expect(ledger.asked).toEqual([0]);
    await pass(1_200_000);
    expect(ledger.asked).toEqual([0, 1_200_000]);
  });

  it('makes up for nothing at its start that was taken already', async () => {
    start(row({ after: NOON, catchUp: 'once' }));
    await pass(0);
    expect(ledger.asked).toEqual([]);
  });

  it('goes by the clock when that was set: no tick of hours that were leapt over, none twice, none left out after', async () => {
    start(row());
    await pass(60_000);
    jest.setSystemTime(NOON + 3_600_000 + 30_000);
    await pass(60_000);
    expect(ledger.asked.slice(1).every((tick) => tick >= 3_600_000)).toBe(true);
    expect(ledger.asked).toContain(3_660_000);
    jest.setSystemTime(NOON + 600_000);
    ledger.asked.length = 0;
    await pass(180_000);
    expect(ledger.asked).toContain(720_000);
  });

  it('waits when it is ahead of the keeper, and is not ahead from then on', async () => {
    // Its own clock is 5 s ahead.
    ledger.answer = (tick) => {
      const waitMs = tick - (Date.now() - 5_000);
      return waitMs > 1_000 ? { tick: 'early', waitMs } : TAKEN;
    };
    start(row());
    await pass(64_000);
    expect(ledger.asked).toEqual([60_000]);
    await pass(1_000);
    expect(ledger.asked).toEqual([60_000, 60_000]);
    await pass(60_000);
    expect(ledger.asked).toEqual([60_000, 60_000, 120_000]);
  });

  it('asks again while there is no answer, until a later tick takes the place', async () => {
    start(row());
    ledger.failure = new Error('nobody there');
    await pass(62_500);
    expect(ledger.asked).toEqual([60_000, 60_000, 60_000]);
    expect(warnings).toEqual(['The recurring job n of p is held up: nobody there']);
    await pass(60_000);
    ledger.asked.length = 0;
    ledger.failure = undefined;
    await pass(3_000);
    expect(ledger.asked).toEqual([120_000]);
  });

  it('goes by a changed rule at once, and by no former one', async () => {
    start(row());
    await pass(30_000);
    ticker.onSchedules(0, told([row({ expression: '*/10 * * * * *', revision: 2, after: NOON + 30_000 })]));
    await pass(10_000);
    expect(ledger.asked).toEqual([40_000]);
    ticker.onSchedules(0, told([]));
    await pass(60_000);
    expect(ledger.asked).toEqual([40_000]);
  });

  it('declares what its code does, and again when the ledger has lost its past', async () => {
    const declared = { ...row({ name: 'd', source: 'definition' }), queue: 'q', body: Buffer.from('{}') };
    ledger.failure = new Error('nobody there');
    ticker.serve('p', [declared]);
    ticker.onSchedules(0, told([row({ name: 'd', source: 'definition', expression: '@hourly' })]));
    await pass(0);
    ledger.failure = undefined;
    await pass(1_000);
    expect(ledger.declared).toEqual(['d']);
    expect(ledger.refreshes).toBe(1);
    ticker.onSchedules(0, told([row({ name: 'd', source: 'definition' })]));
    await pass(60_000);
    expect(ledger.asked).toEqual([60_000]);
    ticker.onSchedules(0, told([], 'another state'));
    await pass(0);
    expect(ledger.declared).toEqual(['d', 'd']);
    expect(ledger.refreshes).toBe(2);
  });

  it('does not declare again what was unscheduled by hand', async () => {
    const declared = { ...row({ name: 'd', source: 'definition' }), queue: 'q', body: Buffer.from('{}') };
    ticker.serve('p', [declared]);
    await pass(0);
    ticker.onSchedules(0, told([row({ name: 'd', source: 'definition' })]));
    ticker.onSchedules(0, told([]));
    await pass(120_000);
    expect(ledger.declared).toEqual(['d']);
    expect(ledger.asked).toEqual([]);
  });

  describe('whose node serves another partition from now on', () => {
    const declared = (partition: string): DeclaredSchedule => ({
      ...row({ partition, name: 'd', source: 'definition' }),
      queue: 'q',
      body: Buffer.from('{}'),
    });

    it('declares what its code does there, and ticks for it and for what was made there', async () => {
      start(row());
      ticker.serve('q', [declared('q')]);
      ticker.serve('q', [declared('q')]);
      await pass(0);
      expect(ledger.declared).toEqual(['d']);
      // Once for each of the two.
      expect(ledger.refreshes).toBe(2);
      const rows = [row(), row({ partition: 'q', name: 'd', source: 'definition' }), row({ partition: 'q' })];
      ticker.onSchedules(0, told(rows));
      await pass(60_000);
      expect(ledger.asked).toEqual([60_000, 60_000, 60_000]);
    });

    it('learns of what was made there, where its code declares nothing', async () => {
      start(row());
      ticker.serve('q');
      await pass(0);
      // Once for each of the two.
      expect(ledger.refreshes).toBe(2);
    });

    it('goes by its start there: what nobody was there for is made up for or not, in this partition alone', async () => {
      start(row({ catchUp: 'once', after: NOON, expression: '*/20 * * * *' }));
      await pass(90_000);
      ticker.serve('q');
      await pass(0);
      const missed = { partition: 'q', after: NOON - 3_600_000 };
      ticker.onSchedules(
        0,
        told([
          row({ catchUp: 'once', after: NOON, expression: '*/20 * * * *' }),
          row({ ...missed, catchUp: 'once', expression: '*/20 * * * *' }),
          row({ ...missed, name: 'skips' }),
        ]),
      );
      await pass(0);
      expect(ledger.asked).toEqual([0]);
    });

    it('ticks for it no more once it leaves it, and for the others still; and again when it comes back', async () => {
      const rows = [row(), row({ partition: 'q', name: 'd', source: 'definition' })];
      start(row());
      ticker.serve('q', [declared('q')]);
      await pass(0);
      ticker.onSchedules(0, told(rows));
      ticker.leave('q');
      ticker.leave('q');
      ticker.leave('nobody');
      await pass(60_000);
      expect(ledger.asked).toEqual([60_000]);
      ticker.onSchedules(0, told(rows, 'another state'));
      await pass(60_000);
      expect(ledger.asked).toEqual([60_000, 120_000]);
      expect(ledger.declared).toEqual(['d']);
      ticker.serve('q', [declared('q')]);
      await pass(0);
      ticker.onSchedules(0, told(rows, 'another state'));
      await pass(60_000);
      expect(ledger.asked).toEqual([60_000, 120_000, 180_000, 180_000]);
    });

    it('stops to ask for the tick of a partition that it leaves, and to declare there', async () => {
      start(row());
      ledger.failure = new Error('nobody there');
      ticker.serve('q', [declared('q')]);
      await pass(60_000);
      ticker.leave('q');
      ticker.leave('p');
      await pass(2_000);
      ledger.failure = undefined;
      ledger.asked.length = 0;
      await pass(5_000);
      expect(ledger.asked).toEqual([]);
      expect(ledger.declared).toEqual([]);
    });
  });
});
