// When a delayed job is due, in whole seconds, and the binary levels that make up its delay.
import { describe } from './names';

/** Levels of 1, 2, 4, … seconds. */
export const DELAY_LEVELS = 28;

/** All levels together: eight and a half years. */
export const MAX_DELAY_SECONDS = 2 ** DELAY_LEVELS - 1;

/** How much earlier than asked a job may come, so that it doesn't come much later. */
const EARLIEST_SECONDS = 0.25;

/** In how many whole seconds a job is due; 0: at once. At most a quarter of a second too early. */
export function secondsUntil(runAt: number, now: number): number {
  const seconds = Math.ceil((runAt - now) / 1_000 - EARLIEST_SECONDS);
  return Math.min(Math.max(seconds, 0), MAX_DELAY_SECONDS);
}

/** The levels that make up a delay, the longest first. */
export function levelsOf(seconds: number): number[] {
  const levels: number[] = [];
  for (let level = DELAY_LEVELS - 1; level >= 0; level--) if (hasLevel(seconds, level)) levels.push(level);
  return levels;
}

/** The longest level of a delay of at least a second. */
export function longestLevelOf(seconds: number): number {
  return 31 - Math.clz32(seconds);
}

export function hasLevel(seconds: number, level: number): boolean {
  return ((seconds >> level) & 1) === 1;
}

/** How long a level holds a job. */
export function secondsOfLevel(level: number): number {
  return 2 ** level;
}

/** The time at which a job is due, in whole ms since the epoch; undefined: at once. To be given what has no problem. */
export function dueTimeOf(
  { delayMs, runAt }: { readonly delayMs?: number | undefined; readonly runAt?: Date | number | undefined },
  now: number,
): number | undefined {
  const due = delayMs === undefined ? runAt : now + delayMs;
  if (due === undefined) return undefined;
  const time = Math.round(Number(due));
  return secondsUntil(time, now) === 0 ? undefined : time;
}

/** The problem with a delay, or undefined when it is fine. */
export function problemOfDelayMs(delayMs: unknown): string | undefined {
  if (typeof delayMs !== 'number' || !Number.isFinite(delayMs) || delayMs < 0) {
    return `${describe(delayMs)} is no delay: a number of milliseconds, 0 or more`;
  }
  return delayMs > MAX_DELAY_SECONDS * 1_000 ? `${describe(delayMs)} ms ${TOO_LATE}` : undefined;
}

/** The problem with the time of a job, or undefined when it is fine. */
export function problemOfRunAt(runAt: unknown, now: number): string | undefined {
  const time = runAt instanceof Date ? runAt.getTime() : runAt;
  if (typeof time !== 'number' || !Number.isFinite(time)) {
    const shown = runAt instanceof Date ? 'an invalid Date' : describe(runAt);
    return `${shown} is no time: a Date, or milliseconds since the epoch`;
  }
  return time - now > MAX_DELAY_SECONDS * 1_000 ? `${describe(time)} ${TOO_LATE}` : undefined;
}

const TOO_LATE = `is too late: at most ${MAX_DELAY_SECONDS} seconds from now, which are eight and a half years`;
