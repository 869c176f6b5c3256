// What an event makes of a job and of a run, and its text: one record of JSON by short names, without what is null.
import { RecordedFacts } from './job-facts';
import { FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from './record-layout';
import { textOfFacts, textOfJob, textOfRun } from './record-text';
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

function textOf({ job, run, waitMs }: JobEvent): string {
  const facts = (job ?? run)?.facts;
  if (facts === undefined) return '{}';
  const wait = waitMs === undefined ? '' : `,"w":${waitMs}`;
  return `{${facts instanceof RecordedFacts ? facts.text : textOfFacts(facts)}${job === undefined ? '' : textOfJob(job)}${run === undefined ? '' : textOfRun(run)}${wait}}`;
}
