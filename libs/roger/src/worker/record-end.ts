// Tells the recorders how an attempt ended, or a job that was not attempted.
import { performance } from 'node:perf_hooks';
import type { Job } from '../job/job';
import type { EndReason, JobEnd } from '../job/job-recorder';
import type { QueueAddress } from '../job/names';
import type { JobRecorders, OpenRecord } from '../reports/job-recorders';
import type { End } from './attempts';
import { outcomeOf } from './end-outcome';
import { typeOfError } from './end-reason';

/** An end that is decided and not told yet. */
export interface DecidedEnd {
  readonly job: Job | undefined;
  readonly address: QueueAddress;
  readonly record: OpenRecord | undefined;
  readonly end: End;
  /** Why it was told to end early. */
  readonly abortReason?: Error | undefined;
  /** When it was decided. */
  readonly at: number;
}

/** For a run, from its begin on: a clock that is set meanwhile makes no run negative. */
export function endedAt(record: OpenRecord | undefined): number {
  return record === undefined
    ? Date.now()
    : record.run.startedAt + Math.round(performance.now() - record.begunAt);
}

export function recordEnd(recorders: JobRecorders, decided: DecidedEnd): void {
  const told = endOf(decided);
  if (told !== undefined) recorders.ended(told);
}

/** Its ledger has yet to take it. */
export function recordEnding(recorders: JobRecorders, decided: DecidedEnd): void {
  const told = endOf(decided);
  if (told !== undefined) recorders.ending(told);
}

function endOf(decided: DecidedEnd): JobEnd | undefined {
  const { job, address, record, end, at } = decided;
  const outcome = outcomeOf(end);
  if (outcome === 'parked' || outcome === 'stale') return undefined;
  // What had not begun goes on as if nothing had been.
  if (record === undefined && (outcome === 'lost' || outcome === 'handedBack')) return undefined;
  return {
    job,
    address,
    run: record?.run,
    at,
    outcome,
    ...('result' in end ? { result: end.result } : {}),
    reason: reasonOf(decided),
    again: againOf(end, job, at),
  };
}

/** For a run whose outcome doesn't count. */
const REFUSED: EndReason = {
  type: 'OutcomeRefused',
  message: 'its ledger did not take the outcome: the job had been given to another run',
};

function reasonOf({ end, abortReason }: DecidedEnd): EndReason | undefined {
  switch (end.kind) {
    case 'failed':
    case 'bury':
      return end.reason;
    case 'retry':
      return end.reason;
    case 'cancelled':
      return { type: 'ROGER_JOB_CANCELLED', message: end.reason };
    case 'discarded':
      return end.reason;
    case 'lost':
    case 'handBack':
      return abortReason === undefined
        ? end.kind === 'lost'
          ? REFUSED
          : undefined
        : { type: typeOfError(abortReason), message: abortReason.message };
    case 'hold':
      return { type: 'Held', message: end.why };
    case 'done':
      return undefined;
  }
}

function againOf(end: End, job: Job | undefined, at: number): JobEnd['again'] {
  if (end.kind !== 'retry' || job === undefined) return undefined;
  return { attempt: end.changes.attempt ?? job.attempt, at: at + end.afterSeconds * 1_000 };
}
