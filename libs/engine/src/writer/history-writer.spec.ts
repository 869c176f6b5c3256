// The writer: bounded while the database is away, says so once, loses nothing that it can keep, and counts nothing twice.
import type { HeldRelease, Job, JobEnd, RogerLog, RunRecord } from 'nestjs-roger';
import { FactsReader } from '../records/job-facts';
import type { JobRow, RunRow } from '../records/rows';
import type { BatchStore, WriterOptions } from './history-writer';
import { HistoryWriter } from './history-writer';
import type { Batch } from './record-buffer';

const OPTIONS: WriterOptions = {
  flushIntervalMs: 1,
  maxRows: 100,
  maxBytes: 10_000_000,
  maxValueBytes: 100,
};

const NOTHING: Batch = { events: [], counts: [] };

class Refused extends Error {}

class Bench implements BatchStore {
  readonly lines: string[] = [];
  readonly released: string[] = [];
  readonly written: { batch: Batch; number: number }[] = [];
  /** What a write comes to. */
  trouble: ((batch: Batch) => Error | undefined) | undefined;
  readonly writer: HistoryWriter;

  constructor(options: Partial<WriterOptions> = {}) {
    const keep = (line: string): void => void this.lines.push(line);
    const log: RogerLog = { log: keep, warn: keep, error: keep, debug: keep };
    const facts = new FactsReader('full', 1_000);
    this.writer = new HistoryWriter({ nodeId: 'n', facts, store: this, log }, { ...OPTIONS, ...options });
  }

  write(batch: Batch, number: number): Promise<void> {
    const error = this.trouble?.(batch);
    if (error !== undefined) return Promise.reject(error);
    this.written.push({ batch, number });
    return Promise.resolve();
  }

  markPurged(): Promise<void> {
    return Promise.resolve();
  }

  markReleased(release: HeldRelease): Promise<void> {
    const error = this.trouble?.(NOTHING);
    if (error !== undefined) return Promise.reject(error);
    this.released.push('jobId' in release ? release.jobId : release.why);
    return Promise.resolve();
  }

  endedOf(): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set());
  }

  isRefusal(error: unknown): boolean {
    return error instanceof Refused;
  }

  get runs(): string[] {
    return this.written.flatMap(({ batch }) =>
      runsIn(batch).map(({ id, result }) => `${id} ${result ?? 'runs'}`),
    );
  }
}

function jobsIn(batch: Batch | undefined): JobRow[] {
  return batch?.events.flatMap(({ rows }) => rows.job ?? []) ?? [];
}

function runsIn(batch: Batch | undefined): RunRow[] {
  return batch?.events.flatMap(({ rows }) => rows.run ?? []) ?? [];
}

function jobOf(id: string, more: Partial<Job> = {}): Job {
  return { id, name: 'n', partition: 'p', queue: 'q', args: { id }, attempt: 1, queuedAt: 1_000, ...more };
}

function runOf(job: Job): RunRecord {
  return {
    id: `r-${job.id}`,
    node: 'n',
    job,
    startedAt: 2_000,
    timeLimitAt: undefined,
    fence: undefined,
    isolation: 'process',
  };
}

function work(writer: HistoryWriter, job: Job, more: Partial<JobEnd> = {}): void {
  const run = runOf(job);
  void writer.began(run);
  writer.ended({ job, address: job, run, at: 2_005, outcome: 'done', ...more });
}

test('what happens to a job within one interval is one row of the job and one of the run', async () => {
  const { writer, written } = new Bench();
  const job = jobOf('a');
  writer.enqueued(job);
  work(writer, job, { result: { n: 1 } });
  await writer.flush(1_000);
  expect(written).toHaveLength(1);
  const [{ batch } = { batch: undefined }] = written;
  expect(jobsIn(batch)).toMatchObject([
    { facts: { job_id: 'a', args: '{"id":"a"}' }, state: 'done', run_id: 'r-a' },
  ]);
  expect(runsIn(batch)).toMatchObject([{ id: 'r-a', result: 'done', value: '{"n":1}', ended_at: 2_005 }]);
  expect(batch?.counts).toEqual([
    { hour: 0, name: 'n', measure: 'done', bucket: 0, count: 1 },
    { hour: 0, name: 'n', measure: 'run', bucket: 17, count: 1 },
    { hour: 0, name: 'n', measure: 'wait', bucket: 73, count: 1 },
  ]);
});

