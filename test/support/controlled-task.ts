// A job that waits, fails or heeds its signal as its args say, behind one worker; for what an operator does with jobs.
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobContext, JobHandler, RogerModuleOptions } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import type { JobEngine, JobState, RogerEngineOptions } from 'nestjs-roger-engine';
import { eventually } from './app';
import type { EngineApp, TransportKind } from './engine-app';
import { rogerOn, startEngine } from './engine-app';
import type { DatabaseKind } from './engine-databases';
import { newDatabase } from './engine-databases';
import { Gate, Signals } from './signal';
import { within } from './within';

export interface TaskArgs {
  /** Until the gate opens. */
  readonly waits?: boolean;
  /** What it makes of an abort while it waits. @default 'throws' */
  readonly aborted?: 'throws' | 'ends well' | 'goes on';
  readonly fails?: boolean;
  /** How long it takes. */
  readonly ms?: number;
  readonly key?: string;
}

/** The ids of the jobs that have begun in this test. */
export const begun = new Signals<string>();
let gate = new Gate();

/** Each test that has jobs wait has to, or its app waits for them when it ends. */
export function openGate(): void {
  gate.open();
}

beforeEach(() => {
  begun.seen.length = 0;
  gate = new Gate();
});

@RogerJob({ name: 'task', retryable: { levels: [1_000] }, queueKey: ({ key }: TaskArgs) => key })
export class Task implements JobHandler<TaskArgs> {
  async perform(args: TaskArgs, { job, signal }: JobContext): Promise<{ by: string }> {
    const { waits, aborted = 'throws', fails, ms = 0 } = args;
    begun.add(job.id);
    if (waits === true) {
      const isAborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      await (aborted === 'goes on' ? gate.opened : Promise.race([gate.opened, isAborted]));
      if (aborted === 'throws') signal.throwIfAborted();
    }
    if (ms > 0) await sleep(ms);
    if (fails === true) throw new Error('not this time');
    return { by: job.id };
  }
}

/** Each transport and each database; the long form has them the other way round, too. */
export const COMBINATIONS: readonly (readonly [TransportKind, DatabaseKind])[] = [
  ['RabbitMQ', 'PostgreSQL'],
  ['memory', 'SQLite'],
  ...(process.env['ROGER_FAULTS'] === 'long' ? ([['RabbitMQ', 'SQLite']] as const) : []),
];

/** With one worker, so that what is behind a job that waits has not begun. */
export async function begin(
  transport: TransportKind,
  database: DatabaseKind,
  more: Partial<RogerEngineOptions> = {},
  ofRoger: Partial<RogerModuleOptions> = {},
): Promise<EngineApp> {
  const roger = rogerOn(transport);
  const partitions = Object.fromEntries(
    Object.keys(roger.partitions ?? {}).map((id) => [id, { default: 1 }]),
  );
  const options = { ...roger, ...ofRoger, partitions } as RogerModuleOptions;
  return startEngine(options, { database: await newDatabase(database), ...more }, [Task]);
}

/** Jobs that are behind one that runs until the gate opens. */
export async function behindOne(app: EngineApp, ids: readonly string[], args: TaskArgs = {}): Promise<void> {
  const { jobs, partition } = app;
  await jobs.enqueue(Task, { waits: true }, { partition, id: 'first' });
  await within('the first to begin', begun.count(1));
  for (const id of ids) await jobs.enqueue(Task, args, { partition, id });
}

export function inState(
  { engine }: { readonly engine: JobEngine },
  id: string,
  state: JobState,
): Promise<void> {
  return eventually(`${id} to be ${state}`, async () => (await engine.get(id))?.state === state);
}
