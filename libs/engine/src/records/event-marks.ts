// What is kept of an event beside its text until it is written: which rows it makes, and where they stand among others.
import { isOfEnqueueing } from './event-rows';
import type { EventRows, JobPlace, JobRow, RunResult, RunRow } from './rows';

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

export interface EventMarks {
  readonly job: JobMark | undefined;
  readonly run: RunMark | undefined;
}

export function marksOf({ job, run, waitMs }: EventRows): EventMarks {
  return {
    job: job === undefined ? undefined : markOfJob(job),
    run: run === undefined ? undefined : markOfRun(run, waitMs),
  };
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
