// What is held and let go by hand shows as that in the history, whoever does it and however soon.
import type { Job, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { eventually } from '../support/app';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';

@RogerJob({ name: 'errand' })
class Errand implements JobHandler<object> {
  perform(): void {
    // It only has to run.
  }
}

describe.each(DATABASES)('with rows in %s', (database) => {
  let app: EngineApp;

  beforeEach(async () => {
    app = await startEngine(rogerOn('memory'), { database: await newDatabase(database) }, [Errand]);
  });

  async function enqueue(id: string, delayMs = 3_600_000): Promise<Job> {
    return (await app.jobs.enqueue(Errand, {}, { partition: app.partition, id, delayMs })).job;
  }

  function toBe(id: string, state: string, why?: string): Promise<void> {
    return eventually(`${id} to be ${state}`, async () => {
      const record = await app.records.get(id);
      return record?.state === state && record.reason?.message === why;
    });
  }

  test('a job that is held, released, held again and told to run now', async () => {
    const { globalState, partition } = app;
    const job = await enqueue('a');
    await toBe('a', 'delayed');
    await globalState.hold(job, { why: 'to be looked at' });
    await toBe('a', 'held', 'to be looked at');
    await globalState.release(partition, 'a');
    await toBe('a', 'delayed');
    await globalState.hold(job);
    await toBe('a', 'held', 'operator');
    await globalState.release(partition, 'a', { now: true });
    await toBe('a', 'done');
    expect((await app.history.runsOf('a')).items).toHaveLength(1);
  });

  test('a release that follows at once is not overtaken by its hold', async () => {
    const { globalState, partition } = app;
    const job = await enqueue('a');
    await globalState.hold(job);
    await globalState.release(partition, 'a');
    expect(await globalState.heldJobs(partition)).toEqual([]);
    await toBe('a', 'delayed');
    expect((await app.records.get('a'))?.dueAt).toEqual(new Date(job.runAt ?? 0));
  });

  test('those that are released for one reason, and no others', async () => {
    const { globalState, partition } = app;
    for (const id of ['a', 'b', 'c']) {
      await globalState.hold(await enqueue(id), { why: id === 'c' ? 'storm' : 'lunch' });
    }
    expect(await globalState.releaseAll(partition, 'lunch')).toBe(2);
    await toBe('a', 'delayed');
    await toBe('b', 'delayed');
    await toBe('c', 'held', 'storm');
  });
});
