// Decides what becomes of a job whose attempt has failed. Knows levels, not brokers.
import type { Job } from '../job/job';
import type { JobDefinition, RetryRule } from '../job/job-definition';
import { describe } from '../job/names';
import { jittered, nearestLevel } from '../job/retry-levels';
import { BuryJob, isDelayMs, RetryJob } from '../job/verdicts';
import type { AfterFailure } from './callbacks';

/** What holds where the definition says nothing. */
export interface RetryDefaults {
  /** Those of the job's queue, or of the module. */
  readonly levels: readonly number[];
  /** Which part of half a level retries are spread by, to either side; 0: not at all. */
  readonly jitter: number;
  /** Evenly from 0 up to, not including, 1. */
  readonly chance: () => number;
  /** Told when the definition's own function could not be followed. */
  readonly onRuleFailure: (problem: string) => void;
}

const END: AfterFailure = { kind: 'end' };
const BURY: AfterFailure = { kind: 'bury' };

/** The handler's verdict goes before the definition's function, that before `retryable` and the levels. */
export function afterFailure(
  definition: Pick<JobDefinition, 'retryable' | 'retryLevels' | 'retryJitter' | 'retryRule'>,
  job: Pick<Job, 'attempt' | 'maxRetries'>,
  error: Error,
  defaults: RetryDefaults,
): AfterFailure {
  const next = nextOf(definition, job, error, defaults);
  // Its own bound takes retries away, and adds none where its definition has it end.
  return next.kind === 'retry' && job.attempt > (job.maxRetries ?? Infinity) ? BURY : next;
}

function nextOf(
  definition: Pick<JobDefinition, 'retryable' | 'retryLevels' | 'retryJitter' | 'retryRule'>,
  job: Pick<Job, 'attempt' | 'maxRetries'>,
  error: Error,
  defaults: RetryDefaults,
): AfterFailure {
  if (error instanceof BuryJob) return BURY;
  if (error instanceof RetryJob) {
    return error.delayMs === undefined ? nextLevel(definition, job, defaults) : after(error.delayMs);
  }
  const { retryable, retryRule } = definition;
  const answer =
    retryRule === undefined ? retryable : ask(retryRule, error, job.attempt, defaults.onRuleFailure);
  if (typeof answer === 'object') return after(answer.delayMs);
  return answer ? nextLevel(definition, job, defaults) : END;
}

/** The seconds after which a job comes back that is to wait for so long. */
export function secondsFor(delayMs: number): number {
  return nearestLevel(Math.max(1, Math.ceil(delayMs / 1000)));
}

/**
 * The n-th failed attempt is followed by the n-th level; after the last one the job is buried, unless it is to have more
 * retries than there are levels: these come after the last level each.
 */
function nextLevel(
  { retryLevels, retryJitter }: Pick<JobDefinition, 'retryLevels' | 'retryJitter'>,
  { attempt, maxRetries = 0 }: Pick<Job, 'attempt' | 'maxRetries'>,
  { levels, jitter, chance }: RetryDefaults,
): AfterFailure {
  const all = retryLevels ?? levels;
  const level = all[attempt - 1] ?? (attempt <= maxRetries ? all.at(-1) : undefined);
  if (level === undefined) return BURY;
  const spread = retryJitter === undefined ? jitter : Number(retryJitter);
  return { kind: 'retry', afterSeconds: jittered(level, spread, chance()) };
}

function after(delayMs: number): AfterFailure {
  return { kind: 'retry', afterSeconds: secondsFor(delayMs) };
}

/** What can't be followed counts as `true`: better once too often than a job lost to a slip. */
function ask(
  rule: RetryRule,
  error: Error,
  attempt: number,
  onFailure: (problem: string) => void,
): boolean | { readonly delayMs: number } {
  let answer: unknown;
  try {
    answer = rule(error, attempt);
  } catch (thrown) {
    onFailure(`it threw ${thrown instanceof Error ? thrown.message : describe(thrown)}`);
    return true;
  }
  if (typeof answer === 'boolean') return answer;
  const { delayMs } = (answer ?? {}) as { readonly delayMs?: unknown };
  if (isDelayMs(delayMs)) return { delayMs };
  // Not waited for; and what it rejects with must not end the process.
  if (answer instanceof Promise) answer.catch(() => undefined);
  onFailure(
    answer instanceof Promise
      ? 'it must answer at once, not by a promise'
      : `it answered ${delayMs === undefined ? describe(answer) : `delayMs ${describe(delayMs)}`}, which is neither true, false nor { delayMs } of at most a week`,
  );
  return true;
}

/**
 * Seconds before a job that this node doesn't know is offered again, to whichever node takes it then; undefined when
 * it has been offered often enough. Short at first, in all about five minutes: the time a rolling deploy may take.
 */
export function afterUnknown(timesHandedOn: number): number | undefined {
  return HAND_ON_LEVELS[timesHandedOn];
}

const HAND_ON_LEVELS: readonly number[] = [1, 1, 3, 3, 5, 5, 10, 10, 20, 20, 35, 60, 60, 60];
