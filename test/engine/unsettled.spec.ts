// A keyed job's node that is killed between the end of the handler and the ledger's answer: the run counts, the job as it went on.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RogerEngineOptions } from 'nestjs-roger-engine';
import { eventually } from '../support/app';
import { uniquePartition } from '../support/broker';
import type { EngineApp } from '../support/engine-app';
import { rogerOn, startEngine } from '../support/engine-app';
import { newDatabase } from '../support/engine-databases';
import type { EngineNodeSettings } from '../support/engine-node';
import { EngineNode, tracedSteps } from '../support/engine-node';
import { Traced, TraceOfJobs } from '../support/engine-work';

const folder = mkdtempSync(join(tmpdir(), 'roger-unsettled-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PATIENCE_MS = 60_000;
/** The request has left by then, and the answer can't have come. */
const TURNS = 20;
/** Long enough to be seen in the history. */
const RUN_MS = 2_000;

interface Scene {
  readonly producer: EngineApp;
  readonly settings: EngineNodeSettings;
  readonly jobId: string;
  readonly victim: EngineNode;
}

/** A job of the key `k` whose node is blocked so many turns after the end of the handler. */
async function begin(blocksAfterTurns: number, ms: number): Promise<Scene> {
  const partition = uniquePartition();
  const trace = join(folder, `${partition}.trace`);
  writeFileSync(trace, '');
  const roger = rogerOn('RabbitMQ', partition);
  const engine: RogerEngineOptions = {
    database: await newDatabase('SQLite'),
    lostAfterMs: 3_000,
    spool: { folder: join(folder, partition) },
  };
  const providers = [Traced, { provide: TraceOfJobs, useValue: { add: () => undefined } }];
  const producer = await startEngine({ ...roger, mode: 'producer' }, engine, providers);
  // Before the victim is there, so that it is not the one that keeps the ledger.
  const { job } = await producer.jobs.enqueue(Traced, { ms, key: 'k' }, { partition });
  const settings = { trace, roger, engine };
  const victim = await EngineNode.start({ ...settings, blocksAfterTurns });
  const isBlocked = (): boolean => tracedSteps(trace).some(({ what }) => what === 'blocked');
  await eventually('the node to be blocked', isBlocked, PATIENCE_MS);
  return { producer, settings, jobId: job.id, victim };
}

async function resultsOf({ producer: { history }, jobId }: Scene): Promise<(string | undefined)[]> {
  const { items } = await history.runsOf(jobId);
  return items.map(({ result }) => result);
}

test(
  'of one whose ledger has taken the outcome, run and job are done',
  async () => {
    const scene = await begin(TURNS, 1);
    const { producer, jobId, victim } = scene;
    const { globalState, partition, records } = producer;
    const isTaken = async (): Promise<boolean> =>
      (await globalState.isExecuting(partition, 'k')) === undefined;
    await eventually('the ledger to have the outcome', isTaken, PATIENCE_MS);
    await victim.kill();
    await eventually(
      'the job to be done',
      async () => (await records.get(jobId))?.state === 'done',
      PATIENCE_MS,
    );
    expect(await resultsOf(scene)).toEqual(['done']);
  },
  3 * PATIENCE_MS,
);

test(
  'of one whose ledger was not asked yet, the run is done, and the job is what its next run makes of it',
  async () => {
    const scene = await begin(0, RUN_MS);
    const { producer, settings, jobId, victim } = scene;
    const { globalState, partition, records, history } = producer;
    expect(await globalState.isExecuting(partition, 'k')).toBe(jobId);
    await victim.kill();
    await eventually('the run to count', async () => (await resultsOf(scene))[0] === 'done', PATIENCE_MS);
    const heir = await EngineNode.start(settings);
    const isIn = (state: string) => async (): Promise<boolean> => (await records.get(jobId))?.state === state;
    await eventually('the job to run again', isIn('running'), PATIENCE_MS);
    await eventually('the job to be done', isIn('done'), PATIENCE_MS);
    const [latest] = (await history.runsOf(jobId)).items;
    expect((await records.get(jobId))?.runId).toBe(latest?.id);
    expect(await resultsOf(scene)).toEqual(['done', 'done']);
    await heir.stop();
  },
  4 * PATIENCE_MS,
);
