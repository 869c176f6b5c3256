// The text of a record: JSON by short names, without what is null. It goes to the spool and to the database as it is.
import type { Column } from './record-layout';
import { columnsOf, FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from './record-layout';
import type { EventRows, JobFacts, JobRow, RunRow } from './rows';

const FACTS_COLUMNS = columnsOf(FACTS_LAYOUT);
const JOB_COLUMNS = columnsOf(JOB_LAYOUT);
const RUN_COLUMNS = columnsOf(RUN_LAYOUT);

/**
 * What the job's row has from its run's stands in the run's only. Written out, not by a loop over the layout, and made by
 * one call of JSON.stringify: it is done several times for each job.
 */
export function textOf({ job, run, waitMs }: EventRows): string {
  const facts = (job ?? run)?.facts;
  if (facts === undefined) return '{}';
  return JSON.stringify({
    a: facts.partition,
    b: facts.job_id,
    c: facts.queued_at,
    d: facts.name,
    e: facts.queue,
    f: facts.priority,
    g: facts.queue_key ?? undefined,
    h: facts.execution_key ?? undefined,
    i: facts.args ?? undefined,
    j: facts.args_hash ?? undefined,
    k: facts.max_retries ?? undefined,
    l: facts.max_execution_time_seconds ?? undefined,
    m: facts.reply_to ?? undefined,
    ja: job?.state,
    jb: unless(run?.attempt, job?.attempt),
    jc: job?.due_at ?? undefined,
    jd: unless(run?.id, job?.run_id),
    je: unless(run?.node, job?.node),
    jf: unless(run?.started_at, job?.started_at),
    jg: job?.ended_at ?? undefined,
    jh: unless(run?.reason_type, job?.reason_type),
    ji: unless(run?.reason_message, job?.reason_message),
    jj: job?.seq_phase,
    jk: job?.seq_at,
    jl: unless(run?.id, job?.seq_run),
    ra: run?.id,
    rb: run?.attempt,
    rc: run?.node,
    rd: run?.pid,
    re: run?.isolation,
    rf: run?.fence ?? undefined,
    rg: run?.started_at,
    rh: run?.time_limit_at ?? undefined,
    ri: run?.ended_at ?? undefined,
    rj: run?.result ?? undefined,
    rk: run?.after ?? undefined,
    rl: run?.reason_type ?? undefined,
    rm: run?.reason_message ?? undefined,
    rn: run?.reason_stack ?? undefined,
    ro: run?.value ?? undefined,
    rp: run?.seq,
    w: waitMs,
  });
}

/** @param other what the run has; null: nothing */
function unless<T>(other: T | null | undefined, value: T | null | undefined): T | null | undefined {
  return value === (other ?? null) ? undefined : value;
}

/** @returns undefined for what is no such text: a line that a kill has torn, or another's. */
export function rowsIn(text: string): EventRows | undefined {
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
