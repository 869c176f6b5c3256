// A run whose node has gone without a word is marked as lost, and linked to the run that followed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { uniquePartition } from '../support/broker';
import { rogerOn, startEngine } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';
import { EngineNode, tracedSteps } from '../support/engine-node';
import { Traced, TraceOfJobs } from '../support/engine-work';

const folder = mkdtempSync(join(tmpdir(), 'roger-lost-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PATIENCE_MS = 120_000;

const together = testsAtOnce(4);

for (const kind of DATABASES) {
  together(
    `a run whose node is killed is lost, and its job runs again, with rows in ${kind}`,
    async () => {
      const partition = uniquePartition();
      const trace = join(folder, `${partition}.trace`);
      writeFileSync(trace, '');
      const roger = rogerOn('RabbitMQ', partition);
      const engine = { database: await newDatabase(kind), lostAfterMs: 3_000 };
      const providers = [Traced, { provide: TraceOfJobs, useValue: { add: () => undefined } }];
      const { jobs, history, records } = await startEngine({ ...roger, mode: 'producer' }, engine, providers);
      const victim = await EngineNode.start({ trace, roger, engine });
      const { job } = await jobs.enqueue(Traced, { ms: 3_000 }, { partition });
      await eventually('its run', async () => (await records.get(job.id))?.state === 'running', PATIENCE_MS);
      await victim.kill();
      await eventually('it to be lost', async () => (await history.lost()).items.length === 1, PATIENCE_MS);
      const [lost] = (await history.lost()).items;
      expect(lost).toMatchObject({
        jobId: job.id,
        status: 'lost',
        endedAt: undefined,
        after: undefined,
        pid: victim.pid,
      });
      expect(lost?.reason?.type).toBe('NodeGone');
      expect((await records.get(job.id))?.state).toBe('queued');

      const next = await EngineNode.start({ trace, roger, engine });
      await eventually(
        'it to be done',
        async () => (await records.get(job.id))?.state === 'done',
        PATIENCE_MS,
      );
      await eventually(
        'the link',
        async () => (await history.lost()).items[0]?.rerunId !== undefined,
        PATIENCE_MS,
      );
      const rerun = await history.get((await history.lost()).items[0]?.rerunId ?? '');
      expect(rerun).toMatchObject({ jobId: job.id, attempt: 1, result: 'done', pid: next.pid });
      expect(tracedSteps(trace).map(({ what, pid }) => [what, pid])).toEqual([
        ['began', victim.pid],
        ['began', next.pid],
        ['ended', next.pid],
      ]);
      await next.stop();
    },
    3 * PATIENCE_MS,
  );
}

together(
  'an operator gives up the run of a killed node long before it counts as lost by itself, and no run of one that lives',
  async () => {
    const partition = uniquePartition();
    const trace = join(folder, `${partition}.trace`);
    writeFileSync(trace, '');
    const roger = rogerOn('RabbitMQ', partition);
    const engine = { database: await newDatabase('SQLite'), lostAfterMs: 3_600_000 };
    const providers = [Traced, { provide: TraceOfJobs, useValue: { add: () => undefined } }];
    const desk = await startEngine({ ...roger, mode: 'producer' }, engine, providers);
    const victim = await EngineNode.start({ trace, roger, engine });
    const { job } = await desk.jobs.enqueue(Traced, { ms: 60_000 }, { partition });
    const stateOf = async () => (await desk.records.get(job.id))?.state;
    await eventually('its run', async () => (await stateOf()) === 'running', PATIENCE_MS);
    expect(await desk.engine.expire(job.id)).toEqual({ did: 'nothing', because: 'node alive' });
    await victim.kill();
    const whys = new Set<string>();
    await eventually(
      'it to be given up',
      async () => {
        const outcome = await desk.engine.expire(job.id);
        whys.add(outcome.did === 'nothing' ? outcome.because : outcome.did);
        return outcome.did === 'expired';
      },
      PATIENCE_MS,
    );
    expect([...whys]).toEqual(['node alive', 'expired']);
    expect(await stateOf()).toBe('queued');
    expect((await desk.history.lost()).items).toMatchObject([{ jobId: job.id, pid: victim.pid }]);
    expect(await desk.engine.expire(job.id)).toEqual({ did: 'nothing', because: 'not running' });
  },
  3 * PATIENCE_MS,
);
