// The first outcome of an awaited job counts, and jobs that nobody awaits cost little.
import { JobNotFinishedError, RogerClosedError } from '../job/errors';
import { AwaitedJobs } from './awaited-jobs';

let awaited: AwaitedJobs;

beforeEach(() => {
  awaited = new AwaitedJobs(
    {
      nodeId: 'here',
      add: () => undefined,
      opened: () => Promise.resolve(true),
      send: () => Promise.resolve(true),
      trouble: undefined,
    },
    100,
  );
});

afterEach(() => {
  jest.useRealTimers();
});

const done = (token: string, result: unknown): void => {
  awaited.onOutcome(
    { mail: 'outcome', node: 'there', token, outcome: { kind: 'done' } },
    result === undefined ? undefined : Buffer.from(JSON.stringify(result)),
  );
};
const soon = { timeoutMs: 1_000 };
const now = { timeoutMs: 0 };

test('the first outcome counts, for all that wait and that ask later', async () => {
  const { replyTo, finished } = awaited.expect('j1');
  const waits = [finished(soon), finished(soon)];
  done(replyTo.token, 1);
  done(replyTo.token, 2);
  expect(await Promise.all(waits)).toEqual([1, 1]);
  expect(await finished(now)).toBe(1);
});

test('a job that returns nothing gives undefined', async () => {
  const { replyTo, finished } = awaited.expect('j1');
  done(replyTo.token, undefined);
  expect(await finished(now)).toBeUndefined();
});

test('bytes that are no JSON are no result', async () => {
  const { replyTo, finished } = awaited.expect('j1');
  awaited.onOutcome(
    { mail: 'outcome', node: 'there', token: replyTo.token, outcome: { kind: 'done' } },
    Buffer.from('{'),
  );
  await expect(finished(now)).rejects.toMatchObject({ code: 'ROGER_JOB_RESULT_UNAVAILABLE' });
});

test('of jobs that nobody awaits the last ten thousand are kept, for an hour; those awaited always', async () => {
  jest.useFakeTimers();
  const waitedFor = awaited.expect('waited-for');
  const wait = waitedFor.finished({ timeoutMs: 24 * 60 * 60 * 1_000 });
  const oldest = awaited.expect('oldest');
  const others = Array.from({ length: 10_000 }, (_, n) => awaited.expect(`j${n}`));
  const { idle } = awaited as unknown as { idle: Map<string, unknown> };
  expect(idle.size).toBe(10_000);
  done(oldest.replyTo.token, 1);
  const late = oldest.finished(now).catch((error: unknown) => error);
  await jest.advanceTimersByTimeAsync(1);
  expect(await late).toBeInstanceOf(JobNotFinishedError);
  const [second] = others.slice(5_000);
  done(second?.replyTo.token ?? '', 2);
  expect(await second?.finished(now)).toBe(2);

  await jest.advanceTimersByTimeAsync(61 * 60 * 1_000);
  awaited.expect('another');
  expect(idle.size).toBe(1);
  done(waitedFor.replyTo.token, 3);
  expect(await wait).toBe(3);
});

test('when Roger closes, those that wait are told', async () => {
  const { finished } = awaited.expect('j1');
  const wait = finished(soon);
  awaited.close();
  await expect(wait).rejects.toBeInstanceOf(RogerClosedError);
  await expect(finished(soon)).rejects.toBeInstanceOf(RogerClosedError);
});
