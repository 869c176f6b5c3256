// What an event makes of a job and of a run, and its text: one record of JSON by short names, without what is null.
import { FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from './record-layout';
import type { JobFacts, JobRow, RunRow } from './rows';

export class JobEvent {
  private cached: string | undefined;

  constructor(
    readonly job: JobRow | undefined,
    readonly run: RunRow | undefined,
    /** Of a run that has ended: how long its job had waited, in ms, where that is known. */
    readonly waitMs?: number,
    text?: string,
  ) {
    this.cached = text;
  }

  get text(): string {
    return (this.cached ??= textOf(this));
  }

  /** The event without what it makes of the run. */
  ofJob(): JobEvent {
    return this.run === undefined ? this : new JobEvent(this.job, undefined);
  }

  /** The event without what it makes of the job. */
  ofRun(): JobEvent {
    return this.job === undefined ? this : new JobEvent(undefined, this.run, this.waitMs);
  }
}

/** @returns undefined for what no event has made: a line that a kill has torn, or another's. */
export function readJobEvent(text: string): JobEvent | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof record !== 'object' || record === null) return undefined;
  const values = record as Readonly<Record<string, unknown>>;
  const facts = readPart(values, FACTS_LAYOUT) as JobFacts;
  if (!isFacts(facts)) return undefined;
  const job = readPart(values, JOB_LAYOUT) as Omit<JobRow, 'facts'>;
  const run = readPart(values, RUN_LAYOUT) as Omit<RunRow, 'facts'>;
  const { w } = values;
  const hasJob = typeof job.state === 'string' && Number.isFinite(job.seq_phase);
  const hasRun = typeof run.id === 'string' && Number.isFinite(run.seq);
  if (!hasJob && !hasRun) return undefined;
  return new JobEvent(
    hasJob ? { ...job, facts } : undefined,
    hasRun ? { ...run, facts } : undefined,
    typeof w === 'number' ? w : undefined,
    text,
  );
}

type Layout = Readonly<Record<string, readonly [short: string, type: string]>>;

/** What it has for each column; nothing is checked yet. */
function readPart(record: Readonly<Record<string, unknown>>, layout: Layout): object {
  return Object.fromEntries(Object.entries(layout).map(([name, [short]]) => [name, record[short] ?? null]));
}

function isFacts(facts: JobFacts): boolean {
  const texts = [facts.partition, facts.job_id, facts.name, facts.queue];
  return texts.every((text) => typeof text === 'string') && Number.isFinite(facts.queued_at);
}

// Written out, not by a loop over the layout: it is done several times for each job.

function textOf({ job, run, waitMs }: JobEvent): string {
  const facts = (job ?? run)?.facts;
  if (facts === undefined) return '{}';
  const wait = waitMs === undefined ? '' : `,"w":${waitMs}`;
  return `{${textOfFacts(facts)}${job === undefined ? '' : textOfJob(job)}${run === undefined ? '' : textOfRun(run)}${wait}}`;
}

/** The texts of facts, which all events of a job's life share. */
const texts = new WeakMap<JobFacts, string>();

function textOfFacts(facts: JobFacts): string {
  let text = texts.get(facts);
  if (text === undefined) {
    text =
      `"a":${quoted(facts.partition)},"b":${quoted(facts.job_id)},"c":${facts.queued_at},"d":${quoted(facts.name)},` +
      `"e":${quoted(facts.queue)},"f":${facts.priority}${field('g', facts.queue_key)}` +
      `${field('h', facts.execution_key)}${field('i', facts.args)}${field('j', facts.args_hash)}` +
      `${count('k', facts.max_retries)}${count('l', facts.max_execution_time_seconds)}${field('m', facts.reply_to)}`;
    texts.set(facts, text);
  }
  return text;
}

function textOfJob(row: JobRow): string {
  return (
    `,"ja":"${row.state}","jb":${row.attempt}${count('jc', row.due_at)}${field('jd', row.run_id)}` +
    `${field('je', row.node)}${count('jf', row.started_at)}${count('jg', row.ended_at)}` +
    `${field('jh', row.reason_type)}${field('ji', row.reason_message)},"jj":${row.seq_phase},"jk":${row.seq_at},` +
    `"jl":${quoted(row.seq_run)}`
  );
}

function textOfRun(row: RunRow): string {
  return (
    `,"ra":${quoted(row.id)},"rb":${row.attempt},"rc":${quoted(row.node)},"rd":${row.pid},"re":"${row.isolation}"` +
    `${count('rf', row.fence)},"rg":${row.started_at}${count('rh', row.time_limit_at)}${count('ri', row.ended_at)}` +
    `${field('rj', row.result)}${field('rk', row.after)}${field('rl', row.reason_type)}` +
    `${field('rm', row.reason_message)}${field('rn', row.reason_stack)}${field('ro', row.value)},"rp":${row.seq}`
  );
}

function field(short: string, value: string | null): string {
  return value === null ? '' : `,"${short}":${quoted(value)}`;
}

function count(short: string, value: number | null): string {
  return value === null ? '' : `,"${short}":${value}`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
