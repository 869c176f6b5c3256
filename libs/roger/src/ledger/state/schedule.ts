// A recurring job as a ledger keeps it: its rule, its job, how far it has ticked. Knows times, not cron expressions.
import type { Operation, ScheduleRow, ScheduleRule, ScheduleSource, TickReply } from '../operation';

/** Clocks differ a little; whoever comes earlier than this by the keeper's clock is told to wait. */
const EARLY_MS = 1_000;
/** So long a tick is in its time: a take-over, or a node that hangs, makes none be missed. */
export const TICK_GRACE_MS = 60_000;

export interface Schedule extends ScheduleRule {
  readonly name: string;
  readonly source: ScheduleSource;
  /** The name of its job. */
  readonly job: string;
  readonly queue: string;
  readonly queueKey: string | undefined;
  readonly executionKey: string | undefined;
  /** The job's bytes, one per character; its id and time are put in at each tick. */
  readonly body: string;
  /** Another one with each change of the rule: a tick of the former one doesn't count. */
  readonly revision: number;
  /** Ticks up to here have been taken, or don't count; in ms since the epoch. */
  after: number;
  /** The last tick that was taken. */
  last: number | undefined;
  paused: boolean;
}

/** What is declared becomes of a schedule: the same, another that goes on from where it was, or one that begins. */
export function declared(
  former: Schedule | undefined,
  {
    name,
    source,
    job,
    queue,
    queueKey,
    executionKey,
    expression,
    timeZone,
    catchUp,
  }: Operation & {
    readonly op: 'schedule';
  },
  body: string,
  at: number,
  nextRevision: () => number,
): Schedule {
  const isSameRule = former?.expression === expression && former.timeZone === timeZone;
  const isSame =
    isSameRule &&
    former.catchUp === catchUp &&
    former.source === source &&
    former.job === job &&
    former.queue === queue &&
    former.queueKey === queueKey &&
    former.executionKey === executionKey &&
    former.body === body;
  if (isSame) return former;
  return {
    ...{ name, source, job, queue, queueKey, executionKey, body, expression, timeZone, catchUp },
    revision: isSameRule ? former.revision : nextRevision(),
    // One that is seen first, or ticks at other times from now on, has missed nothing.
    after: isSameRule ? former.after : Math.max(former?.after ?? 0, at),
    last: former?.last,
    paused: former?.paused ?? false,
  };
}

/** Why a tick is not taken; undefined: it is. */
export function refusalOf(
  schedule: Schedule,
  { at, revision }: { readonly at: number; readonly revision: number },
  now: number,
): TickReply | undefined {
  if (schedule.revision !== revision) return { tick: 'unknown' };
  if (at <= schedule.after) return { tick: 'late' };
  if (at > now + EARLY_MS) return { tick: 'early', waitMs: at - now };
  if (schedule.paused) return { tick: 'paused' };
  if (schedule.catchUp === 'skip' && now - at > TICK_GRACE_MS) return { tick: 'missed' };
  return undefined;
}

/** The id of a tick's job. */
export function tickId(name: string, at: number): string {
  return `cron/${name}/${new Date(at).toISOString().replace('.000Z', 'Z')}`;
}

/** Whether jobs can be made of the bytes. They are untrusted, and an error would stop every keeper. */
export function isJobTemplate(body: string): boolean {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The bytes of the job that begins. Its texts stay one byte per character, as they came. */
export function jobOf({ body }: Schedule, id: string, queuedAt: number): string {
  return JSON.stringify({ ...(JSON.parse(body) as object), id, queuedAt });
}

export function rowOf(partition: string, schedule: Schedule): ScheduleRow {
  const { name, job, source, expression, timeZone, catchUp, revision, after, last, paused } = schedule;
  return { partition, name, job, source, expression, timeZone, catchUp, revision, after, last, paused };
}
