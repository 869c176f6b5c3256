// Under kills the history is that of an observer beside it: every run once, with the right outcome; runs of the dead are lost,
// and linked to what followed. The spool has what a killed process had not written.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobRun } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import { uniquePartition } from '../support/broker';
import { rogerOn, startEngine } from '../support/engine-app';
import type { EngineApp } from '../support/engine-app';
import { DATABASES, newDatabase } from '../support/engine-databases';
import type { TracedStep } from '../support/engine-node';
import { EngineNode, tracedSteps } from '../support/engine-node';
import { Traced, TraceOfJobs } from '../support/engine-work';

const JOBS = 10_000;
const KILLS = 4;
const ENDS_MS = 240_000;

const folder = mkdtempSync(join(tmpdir(), 'roger-history-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function allRuns({ history }: EngineApp): Promise<JobRun[]> {
  const runs: JobRun[] = [];
  for (let after: string | undefined; ;) {
    const { items, next } = await history.find({}, { limit: 1_000, after });
    runs.push(...items);
    if (next === undefined) return runs;
    after = next;
  }
}

const keyOf = (id: string, attempt: number, pid: number): string => `${id} ${attempt} ${pid}`;

test.each(DATABASES)(
  'of 10 000 jobs under kills, with rows in %s',
  async (kind) => {
    const partition = uniquePartition();
    const trace = join(folder, `${partition}.trace`);
    writeFileSync(trace, '');
    const roger = { ...rogerOn('RabbitMQ', partition), partitions: { [partition]: { default: 50 } } };
    const engine = {
      database: await newDatabase(kind),
      lostAfterMs: 3_000,
      spool: { folder: join(folder, partition) },
    };
    const providers = [Traced, { provide: TraceOfJobs, useValue: { add: () => undefined } }];
    const producer = await startEngine({ ...roger, mode: 'producer' }, engine, providers);
    const start = (): Promise<EngineNode> => EngineNode.start({ trace, roger, engine });
    const workers = await Promise.all([start(), start()]);

    const args = Array.from({ length: JOBS }, (_, index) => ({
      ms: 5 + (index % 60),
      failures: index % 50 === 0 ? 1 : 0,
    }));
    const enqueued = producer.jobs.enqueueMany(Traced, args, { partition });
    const killed = new Set<number>();
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(1_000);
      const [victim] = workers.splice(0, 1);
      if (victim === undefined) throw new Error('nobody is left to be killed');
      await victim.kill();
      killed.add(victim.pid);
      workers.push(await start());
    }
    expect((await enqueued).enqueued).toBe(JOBS);

    const isOver = async (): Promise<boolean> => {
      const ids = tracedSteps(trace).flatMap(({ what, id }) => (what === 'ended' ? [id] : []));
      if (new Set(ids).size === JOBS) return true;
      await sleep(500);
      return false;
    };
    await eventually('all jobs to have ended', isOver, ENDS_MS);
    // What was lost is marked, and its rerun linked.
    await eventually(
      'nothing to run',
      async () => (await producer.history.count({ status: 'running' })) === 0,
      ENDS_MS,
    );
    await Promise.all(workers.map((worker) => worker.stop()));
    const steps = tracedSteps(trace);
    const runs = await allRuns(producer);

    const wrong = differences(steps, runs, killed);
    expect(wrong).toEqual([]);
    const lost = runs.filter(({ status }) => status === 'lost');
    process.stdout.write(
      `the history under kills in ${kind}: ${runs.length} runs, ${lost.length} lost ` +
        `(${lost.filter(({ rerunId }) => rerunId !== undefined).length} with the run that followed)\n`,
    );
    const known = new Set(runs.map(({ id }) => id));
    for (const { rerunId } of lost) if (rerunId !== undefined) expect(known).toContain(rerunId);
    const last = new Map(steps.map((step) => [step.id, step]));
    expect([...last.values()].every(({ what }) => what === 'ended')).toBe(true);
  },
  2 * ENDS_MS + 60_000,
);

function differences(
  steps: readonly TracedStep[],
  runs: readonly JobRun[],
  killed: ReadonlySet<number>,
): string[] {
  const wrong: string[] = [];
  const recorded = new Map<string, JobRun>();
  for (const run of runs) {
    const key = keyOf(run.jobId, run.attempt, run.pid);
    if (recorded.has(key)) wrong.push(`${key} is recorded twice`);
    recorded.set(key, run);
  }
  const began = new Set<string>();
  const ended = new Map<string, TracedStep>();
  for (const step of steps) {
    const key = keyOf(step.id, step.attempt, step.pid);
    if (step.what === 'began') began.add(key);
    else ended.set(key, step);
  }
  for (const key of recorded.keys()) if (!began.has(key)) wrong.push(`${key} is recorded and was not run`);
  for (const [index, { what, id, attempt, pid }] of steps.entries()) {
    if (what !== 'began') continue;
    const key = keyOf(id, attempt, pid);
    const end = ended.get(key);
    const run = recorded.get(key);
    if (run === undefined) {
      wrong.push(`${key} was run and is not recorded`);
      continue;
    }
    const expected = end === undefined ? 'lost' : end.what === 'ended' ? 'done' : 'failed';
    // Killed between the last line of the handler and the end of its run: then the broker gave the job to another.
    const ranAgain = (): boolean =>
      steps.slice(index + 1).some((step) => step.what === 'began' && step.id === id);
    const isRight = run.result === expected || (run.status === 'lost' && killed.has(pid) && ranAgain());
    if (!isRight) wrong.push(`${key} ${expected} is recorded as ${run.result ?? 'running'}`);
    if (run.status === 'lost' && run.rerunId === undefined && ranAgain()) wrong.push(`${key} has no rerun`);
  }
  return wrong;
}
