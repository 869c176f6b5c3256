// The delays between the attempts of a job that fails.
import { describe } from './names';

/** Seconds before the 1st, 2nd, … retry, for about an hour in all. */
export const DEFAULT_RETRY_LEVELS: readonly number[] = [1, 3, 5, 10, 20, 35, 60, 100, 200, 400, 1000, 1800];

const MAX_LEVEL_SECONDS = 7 * 24 * 3600;
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
