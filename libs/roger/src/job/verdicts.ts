// What a handler throws to say itself what becomes of its job.
import { InvalidArgumentError } from './errors';
import { describe } from './names';
import { MAX_LEVEL_SECONDS } from './retry-levels';

/** What the verdicts have in common: they are thrown, and they are no failures of the handler's code. */
export abstract class JobVerdict extends Error {}

/**
 * Thrown by a handler: this attempt has failed, try again. With `delayMs` after that long, as often as it is thrown and
 * also where the definition is not retryable; without, after the next retry level, and buried when none is left. The
 * attempt counts, and `onError` is called.
 *
 * The delay becomes whole seconds, at least 1, and is never shortened: exact up to 10 s, above that up to a tenth longer.
 * At most a week.
 *
 * @example
 * ```ts
 * import { RetryJob, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Fetch {
 *   async perform({ url }: { url: string }): Promise<void> {
 *     const { status, headers } = await fetch(url);
 *     const seconds = Number(headers.get('retry-after') ?? 60);
 *     if (status === 429) throw new RetryJob({ delayMs: seconds * 1000, reason: 'told to come later' });
 *   }
 * }
 * ```
 */
export class RetryJob extends JobVerdict {
  readonly delayMs: number | undefined;

  /** @throws InvalidArgumentError when the delay is no number of ms from 0 to a week */
  constructor({ delayMs, reason }: { readonly delayMs?: number; readonly reason?: string } = {}) {
    super(reason ?? 'the handler asks for another attempt');
    this.name = 'RetryJob';
    if (delayMs !== undefined) refuseDelay(delayMs);
    this.delayMs = delayMs;
  }
}

/**
 * Thrown by a handler: no further attempt can help, keep the job for an operator. It is buried at once with this reason,
 * whatever levels are left and also where the definition is not retryable; `onError` and `onBuried` are called.
 *
 * @example
 * ```ts
 * import { BuryJob, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Charge {
 *   perform({ cents }: { cents: number }): void {
 *     if (cents > 1_000_000) throw new BuryJob('somebody has to look at so large a sum');
 *   }
 * }
 * ```
 */
export class BuryJob extends JobVerdict {
  constructor(reason: string) {
    super(reason);
    this.name = 'BuryJob';
  }
}

/**
 * Thrown by a handler: there is nothing (more) to do. The job is over, and the reason is in the log. It is a decision and
 * no failure, so neither `onError` nor `afterRun` is called.
 *
 * @example
 * ```ts
 * import { DiscardJob, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Remind {
 *   perform({ userId }: { userId?: number }): void {
 *     if (userId === undefined) throw new DiscardJob('the user is gone');
 *   }
 * }
 * ```
 */
export class DiscardJob extends JobVerdict {
  constructor(reason: string) {
    super(reason);
    this.name = 'DiscardJob';
  }
}

/**
 * Thrown by a handler: it is too early. The job comes back after `delayMs` (see {@link RetryJob} for its grain) as the
 * same attempt, as often as it is thrown; neither `onError` nor `afterRun` is called. Its keys are as between two attempts:
 * the queue key stays taken, the next of its execution key has its turn.
 *
 * @example
 * ```ts
 * import { RogerJob, SnoozeJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class AwaitExport {
 *   async perform({ url }: { url: string }): Promise<void> {
 *     const { status } = await fetch(url, { method: 'HEAD' });
 *     if (status === 404) throw new SnoozeJob({ delayMs: 30_000 });
 *   }
 * }
 * ```
 */
export class SnoozeJob extends JobVerdict {
  readonly delayMs: number;

  /** @throws InvalidArgumentError when the delay is no number of ms from 0 to a week */
  constructor({ delayMs }: { readonly delayMs: number }) {
    super('the handler asks to be called later');
    this.name = 'SnoozeJob';
    refuseDelay(delayMs);
    this.delayMs = delayMs;
  }
}

function refuseDelay(delayMs: unknown): void {
  if (isDelayMs(delayMs)) return;
  throw new InvalidArgumentError(
    'delayMs',
    `it must be a number of ms from 0 to ${MAX_LEVEL_SECONDS * 1000} (a week), not ${describe(delayMs)}`,
  );
}

/** Whether a job can be delayed for so long. */
export function isDelayMs(delayMs: unknown): delayMs is number {
  return typeof delayMs === 'number' && delayMs >= 0 && delayMs <= MAX_LEVEL_SECONDS * 1000;
}
