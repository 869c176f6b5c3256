// An event is read as it was written, be it by an older version; what no event has made is none.
import type { Job, JobEnd, RunRecord } from 'nestjs-roger';
import { begunJob, begunRun, endedJob, endedRun, enqueuedJob } from './event-rows';
import type { EventRows } from './job-event';
import { JobEvent, readJobEvent, textOfBegin } from './job-event';
import { FactsReader } from './job-facts';

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
  const event = JobEvent.of(rows);
  expect(event.rows).toEqual(rows);
  expect(readJobEvent(event.text)).toEqual(event);
});

test.each([
  ['is due at once', null, 2_000_001],
  ['was due later', 5_000, 2_000_001],
  ['has been told of before', null, undefined],
])('a begin of a run whose job %s is read from less text as what it makes of both', (_what, dueAt, seqAt) => {
  const run = begunRun(facts.read(FULL), RUN, seqAt === undefined);
  const job = seqAt === undefined ? undefined : begunJob(run, dueAt, seqAt);
  const text = textOfBegin(run, dueAt, seqAt);
  expect(text).not.toContain('"ja"');
  expect(readJobEvent(text)).toEqual(JobEvent.of({ job, run }));
});

test('the parts of an event have what concerns them, and its facts', () => {
  const event = JobEvent.of(ENDED);
  expect(event.ofJob().rows).toEqual({ job: ENDED.job, run: undefined });
  expect(event.ofRun().rows).toEqual({ ...ENDED, job: undefined });
});

test('a text of a version that did not record what an enqueueing has set is read as one of a job that has nothing of it', () => {
  const limited: Job = {
    ...JOB,
    maxRetries: 3,
    maxExecutionTimeSeconds: 0.5,
    replyTo: { node: 'a', token: 'b' },
  };
  const record = JSON.parse(JobEvent.of(enqueued(limited)).text) as object;
  const older = Object.fromEntries(
    Object.entries(record).filter(([short]) => !['k', 'l', 'm'].includes(short)),
  );
  expect(Object.keys(older)).toHaveLength(Object.keys(record).length - 3);
  expect(readJobEvent(JSON.stringify(older))?.rows).toEqual(enqueued(JOB));
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
])('%j is no event', (text) => {
  expect(readJobEvent(text)).toBeUndefined();
});

test.each([null, 7, 'a', [], {}, { node: 1, token: 'b' }, { node: 'a', token: 'b'.repeat(1_000) }])(
  'who waits for a job is recorded as nobody where the job says %j',
  (replyTo) => {
    const job = { ...JOB, replyTo } as unknown as Job;
    expect(new FactsReader('none', 0).read(job).reply_to).toBeNull();
  },
);
