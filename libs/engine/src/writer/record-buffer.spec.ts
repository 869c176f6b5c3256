// Rows that only say that a job waits are put off where many do, within bounds, and are there in the end.
import { performance } from 'node:perf_hooks';
import type { Job } from 'nestjs-roger';
import { endedJob, enqueuedJob } from '../records/event-rows';
import { FactsReader } from '../records/job-facts';
import { JobEvent } from '../records/job-event';
import { RecordBuffer } from './record-buffer';

const facts = new FactsReader('full', 1_000);
let now: number;

beforeEach(() => {
  now = 1_000;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => jest.restoreAllMocks());

function jobOf(index: number): Job {
  return { id: `j${index}`, name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 1_000 };
}

function enqueue(buffer: RecordBuffer, count: number): void {
  for (let index = 0; index < count; index++) {
    const job = jobOf(index);
    buffer.add(JobEvent.of({ job: enqueuedJob(facts.read(job), job), run: undefined }), true);
  }
}

function cancel(buffer: RecordBuffer, index: number): void {
  const job = jobOf(index);
  const end = { job, address: job, run: undefined, at: 2_000, outcome: 'cancelled' } as const;
  buffer.add(JobEvent.of({ job: endedJob(facts.read(job), job, end, 'node', 1), run: undefined }), true);
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
