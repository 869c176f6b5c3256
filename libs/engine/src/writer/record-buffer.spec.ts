// Rows that only say that a job waits are put off where many do, within bounds, and are there in the end.
import { performance } from 'node:perf_hooks';
import type { Job, JobEnd, RunRecord } from 'nestjs-roger';
import { marksOf } from '../records/event-marks';
import { endedJob, endedRun, enqueuedJob } from '../records/event-rows';
import { FactsReader } from '../records/job-facts';
import { textOf } from '../records/record-text';
import type { EventRows } from '../records/rows';
import type { Segment } from './lines';
import { bytesOf, Lines } from './lines';
import { RecordBuffer } from './record-buffer';

const facts = new FactsReader('full', 1_000);
let now: number;
let lines: Lines;

beforeEach(() => {
  now = 1_000;
  lines = new Lines();
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => jest.restoreAllMocks());

function jobOf(index: number): Job {
  return { id: `j${index}`, name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 1_000 };
}

function add(buffer: RecordBuffer, rows: EventRows): void {
  const line = lines.append(bytesOf(textOf(rows)));
  buffer.add(marksOf(rows), line, true);
  line.release();
}

function enqueue(buffer: RecordBuffer, count: number): void {
  for (let index = 0; index < count; index++) {
    const job = jobOf(index);
    add(buffer, { job: enqueuedJob(facts.read(job), job), run: undefined });
  }
}

function cancel(buffer: RecordBuffer, index: number): void {
  const job = jobOf(index);
  const end = { job, address: job, run: undefined, at: 2_000, outcome: 'cancelled' } as const;
  add(buffer, { job: endedJob(facts.read(job), job, end, 'node', 1), run: undefined });
}

function taken(buffer: RecordBuffer, isAll = false): string[] {
  return buffer
    .take(10_000, 100_000_000, isAll)
    .events.map(({ rows: { job } }) => `${job?.facts.job_id} ${job?.state}`);
}

test('of few jobs that wait all rows are written at once', () => {
  const buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 100_000_000 });
  enqueue(buffer, 999);
  expect(taken(buffer)).toHaveLength(999);
});

test('of many jobs that wait rows are written after five seconds, and of those that are over meanwhile one', () => {
  const buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 100_000_000 });
  enqueue(buffer, 2_000);
  now += 4_999;
  expect(taken(buffer)).toEqual([]);
  cancel(buffer, 7);
  expect(taken(buffer)).toEqual(['j7 cancelled']);
  now += 1;
  expect(taken(buffer)).toHaveLength(1_999);
  expect(buffer.isEmpty).toBe(true);
});

test('where jobs end fast enough, rows of those that wait are written after thirty seconds, and soon when none end any more', () => {
  const buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 100_000_000 });
  enqueue(buffer, 2_000);
  // 100 a second: 1900 would be over in nineteen seconds.
  for (let index = 0; index < 100; index++) cancel(buffer, index);
  now += 1_000;
  expect(taken(buffer)).toHaveLength(100);
  now += 9_000;
  for (let index = 100; index < 1_000; index++) cancel(buffer, index);
  expect(taken(buffer)).toHaveLength(900);
  now += 999;
  expect(taken(buffer)).toEqual([]);
  now += 9_000;
  expect(taken(buffer)).toHaveLength(1_000);
});

test('rows of jobs that wait take half of the room, and the oldest of what is more are written', () => {
  const buffer = new RecordBuffer({ maxRows: 4_000, maxBytes: 100_000_000 });
  enqueue(buffer, 2_003);
  expect(buffer.readyCount).toBe(3);
  expect(taken(buffer)).toEqual(['j0 queued', 'j1 queued', 'j2 queued']);
  expect(buffer.rowCount).toBe(2_000);
});

test('in the end all rows are written', () => {
  const buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 100_000_000 });
  enqueue(buffer, 2_000);
  expect(taken(buffer, true)).toHaveLength(2_000);
});

test('rows of jobs that wait are written when much has followed them', () => {
  const buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 4_000_000 });
  enqueue(buffer, 1_500);
  for (let index = 1_000; index < 1_500; index++) cancel(buffer, index);
  expect(taken(buffer)).toHaveLength(500);
  for (let round = 0; round < 4; round++) {
    for (let index = 1_000; index < 2_000; index++) cancel(buffer, index);
    taken(buffer);
  }
  expect(buffer.rowCount).toBe(0);
});

describe('a line is held', () => {
  let segment: Segment | undefined;
  let buffer: RecordBuffer;

  beforeEach(() => {
    segment = undefined;
    lines = new Lines({
      appended: (one) => (segment = one),
      emptied: () => undefined,
      gone: () => undefined,
    });
    buffer = new RecordBuffer({ maxRows: 10_000, maxBytes: 100_000_000 });
  });

  function end(index: number, isWithRun: boolean): void {
    const job = jobOf(index);
    const run: RunRecord | undefined = isWithRun
      ? {
          ...{ id: `r${index}`, node: 'node', job, startedAt: 2_000 },
          ...{ timeLimitAt: undefined, fence: undefined, isolation: 'process' },
        }
      : undefined;
    const end: JobEnd = { job, address: job, run, at: 2_000, outcome: 'done' };
    add(buffer, {
      job: endedJob(facts.read(job), job, end, 'node', 1),
      run: run === undefined ? undefined : endedRun(facts.read(job), run, end, null),
    });
  }

  test('until the last of its rows is written', () => {
    for (let index = 0; index < 10; index++) end(index, index >= 5);
    // The rows of five jobs, and of five runs of others.
    const first = buffer.take(5, 1_000_000, true);
    const second = buffer.take(5, 1_000_000, true);
    const rowsIn = [first, second].map(({ events }) =>
      events.flatMap(({ rows: { job, run } }) => [job?.facts.job_id ?? [], run?.id ?? []].flat()).sort(),
    );
    expect(rowsIn).toEqual([
      ['j0', 'j1', 'j2', 'j3', 'j4', 'r5', 'r6', 'r7', 'r8', 'r9'],
      ['j5', 'j6', 'j7', 'j8', 'j9'],
    ]);
    for (const { line } of first.events) line.release();
    expect(segment?.isHeld).toBe(true);
    for (const { line } of second.events) line.release();
    expect(segment?.isHeld).toBe(false);
    expect(buffer.isEmpty).toBe(true);
  });

  test('no longer when a later event has outdone what it says', () => {
    enqueue(buffer, 1);
    end(0, true);
    for (const { line } of buffer.take(5, 1_000_000, true).events) line.release();
    expect(segment?.isHeld).toBe(false);
  });
});
