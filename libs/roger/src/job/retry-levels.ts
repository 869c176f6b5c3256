// The delays between the attempts of a job that fails.
import { describe } from './names';

/** Seconds before the 1st, 2nd, … retry, for about an hour in all. */
export const DEFAULT_RETRY_LEVELS: readonly number[] = [1, 3, 5, 10, 20, 35, 60, 100, 200, 400, 1000, 1800];

/** The longest delay. */
export const MAX_LEVEL_SECONDS = 7 * 24 * 3600;
const MAX_LEVELS = 100;

/** The problem with a list of retry levels, or undefined when it is fine. */
export function problemOfRetryLevels(levels: unknown): string | undefined {
  if (!Array.isArray(levels) || levels.length === 0) {
    return `retry levels must be a list of at least one number of seconds, not ${Array.isArray(levels) ? 'an empty one' : describe(levels)}; for no retries say retryable: false`;
  }
  if (levels.length > MAX_LEVELS) return `at most ${MAX_LEVELS} retry levels, not ${levels.length}`;
  const wrong = levels.findIndex(
    (level) => !Number.isInteger(level) || (level as number) < 1 || (level as number) > MAX_LEVEL_SECONDS,
  );
  if (wrong !== -1) {
    return `a retry level must be a whole number of seconds from 1 to ${MAX_LEVEL_SECONDS} (a week), not ${describe(levels[wrong])}`;
  }
  const isSorted = levels.every(
    (level, index) => index === 0 || (levels[index - 1] as number) <= (level as number),
  );
  return isSorted ? undefined : `retry levels must not get shorter: ${levels.join(', ')}`;
}

/** More would be for ever, and the counts of attempts with them. */
const MAX_RETRIES = 10_000;

/** The problem with a `maxRetries`, or undefined when it is one. */
export function problemOfMaxRetries(maxRetries: unknown): string | undefined {
  return Number.isInteger(maxRetries) && (maxRetries as number) >= 0 && (maxRetries as number) <= MAX_RETRIES
    ? undefined
    : `must be a whole number from 0 (one attempt only) to ${MAX_RETRIES}, not ${describe(maxRetries)}`;
}

/** Delays that people name, in seconds: each is a step of the ladder, so that they are kept to the second. */
const ROUND_DELAYS: readonly number[] = [
  10,
  20,
  30,
  60,
  120,
  300,
  600,
  900,
  1800,
  3600,
  7200,
  10_800,
  21_600,
  43_200,
  86_400,
  172_800,
  259_200,
  MAX_LEVEL_SECONDS,
];
const MAX_STEP = 1.1;
/** The levels that a computed delay can come to. */
export const LADDER: readonly number[] = ladder();

/**
 * The level for a delay that somebody computed: the first one that is not shorter. Each level is a queue on the broker, so
 * there are about 140 in all: every second up to 10 s, then steps of at most a tenth (rounded to seconds), up to a week.
 */
export function nearestLevel(seconds: number): number {
  return LADDER.find((level) => level >= seconds) ?? MAX_LEVEL_SECONDS;
}

function ladder(): readonly number[] {
  const levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  for (const [index, from] of ROUND_DELAYS.entries()) {
    const to = ROUND_DELAYS[index + 1] ?? from;
    const steps = Math.ceil(Math.log(to / from) / Math.log(MAX_STEP));
    for (let step = 0; step < steps; step++) levels.push(Math.round(from * (to / from) ** (step / steps)));
  }
  return [...levels, MAX_LEVEL_SECONDS];
}

const SPREAD = [-1, -0.5, 0, 0.5, 1] as const;

/**
 * The level, or one of the two before and the two after it, spread over it by a half times `jitter` (0 to 1) to either
 * side: never less than half of it. The others are of the ladder of {@link nearestLevel}, for they too are queues.
 * @param chance evenly from 0 up to, not including, 1
 */
export function jittered(level: number, jitter: number, chance: number): number {
  const offset = SPREAD[Math.floor(chance * SPREAD.length)] ?? 0;
  return jitter === 0 || offset === 0 ? level : nearestLevel(level * (1 + (jitter / 2) * offset));
}
