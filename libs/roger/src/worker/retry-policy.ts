// Decides what becomes of a job whose attempt has failed. Knows levels, not brokers.
import type { Job } from '../job/job';
import type { JobDefinition } from '../job/job-definition';
import type { AfterFailure } from './callbacks';

/** The n-th failed attempt is followed by the n-th level; after the last one the job is buried. */
export function afterFailure(
  definition: Pick<JobDefinition, 'retryable' | 'retryLevels'>,
  job: Pick<Job, 'attempt'>,
  moduleLevels: readonly number[],
): AfterFailure {
  if (!definition.retryable) return { kind: 'end' };
  const afterSeconds = (definition.retryLevels ?? moduleLevels)[job.attempt - 1];
  return afterSeconds === undefined ? { kind: 'bury' } : { kind: 'retry', afterSeconds };
}

/**
 * Seconds before a job that this node doesn't know is offered again, to whichever node takes it then; undefined when
 * it has been offered often enough. Short at first, in all about five minutes: the time a rolling deploy may take.
 */
export function afterUnknown(timesHandedOn: number): number | undefined {
  return HAND_ON_LEVELS[timesHandedOn];
}

const HAND_ON_LEVELS: readonly number[] = [1, 1, 3, 3, 5, 5, 10, 10, 20, 20, 35, 60, 60, 60];
