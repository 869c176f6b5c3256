// Turns what Roger tells of jobs into rows. Pure, but for the clock that tells two events of one process apart.
import type { EndReason, Job, JobEnd, RunRecord } from 'nestjs-roger';
import { plainText } from './plain-text';
import type { AfterRun, JobFacts, JobRow, JobState, RunResult, RunRow } from './rows';
import { phaseOf, RUN_BEGUN, RUN_ENDED, RUN_LIMITED, storedAttempt } from './rows';

const MAX_TYPE_LENGTH = 200;
const MAX_MESSAGE_LENGTH = 2_000;
const MAX_STACK_LENGTH = 8_000;

/** Times in µs that grow with every call, so that no two events of a process stand at the same one. */
export class EventClock {
  private last = 0;

  next(atMs: number): number {
    this.last = Math.max(this.last + 1, Math.round(atMs * 1_000));
    return this.last;
  }
}

type JobChange = Omit<JobRow, keyof JobFacts | 'seq_phase' | 'seq_at' | 'seq_run'>;

const UNTOUCHED = {
  run_id: null,
  node: null,
  started_at: null,
  ended_at: null,
  reason_type: null,
  reason_message: null,
};

export function enqueuedJob(facts: JobFacts, { attempt, runAt, queuedAt }: Job): JobRow {
  const isDelayed = runAt !== undefined && runAt > queuedAt;
  return {
    ...facts,
    ...UNTOUCHED,
    state: isDelayed ? 'delayed' : 'queued',
    attempt: storedAttempt(attempt),
    due_at: runAt ?? null,
    seq_phase: phaseOf(attempt, false),
    // Whatever else is told of the attempt comes after it, however late the confirm is.
    seq_at: 0,
    seq_run: '',
  };
}

export function begunJob(facts: JobFacts, { id, node, job, startedAt }: RunRecord, seqAt: number): JobRow {
  return {
    ...facts,
    ...UNTOUCHED,
    state: 'running',
    attempt: storedAttempt(job.attempt),
    due_at: job.runAt ?? null,
    run_id: id,
    node,
    started_at: startedAt,
    seq_phase: phaseOf(job.attempt, false),
    seq_at: seqAt,
    seq_run: id,
  };
}

/** @param node that tells of it */
export function endedJob(facts: JobFacts, job: Job, end: JobEnd, node: string, seqAt: number): JobRow {
  const { run, at, again } = end;
  const state = stateAfter(end);
  const isFinal = state !== 'queued' && state !== 'waiting';
  const attempt = again?.attempt ?? job.attempt;
  const isNextAttempt = attempt !== job.attempt;
  const change: JobChange = {
    state,
    attempt: storedAttempt(attempt),
    due_at: again?.at ?? job.runAt ?? null,
    run_id: run?.id ?? null,
    node: run?.node ?? node,
    started_at: run?.startedAt ?? null,
    ended_at: isFinal ? at : null,
    ...reasonOf(end.reason),
  };
  return {
    ...facts,
    ...change,
    seq_phase: phaseOf(attempt, isFinal),
    // The next attempt's begin comes after this, by whatever clock.
    seq_at: isNextAttempt ? 0 : seqAt,
    seq_run: run?.id ?? node,
  };
}

export function begunRun(facts: JobFacts, run: RunRecord, isLimited: boolean): RunRow {
  const { partition, job_id, queued_at, name, queue } = facts;
  return {
    id: run.id,
    partition,
    job_id,
    queued_at,
    name,
    queue,
    attempt: storedAttempt(run.job.attempt),
    node: run.node,
    pid: process.pid,
    isolation: run.isolation,
    fence: run.fence ?? null,
    started_at: run.startedAt,
    time_limit_at: wholeOf(run.timeLimitAt),
    ended_at: null,
    result: null,
    after: null,
    reason_type: null,
    reason_message: null,
    reason_stack: null,
    value: null,
    seq: isLimited ? RUN_LIMITED : RUN_BEGUN,
  };
}

/** @param value what `perform` returned, as JSON */
export function endedRun(facts: JobFacts, run: RunRecord, end: JobEnd, value: string | null): RunRow {
  const { stack } = end.reason ?? {};
  return {
    ...begunRun(facts, run, false),
    ended_at: end.at,
    result: resultOf(end),
    after: afterOf(end),
    ...reasonOf(end.reason),
    reason_stack: stack === undefined ? null : plainText(stack, MAX_STACK_LENGTH),
    value,
    seq: RUN_ENDED,
  };
}

/** How a run of this end counts. */
export function resultOf({ outcome, reason }: Pick<JobEnd, 'outcome' | 'reason'>): RunResult {
  switch (outcome) {
    case 'retried':
    case 'failed':
    case 'buried':
      return failureOf(reason?.type);
    case 'handedOn':
      return 'handedBack';
    default:
      return outcome;
  }
}

function failureOf(type: string | undefined): RunResult {
  if (type === 'ROGER_JOB_TIMEOUT') return 'timedOut';
  return type === 'ROGER_JOB_CRASHED' ? 'crashed' : 'failed';
}

function afterOf({ outcome }: JobEnd): AfterRun {
  switch (outcome) {
    case 'retried':
    case 'buried':
      return outcome;
    case 'snoozed':
    case 'handedBack':
    case 'handedOn':
    case 'lost':
      return 'again';
    default:
      return 'ended';
  }
}

function stateAfter({ outcome }: JobEnd): JobState {
  switch (outcome) {
    case 'retried':
    case 'snoozed':
    case 'handedOn':
      return 'waiting';
    case 'handedBack':
    case 'lost':
      return 'queued';
    default:
      return outcome;
  }
}

function reasonOf(reason: EndReason | undefined): Pick<JobRow, 'reason_type' | 'reason_message'> {
  if (reason === undefined) return { reason_type: null, reason_message: null };
  return {
    reason_type: plainText(reason.type, MAX_TYPE_LENGTH),
    reason_message: plainText(reason.message, MAX_MESSAGE_LENGTH),
  };
}

function wholeOf(time: number | undefined): number | null {
  return time === undefined ? null : Math.round(time);
}
