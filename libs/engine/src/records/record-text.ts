// The text of a record's parts: JSON by short names, without what is null. Written out, not by a loop over the layout: it is
// done several times for each job.
import type { JobFacts, JobRow, RunRow } from './rows';

export function textOfFacts(facts: JobFacts): string {
  return (
    `"a":${quoted(facts.partition)},"b":${quoted(facts.job_id)},"c":${facts.queued_at},"d":${quoted(facts.name)},` +
    `"e":${quoted(facts.queue)},"f":${facts.priority}${field('g', facts.queue_key)}` +
    `${field('h', facts.execution_key)}${field('i', facts.args)}${field('j', facts.args_hash)}` +
    `${count('k', facts.max_retries)}${count('l', facts.max_execution_time_seconds)}${field('m', facts.reply_to)}`
  );
}

export function textOfJob(row: JobRow): string {
  return (
    `,"ja":"${row.state}","jb":${row.attempt}${count('jc', row.due_at)}${field('jd', row.run_id)}` +
    `${field('je', row.node)}${count('jf', row.started_at)}${count('jg', row.ended_at)}` +
    `${field('jh', row.reason_type)}${field('ji', row.reason_message)},"jj":${row.seq_phase},"jk":${row.seq_at},` +
    `"jl":${quoted(row.seq_run)}`
  );
}

export function textOfRun(row: RunRow): string {
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
