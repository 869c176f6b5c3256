// One line of a spool per event: the rows that it makes, as text and back. Pure.
import type { JobFacts, JobRow, RunRow } from '../records/rows';

/** What an event makes of a job and of a run. */
export interface SpooledRows {
  readonly job: JobRow | undefined;
  readonly run: RunRow | undefined;
  /** Of a run that has ended: how long its job had waited, where that is known. */
  readonly waitMs: number | undefined;
}

type Line = [
  facts: JobFacts,
  job: Omit<JobRow, 'facts'> | 0,
  run: Omit<RunRow, 'facts'> | 0,
  waitMs: unknown,
];

/** The texts of facts, which all rows of a job's life share. */
const texts = new WeakMap<JobFacts, string>();

function textOf(facts: JobFacts): string {
  let text = texts.get(facts);
  if (text === undefined) {
    text = JSON.stringify(facts);
    texts.set(facts, text);
  }
  return text;
}

export function spooledLine({ job, run, waitMs }: SpooledRows): string {
  const facts = (job ?? run)?.facts;
  if (facts === undefined) return '';
  const jobText = job === undefined ? '0' : JSON.stringify({ ...job, facts: undefined });
  const runText = run === undefined ? '0' : JSON.stringify({ ...run, facts: undefined });
  return `[${textOf(facts)},${jobText},${runText},${waitMs ?? 'null'}]`;
}

const UNKNOWN_LIMITS = { max_retries: null, max_execution_time_seconds: null, reply_to: null };

/** @returns undefined for what no event has made: a line that a kill has torn, or another's. */
export function readSpooledLine(line: string): SpooledRows | undefined {
  try {
    const read: unknown = JSON.parse(line);
    if (!Array.isArray(read) || read.length !== 4) return undefined;
    const [given, job, run, waitMs] = read as unknown as Line;
    // Lines of an older version lack what it did not know.
    const facts = { ...UNKNOWN_LIMITS, ...given };
    if (!isFacts(facts) || (job === 0 && run === 0)) return undefined;
    if (job !== 0 && (typeof job.state !== 'string' || !Number.isFinite(job.seq_phase))) return undefined;
    if (run !== 0 && (typeof run.id !== 'string' || !Number.isFinite(run.seq))) return undefined;
    return {
      job: job === 0 ? undefined : { ...job, facts },
      run: run === 0 ? undefined : { ...run, facts },
      waitMs: typeof waitMs === 'number' ? waitMs : undefined,
    };
  } catch {
    return undefined;
  }
}

function isFacts(facts: JobFacts): boolean {
  const texts = [facts.partition, facts.job_id, facts.name, facts.queue];
  return texts.every((text) => typeof text === 'string') && Number.isFinite(facts.queued_at);
}
