// The text of a record: JSON by short names, without what is null. It goes to the spool and to the database as it is.
import { JsonBytes } from './json-bytes';
import type { Column } from './record-layout';
import { columnsOf, FACTS_LAYOUT, JOB_LAYOUT, RUN_LAYOUT } from './record-layout';
import type { EventRows, JobFacts, JobRow, RunRow } from './rows';

const FACTS_COLUMNS = columnsOf(FACTS_LAYOUT);
const JOB_COLUMNS = columnsOf(JOB_LAYOUT);
const RUN_COLUMNS = columnsOf(RUN_LAYOUT);

/**
 * Writes the text of these rows. What the job's row has from its run's stands in the run's only. Written out, not by a loop
 * over the layout: it is done several times for each job.
 */
export function writeRecord(json: JsonBytes, { job, run, waitMs }: EventRows): void {
  const facts = (job ?? run)?.facts;
  if (facts === undefined) throw new Error('a record tells of a job, or of a run, or of both');
  json.raw('{"a":');
  json.string(facts.partition);
  string(json, ',"b":', facts.job_id);
  number(json, ',"c":', facts.queued_at);
  string(json, ',"d":', facts.name);
  string(json, ',"e":', facts.queue);
  number(json, ',"f":', facts.priority);
  string(json, ',"g":', facts.queue_key);
  string(json, ',"h":', facts.execution_key);
  string(json, ',"i":', facts.args);
  string(json, ',"j":', facts.args_hash);
  number(json, ',"k":', facts.max_retries);
  number(json, ',"l":', facts.max_execution_time_seconds);
  string(json, ',"m":', facts.reply_to);
  if (job !== undefined) writeJob(json, job, run);
  if (run !== undefined) writeRun(json, run);
  if (waitMs !== undefined) number(json, ',"w":', waitMs);
  json.raw('}');
}

function writeJob(json: JsonBytes, job: JobRow, run: RunRow | undefined): void {
  string(json, ',"ja":', job.state);
  if (isOther(job.attempt, run?.attempt)) number(json, ',"jb":', job.attempt);
  number(json, ',"jc":', job.due_at);
  if (isOther(job.run_id, run?.id)) stringOrNull(json, ',"jd":', job.run_id);
  if (isOther(job.node, run?.node)) stringOrNull(json, ',"je":', job.node);
  if (isOther(job.started_at, run?.started_at)) numberOrNull(json, ',"jf":', job.started_at);
  number(json, ',"jg":', job.ended_at);
  if (isOther(job.reason_type, run?.reason_type)) stringOrNull(json, ',"jh":', job.reason_type);
  if (isOther(job.reason_message, run?.reason_message)) stringOrNull(json, ',"ji":', job.reason_message);
  number(json, ',"jj":', job.seq_phase);
  number(json, ',"jk":', job.seq_at);
  if (isOther(job.seq_run, run?.id)) string(json, ',"jl":', job.seq_run);
}

function writeRun(json: JsonBytes, run: RunRow): void {
  string(json, ',"ra":', run.id);
  number(json, ',"rb":', run.attempt);
  string(json, ',"rc":', run.node);
  number(json, ',"rd":', run.pid);
  string(json, ',"re":', run.isolation);
  number(json, ',"rf":', run.fence);
  number(json, ',"rg":', run.started_at);
  number(json, ',"rh":', run.time_limit_at);
  number(json, ',"ri":', run.ended_at);
  string(json, ',"rj":', run.result);
  string(json, ',"rk":', run.after);
  string(json, ',"rl":', run.reason_type);
  string(json, ',"rm":', run.reason_message);
  string(json, ',"rn":', run.reason_stack);
  string(json, ',"ro":', run.value);
  number(json, ',"rp":', run.seq);
}

/** @param ofRun what stands in the record anyway; null and undefined: nothing */
function isOther<T>(value: T, ofRun: T | undefined): boolean {
  return value !== (ofRun ?? null);
}

function string(json: JsonBytes, name: string, value: string | null): void {
  if (value === null) return;
  json.raw(name);
  json.string(value);
}

function number(json: JsonBytes, name: string, value: number | null): void {
  if (value === null) return;
  json.raw(name);
  json.number(value);
}

function stringOrNull(json: JsonBytes, name: string, value: string | null): void {
  json.raw(name);
  if (value === null) json.raw('null');
  else json.string(value);
}

function numberOrNull(json: JsonBytes, name: string, value: number | null): void {
  json.raw(name);
  if (value === null) json.raw('null');
  else json.number(value);
}

export function textOf(rows: EventRows): string {
  const json = new JsonBytes();
  writeRecord(json, rows);
  return json.bytes.toString('utf8', 0, json.length);
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
