// Lines of a spool are read as they were written, be it by an older version.
import type { Job } from 'nestjs-roger';
import { enqueuedJob } from '../records/event-rows';
import { FactsReader } from '../records/job-facts';
import { readSpooledLine, spooledLine } from './spooled-rows';

const JOB: Job = { id: 'j', name: 'n', partition: 'p', queue: 'q', args: {}, attempt: 1, queuedAt: 1_000 };
const LIMITED: Job = {
  ...JOB,
  ...{ maxRetries: 3, maxExecutionTimeSeconds: 0.5, replyTo: { node: 'a', token: 'b' } },
};

function lineOf(job: Job): string {
  const row = enqueuedJob(new FactsReader('full', 1_000).read(job), job);
  return spooledLine({ job: row, run: undefined, waitMs: undefined });
}

test('what an enqueueing has set comes back', () => {
  expect(readSpooledLine(lineOf(LIMITED))?.job?.facts).toMatchObject({
    max_retries: 3,
    max_execution_time_seconds: 0.5,
    reply_to: '{"node":"a","token":"b"}',
  });
});

test('a line of a version that did not record it is read as one of a job that has nothing of it', () => {
  const [facts, ...others] = JSON.parse(lineOf(LIMITED)) as [Record<string, unknown>, ...unknown[]];
  const { max_retries, max_execution_time_seconds, reply_to, ...older } = facts;
  expect([max_retries, max_execution_time_seconds, typeof reply_to]).toEqual([3, 0.5, 'string']);
  expect(readSpooledLine(JSON.stringify([older, ...others]))).toEqual(readSpooledLine(lineOf(JOB)));
});

test.each([null, 7, 'a', [], {}, { node: 1, token: 'b' }, { node: 'a', token: 'b'.repeat(1_000) }])(
  'who waits for a job is recorded as nobody where the job says %j',
  (replyTo) => {
    const job = { ...JOB, replyTo } as unknown as Job;
    expect(new FactsReader('none', 0).read(job).reply_to).toBeNull();
  },
);
