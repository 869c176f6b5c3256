// Of each tick a ledger enqueues one job, whoever asks for it and how often.
import { decodeState, encodeState, partsOf } from '../ledger-snapshot';
import { LedgerState } from '../ledger-state';
import type { Operation, Reply } from '../operation';

const MINUTE = 60_000;
const BEGIN = Date.parse('2026-01-01T12:00:00Z');
const ID = 'cron/n/2026-01-01T12:01:00Z';
const JOB = { v: 1, id: 'cron/n', name: 'j', partition: 'p', queue: 'q', args: { text: 'ä' }, queuedAt: 0 };

class Ledger {
  readonly sent: { readonly id: string; readonly body: string | undefined }[] = [];
  readonly state = new LedgerState({ dispatch: ({ id, body }) => this.sent.push({ id, body }) });

  constructor() {
    this.state.id = 'now';
  }

  do(operation: Operation, at: number, text = ''): Reply {
    return this.state.apply(operation, { at, maxWaitingJobs: 1, text: () => text, addPart: () => 0 });
  }

  schedule(more: Partial<Operation & { op: 'schedule' }> = {}, at = BEGIN, job: unknown = JOB): Reply {
    const operation: Operation = {
      ...{ op: 'schedule', partition: 'p', name: 'n', job: 'j', queue: 'q', source: 'run time', body: 0 },
      ...{ expression: '* * * * *', timeZone: 'UTC', catchUp: 'skip' },
      ...more,
    };
    return this.do(operation, at, Buffer.from(JSON.stringify(job)).toString('latin1'));
  }

  /** @param now the keeper's clock */
  tick(at: number, now = at, revision = this.row?.revision ?? 0): Reply {
    return this.do({ op: 'cron tick', partition: 'p', name: 'n', at, revision }, now);
  }

  get row() {
    return this.state.partitions.get('p')?.schedules.get('n');
  }

  get ids(): string[] {
    return this.sent.map(({ id }) => id);
  }
}

describe('a tick', () => {
  let ledger: Ledger;

  beforeEach(() => {
    ledger = new Ledger();
    ledger.schedule();
  });

  it('is taken once, and enqueues a job of its own id and time', () => {
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + MINUTE + 5)).toEqual({ tick: 'taken' });
    expect(ledger.tick(BEGIN + MINUTE)).toEqual({ tick: 'late' });
    expect(ledger.ids).toEqual([ID]);
    const job: unknown = JSON.parse(Buffer.from(ledger.sent[0]?.body ?? '', 'latin1').toString());
    expect(job).toEqual({ ...JOB, id: ID, queuedAt: BEGIN + MINUTE + 5 });
    expect(ledger.row).toMatchObject({ after: BEGIN + MINUTE, last: BEGIN + MINUTE });
  });

  it('is not taken behind a later one, or from before the schedule', () => {
    expect(ledger.tick(BEGIN)).toEqual({ tick: 'late' });
    expect(ledger.tick(BEGIN + 2 * MINUTE)).toEqual({ tick: 'taken' });
    expect(ledger.tick(BEGIN + MINUTE)).toEqual({ tick: 'late' });
  });

  it('is not taken before its time by the clock of the keeper', () => {
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + MINUTE - 3_000)).toEqual({ tick: 'early', waitMs: 3_000 });
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + MINUTE - 100)).toEqual({ tick: 'taken' });
    expect(ledger.tick(Number.MAX_SAFE_INTEGER, BEGIN)).toMatchObject({ tick: 'early' });
  });

  it('is missed after a minute, unless it is to be made up for', () => {
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + 3 * MINUTE)).toEqual({ tick: 'missed' });
    ledger.schedule({ catchUp: 'once' }, BEGIN + 3 * MINUTE);
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + 3 * MINUTE)).toEqual({ tick: 'taken' });
  });

  it('enqueues nothing while another job has its queue key, and is over', () => {
    ledger.schedule({ queueKey: 'u' });
    expect(ledger.tick(BEGIN + MINUTE)).toEqual({ tick: 'taken' });
    expect(ledger.tick(BEGIN + 2 * MINUTE)).toEqual({ tick: 'taken', duplicate: ID });
    expect(ledger.tick(BEGIN + 2 * MINUTE)).toEqual({ tick: 'late' });
    expect(ledger.ids).toEqual([ID]);
  });

  it('is not over when the ledger is full', () => {
    ledger.schedule({ executionKey: 'e' });
    ledger.tick(BEGIN + MINUTE);
    ledger.tick(BEGIN + 2 * MINUTE);
    expect(ledger.tick(BEGIN + 3 * MINUTE)).toEqual({ tick: 'full' });
    expect(ledger.row?.last).toBe(BEGIN + 2 * MINUTE);
  });

  it('of no schedule, or by a former rule, is unknown', () => {
    const { revision = 0 } = ledger.row ?? {};
    ledger.schedule({ expression: '@hourly' });
    expect(ledger.tick(BEGIN + MINUTE, BEGIN + MINUTE, revision)).toEqual({ tick: 'unknown' });
    ledger.do({ op: 'unschedule', partition: 'p', name: 'n' }, BEGIN);
    expect(ledger.tick(BEGIN + MINUTE)).toEqual({ tick: 'unknown' });
    expect(ledger.state.partitions.size).toBe(0);
  });
});

