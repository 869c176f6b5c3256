// The rows of jobs and runs as events make them, and which of two rows of one thing holds. Pure.

export type JobState =
  /** In its queue, in line behind its execution key, or given back to either. */
  | 'queued'
  /** Enqueued, and not due yet. */
  | 'delayed'
  | 'running'
  /** Failed, snoozed or unknown where it came: it comes again at `dueAt`. */
  | 'waiting'
  /** Held by its ledger until it is released, or its definition is switched on. */
  | 'held'
  | 'done'
  /** Its only attempt failed. */
  | 'failed'
  | 'discarded'
  | 'cancelled'
  | 'buried'
  /** Removed by `GlobalStateService.purge`. */
  | 'purged'
  /** Removed by an operator. */
  | 'removed'
  /** An operator has said so; the job itself was left alone. */
  | 'stopped';

export const FINAL_STATES = [
  'done',
  'failed',
  'discarded',
  'cancelled',
  'buried',
  'purged',
  'removed',
] as const;

export function isFinal(state: JobState): boolean {
  return (FINAL_STATES as readonly JobState[]).includes(state);
}

/** How a run ended. */
export type RunResult =
  | 'done'
  | 'failed'
  /** It ran longer than it may. */
  | 'timedOut'
  /** Its thread died. */
  | 'crashed'
  | 'discarded'
  | 'snoozed'
  | 'cancelled'
  /** It was told to end by a shutdown, and the attempt doesn't count. */
  | 'handedBack'
  /** Its outcome doesn't count, for the job was given to another; or its node has gone without a word. */
  | 'lost';

export const RUN_RESULTS: readonly RunResult[] = [
  'done',
  'failed',
  'timedOut',
  'crashed',
  'discarded',
  'snoozed',
  'cancelled',
  'handedBack',
  'lost',
];

/** What became of the job after a run. */
export type AfterRun = 'ended' | 'retried' | 'buried' | 'again';

/**
 * What doesn't change while a job lives. Enqueued anew (as an operator does with a buried one) it lives anew, with
 * another `queuedAt`.
 */
export interface JobFacts {
  readonly partition: string;
  readonly job_id: string;
  /** In ms since the epoch. */
  readonly queued_at: number;
  readonly name: string;
  readonly queue: string;
  readonly priority: number;
  readonly queue_key: string | null;
  readonly execution_key: string | null;
  /** As JSON; null: not recorded. */
  readonly args: string | null;
  readonly args_hash: string | null;
  /** What its enqueueing has set; null: as its definition says. */
  readonly max_retries: number | null;
  readonly max_execution_time_seconds: number | null;
  /** Who waits for its outcome, as JSON. */
  readonly reply_to: string | null;
}

/** A row of a job; the facts are shared by all rows of its life. */
export interface JobRow {
  readonly facts: JobFacts;
  readonly state: JobState;
  readonly attempt: number;
  readonly due_at: number | null;
  /** Of its last run. */
  readonly run_id: string | null;
  readonly node: string | null;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly reason_type: string | null;
  readonly reason_message: string | null;
  /** Which of two rows of one job holds: compared in this order, after `queued_at`. */
  readonly seq_phase: number;
  readonly seq_at: number;
  readonly seq_run: string;
}

export interface RunRow {
  readonly id: string;
  /** Of its job. */
  readonly facts: JobFacts;
  readonly attempt: number;
  readonly node: string;
  readonly pid: number;
  readonly isolation: 'process' | 'thread';
  readonly fence: number | null;
  readonly started_at: number;
  readonly time_limit_at: number | null;
  readonly ended_at: number | null;
  readonly result: RunResult | null;
  readonly after: AfterRun | null;
  readonly reason_type: string | null;
  readonly reason_message: string | null;
  readonly reason_stack: string | null;
  /** What `perform` returned, as JSON. */
  readonly value: string | null;
  /** Which of two rows of one run holds: {@link RUN_BEGUN} and so on. */
  readonly seq: number;
}

/** The rows that an event makes. */
export interface EventRows {
  readonly job: JobRow | undefined;
  readonly run: RunRow | undefined;
  /** Of a run that has ended: how long its job had waited, in ms, where that is known. */
  readonly waitMs?: number | undefined;
}

export const RUN_BEGUN = 0;
/** A thread has it, and its time counts. */
export const RUN_LIMITED = 1;
/** Its node has not been heard of. */
export const RUN_MISSED = 2;
/** It was killed when its outcome was known, and not yet settled with its ledger. */
export const RUN_UNSETTLED = 3;
export const RUN_ENDED = 4;
/** An operator has said how it counts. */
export const RUN_DECREED = 5;

/** What has ended is over, whatever else is told of the same life later; before that the higher attempt counts. */
const FINAL_PHASE = 2 ** 40;
/** What an operator has decided outweighs what the nodes say of the same life. */
const DECREE_PHASE = 2 ** 41;
/** An attempt comes from the wire, and can be any number. */
const MAX_ATTEMPT = 2 ** 31 - 1;

export function storedAttempt(attempt: number): number {
  return Math.min(attempt, MAX_ATTEMPT);
}

export function phaseOf(attempt: number, isFinal: boolean): number {
  return storedAttempt(attempt) + (isFinal ? FINAL_PHASE : 0);
}

export function decreePhaseOf(attempt: number): number {
  return storedAttempt(attempt) + DECREE_PHASE;
}

/** Where a row stands among others of its job. */
export interface JobPlace {
  /** When the life that it tells of began. */
  readonly life: number;
  readonly phase: number;
  readonly at: number;
  readonly run: string;
}

/**
 * Whether the row at this place holds over another of the same job. A total order, so that events may come in any order,
 * from any node: the last life counts, in it an end before all else, then the highest attempt, and within one attempt the
 * time (by the clocks of nodes; an enqueueing, which has no time of its own there, comes first).
 */
export function holdsOver(place: JobPlace, other: JobPlace): boolean {
  if (place.life !== other.life) return place.life > other.life;
  if (place.phase !== other.phase) return place.phase > other.phase;
  if (place.at !== other.at) return place.at > other.at;
  return place.run > other.run;
}
