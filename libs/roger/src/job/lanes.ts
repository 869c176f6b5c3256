// The lanes of a queue, and which one a job goes by. Knows priorities, not brokers.
import type { Job } from './job';
import { describe } from './names';

/**
 * A queue's jobs stand on its normal lane. Those that are to run at once, those of a priority, and those that were
 * released by their execution key have lanes of their own, each made when first needed.
 */
export type QueueLane = 'normal' | 'express' | 'now' | PriorityLane;

export type PriorityLane = `p${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9}`;

const MAX_PRIORITY = 9;

/** All but the normal one, in the order in which workers are offered to them; the normal one comes last. */
export const EXTRA_LANES: readonly Exclude<QueueLane, 'normal'>[] = [
  'now',
  'p9',
  'p8',
  'p7',
  'p6',
  'p5',
  'p4',
  'p3',
  'p2',
  'p1',
  'express',
];

/** All, in that order. */
export const LANES: readonly QueueLane[] = [...EXTRA_LANES, 'normal'];

/** Where a lane stands in the order: the smaller comes first. */
export function rankOf(lane: QueueLane): number {
  return LANES.indexOf(lane);
}

export function isLane(value: unknown): value is QueueLane {
  return LANES.includes(value as QueueLane);
}

/** Where a job belongs that comes back, or is due. */
export function homeLaneOf({ priority = 0 }: Pick<Job, 'priority'>): PriorityLane | 'normal' {
  return priority === 0 ? 'normal' : (`p${priority}` as PriorityLane);
}

/** Where a job goes when it is sent for the first time. */
export function firstLaneOf(job: Pick<Job, 'priority' | 'runNow'>): Exclude<QueueLane, 'express'> {
  return job.runNow === true ? 'now' : homeLaneOf(job);
}

/** The problem with a priority as an app says it, or undefined when it is one. */
export function problemOfPriority(priority: unknown): string | undefined {
  return Number.isInteger(priority) && (priority as number) >= 0 && (priority as number) <= MAX_PRIORITY
    ? undefined
    : `${describe(priority)} is no priority: a whole number from 0 to ${MAX_PRIORITY}, of which ${MAX_PRIORITY} goes first`;
}
