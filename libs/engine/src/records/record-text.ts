// The text of a record's parts: JSON by short names, without what is null. Written out, not by a loop over the layout, and
// each part by one call of JSON.stringify: it is done several times for each job.
import type { JobFacts, JobRow, RunRow } from './rows';

/** All but the braces. */
export function textOfFacts(facts: JobFacts): string {
  return inner({
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
  });
}

/**
 * All but the braces, without the facts.
 * @param run in the same record: what is the same there stands there only
 */
export function textOfJob(row: JobRow, run: RunRow | undefined): string {
  return inner({
    ja: row.state,
    jb: unless(run?.attempt, row.attempt),
    jc: row.due_at ?? undefined,
    jd: unless(run?.id, row.run_id),
    je: unless(run?.node, row.node),
    jf: unless(run?.started_at, row.started_at),
    jg: row.ended_at ?? undefined,
    jh: unless(run?.reason_type, row.reason_type),
    ji: unless(run?.reason_message, row.reason_message),
    jj: row.seq_phase,
    jk: row.seq_at,
    jl: unless(run?.id, row.seq_run),
  });
}

/** All but the braces, without the facts. */
export function textOfRun(row: RunRow): string {
  return inner({
    ra: row.id,
    rb: row.attempt,
    rc: row.node,
    rd: row.pid,
    re: row.isolation,
    rf: row.fence ?? undefined,
    rg: row.started_at,
    rh: row.time_limit_at ?? undefined,
    ri: row.ended_at ?? undefined,
    rj: row.result ?? undefined,
    rk: row.after ?? undefined,
    rl: row.reason_type ?? undefined,
    rm: row.reason_message ?? undefined,
    rn: row.reason_stack ?? undefined,
    ro: row.value ?? undefined,
    rp: row.seq,
  });
}

/** @param other null: the run has none */
function unless<T>(other: T | null | undefined, value: T | null): T | null | undefined {
  return value === (other ?? null) ? undefined : value;
}

function inner(part: object): string {
  return JSON.stringify(part).slice(1, -1);
}
