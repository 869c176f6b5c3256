// A record is read as it was written, be it by an older version; what no event has made is none.
import type { Job, JobEnd, RunRecord } from 'nestjs-roger';
import { begunRun, endedJob, endedRun, enqueuedJob } from './event-rows';
import { FactsReader } from './job-facts';
import { rowsIn, textOf } from './record-text';
import type { EventRows } from './rows';

const JOB: Job = { id: 'j', name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 1_000 };
const FULL: Job = {
  ...JOB,
  ...{
    args: { text: 'a "quoted"\n\u2028 line', n: 1 },
    queueKey: 'k "1"',
    executionKey: 'e\\1',
    priority: 3,
  },
  ...{ maxRetries: 3, maxExecutionTimeSeconds: 0.5, replyTo: { node: 'a', token: 'b' }, runAt: 5_000 },
};
const RUN: RunRecord = {
  ...{ id: 'n "1"/7', node: 'n "1"', job: FULL, startedAt: 2_000, timeLimitAt: 3_000, fence: 9 },
  isolation: 'process',
};
const END: JobEnd = {
  ...{ job: FULL, address: FULL, run: RUN, at: 2_005, outcome: 'buried' },
  reason: { type: 'Error', message: 'it said "no"', stack: 'Error: no\n    at line 1' },
};

const facts = new FactsReader('full', 1_000);

function enqueued(job: Job): EventRows {
  return { job: enqueuedJob(facts.read(job), job), run: undefined };
}

const ENDED: EventRows = {
  job: endedJob(facts.read(FULL), FULL, END, 'n', 2_005_001),
  run: endedRun(facts.read(FULL), RUN, END, '{"by":"x"}'),
  waitMs: 7,
};

test.each<[string, EventRows]>([
  ['an enqueueing', enqueued(JOB)],
  ['an enqueueing with all that can be set', enqueued(FULL)],
  ['a begin of a run', { job: undefined, run: begunRun(facts.read(FULL), RUN, true) }],
  ['an end', ENDED],
])('%s is read as it was written', (_what, rows) => {
  expect(rowsIn(textOf(rows))).toEqual(rows);
});

test('what the row of a job has from its run stands once in the text of both, and what differs stands, too', () => {
  const { job, run } = ENDED;
  if (job === undefined || run === undefined) throw new Error('an end makes both');
  const shorts = (rows: EventRows): string[] => Object.keys(JSON.parse(textOf(rows)) as object);
  const ofJob = (rows: EventRows): string[] => shorts(rows).filter((short) => short.startsWith('j'));
  expect(ofJob(ENDED)).toEqual(['ja', 'jc', 'jg', 'jj', 'jk']);
  const other = {
    ...job,
    attempt: 2,
    run_id: null,
    node: 'm',
    started_at: 7,
    reason_type: null,
    seq_run: 'm',
  };
  expect(ofJob({ job: other, run })).toEqual([
    ...['ja', 'jb', 'jc', 'jd', 'je', 'jf', 'jg', 'jh'],
    ...['jj', 'jk', 'jl'],
  ]);
  expect(rowsIn(textOf({ job: other, run }))).toEqual({ job: other, run });
});

test('a text of a version that did not record what an enqueueing has set is read as one of a job that has nothing of it', () => {
  const limited: Job = {
    ...JOB,
    maxRetries: 3,
    maxExecutionTimeSeconds: 0.5,
    replyTo: { node: 'a', token: 'b' },
  };
  const record = JSON.parse(textOf(enqueued(limited))) as object;
  const older = Object.fromEntries(
    Object.entries(record).filter(([short]) => !['k', 'l', 'm'].includes(short)),
  );
  expect(Object.keys(older)).toHaveLength(Object.keys(record).length - 3);
  expect(rowsIn(JSON.stringify(older))).toEqual(enqueued(JOB));
});

test.each([
  '',
  '{"a":"p","b":',
  '[]',
  'null',
  '7',
  '{}',
  '{"a":"p","b":"j","c":1,"d":"n","e":"q"}',
  '{"a":1}',
])('%j is no record', (text) => {
  expect(rowsIn(text)).toBeUndefined();
});

test.each([null, 7, 'a', [], {}, { node: 1, token: 'b' }, { node: 'a', token: 'b'.repeat(1_000) }])(
  'who waits for a job is recorded as nobody where the job says %j',
  (replyTo) => {
    const job = { ...JOB, replyTo } as unknown as Job;
    expect(new FactsReader('none', 0).read(job).reply_to).toBeNull();
  },
);