test('args that the handler changes are recorded as they came', async () => {
  const { writer, written } = new Bench();
  const args = { n: 1 };
  const job = jobOf('a', { args });
  const run = runOf(job);
  void writer.began(run);
  await writer.flush(1_000);
  args.n = 2;
  writer.ended({ job, address: job, run, at: 2_005, outcome: 'done' });
  await writer.flush(1_000);
  expect(written.flatMap(({ batch }) => jobsIn(batch).map(({ facts }) => facts.args))).toEqual([
    '{"n":1}',
    '{"n":1}',
  ]);
});

test('while the database is away rows are kept up to the bound, then the oldest go, and that is said once each way', async () => {
  const bench = new Bench();
  const { writer, lines } = bench;
  bench.trouble = () => new Error('connection refused');
  work(writer, jobOf('first'));
  expect(await writer.flush(20)).toBe(false);
  for (let index = 0; index < 500; index++) work(writer, jobOf(`j${index}`));
  expect(writer.status.buffered).toBeLessThanOrEqual(OPTIONS.maxRows + 2);
  expect(writer.status.dropped).toBe(900);
  expect(writer.status.trouble?.message).toBe('connection refused');
  bench.trouble = undefined;
  expect(await writer.flush(5_000)).toBe(true);
  expect(bench.runs).toEqual([
    'r-first done',
    ...Array.from({ length: 50 }, (_, index) => `r-j${450 + index} done`),
  ]);
  expect(lines).toEqual([
    "The job history can't be written, and is kept in memory: connection refused",
    expect.stringContaining('its oldest rows are dropped until it can; the jobs go on'),
    'The job history is written again; 900 updates of rows are missing',
  ]);
  expect(writer.status).toEqual({ buffered: 0, dropped: 900, trouble: undefined });
});

test('a batch whose fate is unknown is written again under its number, before all others', async () => {
  const bench = new Bench();
  let isFirst = true;
  bench.trouble = () => {
    const error = isFirst ? new Error('connection lost') : undefined;
    isFirst = false;
    return error;
  };
  work(bench.writer, jobOf('a'));
  await bench.writer.flush(10);
  work(bench.writer, jobOf('b'));
  expect(await bench.writer.flush(5_000)).toBe(true);
  expect(bench.written.map(({ number, batch }) => [number, runsIn(batch).map(({ id }) => id)])).toEqual([
    [1, ['r-a']],
    [2, ['r-b']],
  ]);
});

test('a row that the database refuses keeps no other from it', async () => {
  const bench = new Bench();
  bench.trouble = (batch) =>
    runsIn(batch).some(({ id }) => id === 'r-j7') ? new Refused('bad text') : undefined;
  for (let index = 0; index < 20; index++) work(bench.writer, jobOf(`j${index}`));
  expect(await bench.writer.flush(5_000)).toBe(true);
  expect(bench.runs).toHaveLength(19);
  expect(bench.written.flatMap(({ batch }) => jobsIn(batch))).toHaveLength(20);
  const counted = bench.written.reduce(
    (sum, { batch }) => sum + (batch.counts.find(({ measure }) => measure === 'done')?.count ?? 0),
    0,
  );
  expect(counted).toBe(20);
  expect(bench.lines).toContain('The database refuses a row of the job history: bad text');
});

test('of releases, too, the oldest are dropped while the database is away, and the others written when it is there', async () => {
  const bench = new Bench();
  const { writer } = bench;
  bench.trouble = () => new Error('connection refused');
  for (let index = 0; index < 10_010; index++) {
    writer.released({ partition: 'p', jobId: `j${index}`, isNow: false }, 1_000);
  }
  expect(await writer.flush(20)).toBe(false);
  expect(writer.status.dropped).toBe(10);
  bench.trouble = undefined;
  expect(await writer.flush(10_000)).toBe(true);
  expect([bench.released.length, bench.released[0], bench.released.at(-1)]).toEqual([
    10_000,
    'j10',
    'j10009',
  ]);
  writer.close();
});

test('what could not be written at the end is told of', async () => {
  const bench = new Bench();
  bench.trouble = () => new Error('gone');
  work(bench.writer, jobOf('a'));
  expect(await bench.writer.flush(10)).toBe(false);
  bench.writer.close();
  expect(bench.lines.at(-1)).toBe(
    'The job history of this process has gaps: 0 updates of rows were dropped, and 2 were not written when it ended',
  );
});

test.each([
  ['too large', { text: 'x'.repeat(200) }],
  ['no JSON', { n: 1n }],
  ['nothing', undefined],
])('a result that is %s is not recorded, its run is', async (_what, result) => {
  const { writer, written } = new Bench();
  work(writer, jobOf('a'), { result });
  await writer.flush(1_000);
  expect(runsIn(written[0]?.batch)).toMatchObject([{ result: 'done', value: null }]);
});
