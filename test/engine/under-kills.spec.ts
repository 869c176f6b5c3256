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
      key: index % 4 < 2 ? `key-${index % 500}` : undefined,
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
    expect(await producer.records.countByState()).toEqual({ done: JOBS });
  },
  2 * ENDS_MS + 60_000,
);

function differences(
  steps: readonly TracedStep[],
  runs: readonly JobRun[],
  killed: ReadonlySet<number>,
): string[] {
  // A retry is published, then the old copy acked: a kill between leaves two of one attempt, and one process may get both.
  const began = new Map<string, number>();
  const outcomes = new Map<string, string[]>();
  const lastBegun = new Map<string, number>();
  for (const [index, { what, id, attempt, pid }] of steps.entries()) {
    const key = keyOf(id, attempt, pid);
    if (what === 'began') {
      began.set(key, (began.get(key) ?? 0) + 1);
      lastBegun.set(id, index);
    } else {
      outcomes.set(key, [...(outcomes.get(key) ?? []), what === 'ended' ? 'done' : 'failed']);
    }
  }
  const recorded = new Map<string, JobRun[]>();
  for (const run of runs) {
    const key = keyOf(run.jobId, run.attempt, run.pid);
    recorded.set(key, [...(recorded.get(key) ?? []), run]);
  }
  const wrong: string[] = [];
  for (const [key, ofKey] of recorded) {
    if (began.has(key)) continue;
    // A begin is recorded right before the handler is called: a kill in between leaves a run that has done nothing, and another.
    const isCutShort = ofKey.every(
      ({ result, pid, rerunId }) => result === 'lost' && killed.has(pid) && rerunId !== undefined,
    );
    if (!isCutShort) wrong.push(`${key} is recorded and was not run`);
  }
  for (const [index, { what, id, attempt, pid }] of steps.entries()) {
    if (what !== 'began') continue;
    const key = keyOf(id, attempt, pid);
    const ofKey = recorded.get(key) ?? [];
    const times = began.get(key) ?? 0;
    if (ofKey.length !== times)
      wrong.push(`${key} was run ${times} times and is recorded ${ofKey.length} times`);
    const ranAgain = (lastBegun.get(id) ?? 0) > index;
    const expected = [...(outcomes.get(key) ?? [])];
    for (const { result, rerunId } of ofKey) {
      const at = expected.indexOf(result ?? 'running');
      if (at >= 0) expected.splice(at, 1);
      // Killed in the run, or between the last line of the handler and its settlement: the broker gave the job to another.
      else if (result !== 'lost' || !killed.has(pid) || !ranAgain || rerunId === undefined) {
        wrong.push(
          `${key} (${expected.join()}) is recorded as ${result ?? 'running'}, rerun ${rerunId ?? 'none'}`,
        );
      }
    }
  }
  return [...new Set(wrong)];
}
