// How long an attempt may run, as an app says it.
import { describe } from './names';

/** What a timer of Node holds. */
const MAX_SECONDS = Math.floor((2 ** 31 - 1) / 1_000);

/** The problem with a `maxExecutionTimeSeconds`, or undefined when it is one. */
export function problemOfExecutionTime(seconds: unknown): string | undefined {
  return typeof seconds === 'number' && seconds > 0 && seconds <= MAX_SECONDS
    ? undefined
    : `must be a number of seconds, more than 0 and at most ${MAX_SECONDS}, not ${describe(seconds)}`;
}
