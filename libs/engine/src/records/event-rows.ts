// Turns what Roger tells of jobs into rows. Pure, but for the clock that tells two events of one process apart.
import type { EndReason, Job, JobEnd, RunRecord } from 'nestjs-roger';
import { plainText } from './plain-text';
import type { AfterRun, JobFacts, JobRow, JobState, RunResult, RunRow } from './rows';
import { phaseOf, RUN_BEGUN, RUN_ENDED, RUN_LIMITED, RUN_UNSETTLED, storedAttempt } from './rows';

const MAX_TYPE_LENGTH = 200;
const MAX_MESSAGE_LENGTH = 2_000;
const MAX_STACK_LENGTH = 8_000;
/** The reason's type of a job that is held. */
export const HELD = 'Held';

/** Times in µs that grow with every call, so that no two events of a process stand at the same one. */
export class EventClock {
  private last = 0;

  next(atMs: number): number {
    this.last = Math.max(this.last + 1, Math.round(atMs * 1_000));
    return this.last;
  }
}

// Written out, not spread: these are made several times for each job.

/** Whatever else is told of the attempt comes after its enqueueing, however late the confirm is. */
const ENQUEUED_AT = 0;
const ENQUEUED_BY = '';

/** @param heldWhy why its ledger holds it; undefined: it doesn't */
export function enqueuedJob(
  facts: JobFacts,
  { attempt, runAt, queuedAt }: Pick<Job, 'attempt' | 'runAt' | 'queuedAt'>,
  heldWhy?: string,
): JobRow {
  const isDelayed = runAt !== undefined && runAt > queuedAt;
  return {
    facts,
    state: heldWhy !== undefined ? 'held' : isDelayed ? 'delayed' : 'queued',
    attempt: storedAttempt(attempt),
    due_at: runAt ?? null,
    run_id: null,
    node: null,
    started_at: null,
    ended_at: null,
    reason_type: heldWhy === undefined ? null : HELD,
    reason_message: heldWhy === undefined ? null : heldMessage(heldWhy),
    seq_phase: phaseOf(attempt, false),
    seq_at: ENQUEUED_AT,
    seq_run: ENQUEUED_BY,
  };
}

/** Whether the row says that the job was enqueued, and nothing else. */
export function isOfEnqueueing({ state, seq_run }: JobRow): boolean {
  return state === 'queued' && seq_run === ENQUEUED_BY;
}

/** As it stands in the row of a job that is held for this reason. */
export function heldMessage(why: string): string {
  return plainText(why, MAX_MESSAGE_LENGTH);
}

/** Of one that had been enqueued before. */
export function heldJob(facts: JobFacts, job: Job, why: string, at: number): JobRow {
  return { ...enqueuedJob(facts, job, why), seq_at: at * 1_000 };
}

/** What the begin of the run makes of its job. */
export function begunJob(run: RunRow, dueAt: number | null, seqAt: number): JobRow {
  return {
    facts: run.facts,
    state: 'running',
    attempt: run.attempt,
    due_at: dueAt,
    run_id: run.id,
    node: run.node,
    started_at: run.started_at,
    ended_at: null,
    reason_type: null,
    reason_message: null,
    seq_phase: phaseOf(run.attempt, false),
    seq_at: seqAt,
    seq_run: run.id,
  };
}

/** @param node that tells of it */
export function endedJob(facts: JobFacts, job: Job, end: JobEnd, node: string, seqAt: number): JobRow {
  const { run, at, again, reason } = end;
  const state = stateAfter(end);
  const isFinal = state !== 'queued' && state !== 'waiting' && state !== 'held';
  const attempt = again?.attempt ?? job.attempt;
  return {
    facts,
    state,
    attempt: storedAttempt(attempt),
    due_at: again?.at ?? job.runAt ?? null,
    run_id: run?.id ?? null,
    node: run?.node ?? node,
    started_at: run?.startedAt ?? null,
    ended_at: isFinal ? at : null,
    reason_type: typeOf(reason),
    reason_message: messageOf(reason),
    seq_phase: phaseOf(attempt, isFinal),
    // The next attempt's begin comes after this, by whatever clock.
    seq_at: attempt === job.attempt ? seqAt : 0,
    seq_run: run?.id ?? node,
  };
}

export function begunRun(facts: JobFacts, run: RunRecord, isLimited: boolean): RunRow {
  return {
    id: run.id,
    facts,
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
  const { reason } = end;
  return {
    id: run.id,
    facts,
    attempt: storedAttempt(run.job.attempt),
    node: run.node,
    pid: process.pid,
    isolation: run.isolation,
    fence: run.fence ?? null,
    started_at: run.startedAt,
    time_limit_at: wholeOf(run.timeLimitAt),
    ended_at: end.at,
    result: resultOf(end),
    after: afterOf(end),
    reason_type: typeOf(reason),
    reason_message: messageOf(reason),
    reason_stack: reason?.stack === undefined ? null : plainText(reason.stack, MAX_STACK_LENGTH),
    value,
    seq: RUN_ENDED,
  };
}

/**
 * Of an end that may not have come to its ledger: it holds until more is told of the job, were it only that the attempt
 * began anew.
 */
export function unsettledJob(facts: JobFacts, job: Job, end: JobEnd, node: string, seqAt: number): JobRow {
  return {
    ...endedJob(facts, job, end, node, seqAt),
    seq_phase: phaseOf(job.attempt, false),
    seq_at: seqAt,
  };
}

/** The work was done, whatever became of the job: it holds until the real end is told. */
export function unsettledRun(facts: JobFacts, run: RunRecord, end: JobEnd, value: string | null): RunRow {
  return { ...endedRun(facts, run, end, value), seq: RUN_UNSETTLED };
}

/** How a run of this end counts. */
function resultOf({ outcome, reason }: Pick<JobEnd, 'outcome' | 'reason'>): RunResult {
  switch (outcome) {
    case 'retried':
    case 'failed':
    case 'buried':
      return failureOf(reason?.type);
    case 'handedOn':
    case 'held':
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
    case 'held':
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

function typeOf(reason: EndReason | undefined): string | null {
  return reason === undefined ? null : plainText(reason.type, MAX_TYPE_LENGTH);
}

function messageOf(reason: EndReason | undefined): string | null {
  return reason === undefined ? null : plainText(reason.message, MAX_MESSAGE_LENGTH);
}

function wholeOf(time: number | undefined): number | null {
  return time === undefined ? null : Math.round(time);
}