describe('a schedule', () => {
  let ledger: Ledger;

  beforeEach(() => {
    ledger = new Ledger();
    ledger.schedule({ source: 'definition' });
  });

  it('that is declared again is the same', () => {
    ledger.tick(BEGIN + MINUTE);
    expect(ledger.schedule({ source: 'definition' }, BEGIN + 2 * MINUTE)).toEqual({ isSame: true });
    expect(ledger.row).toMatchObject({ after: BEGIN + MINUTE, last: BEGIN + MINUTE });
  });

  it('goes on with another job, and begins anew with another rule', () => {
    const changed = { source: 'definition', queue: 'other' } as const;
    expect(ledger.schedule(changed, BEGIN + MINUTE)).toEqual({ isSame: false });
    expect(ledger.row?.after).toBe(BEGIN);
    const inBerlin = { ...changed, timeZone: 'Europe/Berlin' };
    expect(ledger.schedule(inBerlin, BEGIN + MINUTE)).toEqual({ isSame: false });
    expect(ledger.row?.after).toBe(BEGIN + MINUTE);
  });

  it('of code is not replaced at run time, but the other way round', () => {
    expect(ledger.schedule({ expression: '@hourly' })).toEqual({ refused: true });
    expect(ledger.row?.expression).toBe('* * * * *');
    ledger.schedule({ name: 'made' });
    expect(ledger.schedule({ name: 'made', source: 'definition' })).toEqual({ isSame: false });
  });

  it('ticks not while it is paused, nor for that time later, and stays paused when it is declared again', () => {
    const of = { partition: 'p', name: 'n' };
    expect(ledger.do({ op: 'pause schedule', ...of }, BEGIN)).toEqual({ found: true });
    ledger.schedule({ source: 'definition', expression: '*/2 * * * *' });
    expect(ledger.tick(BEGIN + 2 * MINUTE)).toEqual({ tick: 'paused' });
    expect(ledger.do({ op: 'resume schedule', ...of }, BEGIN + 3 * MINUTE)).toEqual({ found: true });
    expect(ledger.tick(BEGIN + 2 * MINUTE, BEGIN + 3 * MINUTE)).toEqual({ tick: 'late' });
    expect(ledger.tick(BEGIN + 4 * MINUTE)).toEqual({ tick: 'taken' });
    expect(ledger.do({ op: 'pause schedule', ...of, name: 'x' }, BEGIN)).toEqual({ found: false });
  });

  it('runs out of turn', () => {
    const of = { partition: 'p', name: 'n' };
    expect(ledger.do({ op: 'run schedule', ...of, id: 'now' }, BEGIN)).toEqual({ found: true });
    expect(ledger.ids).toEqual(['now']);
    expect(ledger.do({ op: 'run schedule', ...of, name: 'x', id: 'now' }, BEGIN)).toEqual({ found: false });
  });

  it.each([['text'], [null], [[]]])('is refused when its job is none: %j', (job) => {
    expect(ledger.schedule({ name: 'bad' }, BEGIN, job)).toEqual({ refused: true });
    expect(ledger.do({ op: 'schedule', name: 'bad' } as Operation, BEGIN, '{')).toEqual({ refused: true });
  });

  it('is listed, for one partition or all', () => {
    ledger.schedule({ partition: 'p2', queueKey: 'u' });
    ledger.tick(BEGIN + MINUTE);
    const own = { partition: 'p', name: 'n', last: BEGIN + MINUTE, paused: false, source: 'definition' };
    expect(ledger.do({ op: 'schedules', partition: 'p' }, BEGIN)).toMatchObject({ schedules: [own] });
    const { state, schedules } = ledger.do({ op: 'schedules' }, BEGIN);
    expect([state, schedules]).toMatchObject(['now', [own, { partition: 'p2' }]]);
  });

  it('outlives a snapshot, in parts of a bounded size', () => {
    ledger.tick(BEGIN + MINUTE);
    const large = { ...JOB, args: 'x'.repeat(200_000) };
    for (let n = 0; n < 20; n++) ledger.schedule({ name: `n${n}`, queueKey: 'u' }, BEGIN, large);
    expect([...partsOf(ledger.state)].length).toBeGreaterThan(3);
    const copy = new Ledger();
    decodeState(encodeState(ledger.state), copy.state);
    expect(copy.row).toEqual(ledger.row);
    expect(copy.state.partitions.get('p')?.schedules).toEqual(ledger.state.partitions.get('p')?.schedules);
    // Jest compares buffers byte by byte, for half a minute.
    expect(encodeState(copy.state).equals(encodeState(ledger.state))).toBe(true);
    expect(copy.tick(BEGIN + MINUTE)).toEqual({ tick: 'late' });
    expect(copy.tick(BEGIN + 2 * MINUTE)).toEqual({ tick: 'taken' });
  });
});
