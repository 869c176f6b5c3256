// What an event makes of a job and of a run. Once it has its text (one record of JSON by short names, without what is null),
// no more of it is kept than tells it from others: very many wait to be written, and each object that does is garbage later.
import { isOfEnqueueing } from './event-rows';
import type { Column } from './record-layout';
import { columnsOf, FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from './record-layout';
import { textOf } from './record-text';
import type { EventRows, JobFacts, JobPlace, JobRow, RunResult, RunRow } from './rows';

const FACTS_COLUMNS = columnsOf(FACTS_LAYOUT);
const JOB_COLUMNS = columnsOf(JOB_LAYOUT);
const RUN_COLUMNS = columnsOf(RUN_LAYOUT);

/** Which job's row it makes, and where that stands among others of the job. */
export interface JobMark extends JobPlace {
  /** What tells the job from all others, of any partition. */
  readonly key: string;
  /** Whether the row says that the job was enqueued, and nothing else. */
  readonly isOfEnqueueing: boolean;
}

/** Which run's row it makes, where that stands among others of the run, and what is to be counted of it. */
export interface RunMark {
  readonly id: string;
  readonly seq: number;
  readonly name: string;
  readonly endedAt: number | null;
  /** How long it ran; 0: it goes on. */
  readonly ranMs: number;
  readonly result: RunResult | null;
  readonly waitMs: number | undefined;
}

export class JobEvent {
  private constructor(
    readonly text: string,
    readonly job: JobMark | undefined,
    readonly run: RunMark | undefined,
  ) {}

  static of(rows: EventRows): JobEvent {
    const { job, run, waitMs } = rows;
    return new JobEvent(
      textOf(rows),
      job === undefined ? undefined : markOfJob(job),
      run === undefined ? undefined : markOfRun(run, waitMs),
    );
  }

  /** The rows, read from the text. */
  get rows(): EventRows {
    const rows = readRows(this.text);
    if (rows === undefined) throw new Error(`the text of an event is none: ${this.text}`);
    return rows;
  }

  /** The event without what it makes of the run. */
  ofJob(): JobEvent {
    return this.run === undefined ? this : JobEvent.of({ job: this.rows.job, run: undefined });
  }

  /** The event without what it makes of the job. */
  ofRun(): JobEvent {
    return this.job === undefined ? this : JobEvent.of({ ...this.rows, job: undefined });
  }
}

/** @returns undefined for what no event has made: a line that a kill has torn, or another's. */
export function readJobEvent(text: string): JobEvent | undefined {
  const rows = readRows(text);
  return rows === undefined ? undefined : JobEvent.of(rows);
}

function readRows(text: string): EventRows | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof record !== 'object' || record === null) return undefined;
  const values = record as Readonly<Record<string, unknown>>;
  const facts = readPart(values, FACTS_COLUMNS) as JobFacts;
  if (!isFacts(facts)) return undefined;
  const job = readPart(values, JOB_COLUMNS) as Omit<JobRow, 'facts'>;
  const run = readPart(values, RUN_COLUMNS) as Omit<RunRow, 'facts'>;
  const { w } = values;
  const hasJob = typeof job.state === 'string' && Number.isFinite(job.seq_phase);
  const hasRun = typeof run.id === 'string' && Number.isFinite(run.seq);
  if (!hasJob && !hasRun) return undefined;
  return {
    job: hasJob ? { ...job, facts } : undefined,
    run: hasRun ? { ...run, facts } : undefined,
    waitMs: typeof w === 'number' ? w : undefined,
  };
}

/** What it has for each column; nothing is checked yet. */
function readPart(record: Readonly<Record<string, unknown>>, columns: readonly Column[]): object {
  return Object.fromEntries(
    columns.map(({ name, short, otherwise = short }) => {
      const value = record[short];
      return [name, (value === undefined ? record[otherwise] : value) ?? null];
    }),
  );
}

function isFacts(facts: JobFacts): boolean {
  const texts = [facts.partition, facts.job_id, facts.name, facts.queue];
  return texts.every((text) => typeof text === 'string') && Number.isFinite(facts.queued_at);
}

export function markOfJob(row: JobRow): JobMark {
  const { facts, seq_phase, seq_at, seq_run } = row;
  return {
    key: `${facts.partition}/${facts.job_id}`,
    isOfEnqueueing: isOfEnqueueing(row),
    life: facts.queued_at,
    phase: seq_phase,
    at: seq_at,
    run: seq_run,
  };
}

function markOfRun(
  { id, seq, facts: { name }, started_at, ended_at, result }: RunRow,
  waitMs: number | undefined,
): RunMark {
  const ranMs = ended_at === null ? 0 : ended_at - started_at;
  return { id, seq, name, endedAt: ended_at, ranMs, result, waitMs };
}
