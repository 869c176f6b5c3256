// A job that is sent again by an operator's call is the job that was enqueued: with its limits, and for who waits for it.
import { JobCancelledError, JobFailedError } from 'nestjs-roger';
import { begin, begun, behindOne, COMBINATIONS, inState, openGate, Task } from '../support/controlled-task';

const LIMITS = { maxRetries: 0, maxExecutionTimeSeconds: 5.5 };

describe.each(COMBINATIONS)('over %s, recorded in %s', (transport, database) => {
  test('a job that was held or hurried keeps the limits of its enqueueing, and its producer gets the outcome', async () => {
    const app = await begin(transport, database);
    const { engine, history, jobs, partition } = app;
    await behindOne(app, ['other']);
    const options = { partition, ...LIMITS, awaitable: true } as const;
    const held = await jobs.enqueue(Task, { fails: true }, { ...options, id: 'held' });
    const hurried = await jobs.enqueue(Task, { fails: true }, { ...options, id: 'hurried' });
    expect(await engine.get('held')).toMatchObject(LIMITS);
    expect(await engine.get('other')).toMatchObject({
      maxRetries: undefined,
      maxExecutionTimeSeconds: undefined,
    });
    expect(await engine.hold('held')).toEqual({ did: 'held' });
    expect(await engine.release('held')).toEqual({ did: 'released' });
    expect(await engine.runNow('hurried')).toEqual({ did: 'sent ahead' });
    openGate();
    await expect(held.finished({ timeoutMs: 30_000 })).rejects.toThrow(JobFailedError);
    await expect(hurried.finished({ timeoutMs: 30_000 })).rejects.toThrow(JobFailedError);
    for (const id of ['held', 'hurried']) {
      await inState(app, id, 'buried');
      const { items } = await history.runsOf(id);
      expect(items).toHaveLength(1);
      const [{ startedAt, timeLimitAt } = { startedAt: undefined, timeLimitAt: undefined }] = items;
      expect(Number(timeLimitAt) - Number(startedAt)).toBeCloseTo(5_500, -2);
    }
  });

  test('who waits for a job that an operator ends is told that it was cancelled', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    const options = { partition, awaitable: true } as const;
    const running = await jobs.enqueue(Task, { waits: true }, { ...options, id: 'running' });
    await inState(app, 'running', 'running');
    const queued = await jobs.enqueue(Task, {}, { ...options, id: 'queued' });
    const removed = await jobs.enqueue(Task, {}, { ...options, id: 'removed' });
    expect(await engine.fail('queued', 'not wanted')).toEqual({ did: 'failed' });
    expect(await engine.remove('removed')).toEqual({ did: 'removed' });
    expect(await engine.complete('running', { result: 7 })).toEqual({ did: 'completed' });
    for (const { finished } of [running, queued, removed])
      await expect(finished({ timeoutMs: 30_000 })).rejects.toThrow(JobCancelledError);
  });

  test('a job that is retried keeps them too', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition } = app;
    await jobs.enqueue(Task, {}, { partition, id: 'a', ...LIMITS });
    await inState(app, 'a', 'done');
    expect(await engine.retry('a')).toEqual({ did: 'enqueued' });
    await begun.count(2);
    await inState(app, 'a', 'done');
    expect(await engine.get('a')).toMatchObject({ ...LIMITS, replyTo: undefined });
  });

  test('of a run it is said when it will be told to end, and where it is isolated', async () => {
    const app = await begin(transport, database);
    const { engine, jobs, partition, info } = app;
    await jobs.enqueue(Task, { waits: true }, { partition, id: 'a', ...LIMITS });
    await inState(app, 'a', 'running');
    const run = await engine.findRun('a');
    expect(run).toMatchObject({ isLive: true, isolation: 'process' });
    expect(Number(run?.timeLimitAt) - Number(run?.startedAt)).toBeCloseTo(5_500, -2);
    jest.spyOn(info, 'runningJobs').mockResolvedValueOnce({ jobs: [], total: 0, missing: [] });
    // A run begins a moment after its job was taken in hand.
    const startedAt: unknown = expect.any(Date);
    expect(await engine.findRun('a')).toEqual({ ...run, startedAt, isLive: false });
    openGate();
  });
});
