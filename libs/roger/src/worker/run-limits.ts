// How long runs may take, by the app's word and by the broker's.
import { JobTimeoutError } from '../job/errors';
import type { Job } from '../job/job';
import type { JobDefinition } from '../job/job-definition';

export interface RunLimits {
  /** Where a definition doesn't say its own. */
  readonly maxExecutionTimeSeconds: number | undefined;
  /** How long a run may take to end once it was told to. */
  readonly abortGraceMs: number;
  /** After so long the broker takes an unsettled job away; undefined: it doesn't. */
  readonly brokerConsumerTimeoutMs: number | undefined;
}

/** When to end a run. */
export interface RunLimit {
  readonly afterMs: number;
  readonly error: () => JobTimeoutError;
}

/** An ended run is to be settled well before the broker takes its job away. */
const BROKER_MARGIN_MS = 60_000;

/** By the job, its definition or the module; undefined: as long as it takes. */
export function ownLimit(
  definition: JobDefinition,
  limits: RunLimits,
  job: Pick<Job, 'maxExecutionTimeSeconds'> = {},
): RunLimit | undefined {
  const seconds =
    job.maxExecutionTimeSeconds ?? definition.maxExecutionTimeSeconds ?? limits.maxExecutionTimeSeconds;
  if (seconds === undefined) return undefined;
  const afterMs = seconds * 1_000;
  return { afterMs, error: () => new JobTimeoutError(afterMs, 'its maxExecutionTimeSeconds') };
}

/** By the broker, for a job that was delivered so long ago; undefined: it doesn't limit. */
export function brokerLimit(limits: RunLimits, heldMs: number): RunLimit | undefined {
  const limitMs = longestRunMs(limits);
  if (limitMs === undefined) return undefined;
  return {
    // By the second: timers of one length are cheap.
    afterMs: Math.max(0, limitMs - (heldMs - (heldMs % 1_000))),
    error: () =>
      new JobTimeoutError(
        limitMs,
        `the broker takes jobs away that are not settled within ${limits.brokerConsumerTimeoutMs ?? 0} ms; ` +
          `raise its consumer_timeout and brokerConsumerTimeoutMs with it, or split the job`,
      ),
  };
}

/** One line for each definition that may run longer than the broker lets it. */
export function warningsOf(definitions: Iterable<JobDefinition>, limits: RunLimits): string[] {
  const limitMs = longestRunMs(limits);
  if (limitMs === undefined) return [];
  return [...definitions].flatMap((definition) => {
    const own = ownLimit(definition, limits);
    if (own === undefined || own.afterMs <= limitMs) return [];
    return [
      `Job ${definition.name} may run ${own.afterMs / 1_000} s (maxExecutionTimeSeconds), but it is ended after ` +
        `${limitMs / 1_000} s: the broker takes jobs away that are not settled within ` +
        `${limits.brokerConsumerTimeoutMs ?? 0} ms. Raise its consumer_timeout and brokerConsumerTimeoutMs with it.`,
    ];
  });
}

function longestRunMs({ brokerConsumerTimeoutMs, abortGraceMs }: RunLimits): number | undefined {
  if (brokerConsumerTimeoutMs === undefined) return undefined;
  const marginMs = Math.min(BROKER_MARGIN_MS + abortGraceMs, brokerConsumerTimeoutMs / 2);
  return brokerConsumerTimeoutMs - marginMs;
}
