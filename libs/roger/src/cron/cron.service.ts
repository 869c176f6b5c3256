// Recurring jobs at run time: made, looked at, held and removed, for the whole cluster.
import { randomBytes } from 'node:crypto';
import { checkArgument } from '../job/check-argument';
import { QueueNotFoundError } from '../job/errors';
import type { ConfiguredQueues } from '../enqueue/known-queues';
import type { JobArgs, JobClass } from '../job/job-definition';
import type { QueueAddress } from '../job/names';
import { problemOfPartitionId, problemOfQueueName } from '../job/names';
import { nearest } from '../job/nearest';
import type { ScheduleRow, ScheduleRule, ScheduleSource } from '../ledger/operation';
import type { Ledgers } from '../ledger/ledgers';
import type { Transport } from '../transport';
import { problemOfCatchUp, problemOfScheduleName } from './cron-definition';
import { CronExpression } from './cron-expression';
import type { RecurringJobParts } from './recurring-job';
import { declarationOf } from './recurring-job';

/** What `schedule` takes besides the expression. */
export interface ScheduleOptions<Args = unknown> {
  /** The IANA time zone by whose clocks it ticks. @default 'UTC' */
  timeZone?: string;
  /** The queue of its jobs. @default the job's */
  queue?: string;
  /** The args of its jobs. @default {} */
  args?: Args;
  /** What becomes of ticks that nobody was there for: `once` makes up the latest one at the next start, `skip` none. @default 'skip' */
  catchUp?: 'once' | 'skip';
}

/** A recurring job of a partition. */
export interface RecurringJobStatus extends ScheduleRule {
  readonly name: string;
  /** The name of its job. */
  readonly job: string;
  /** Whether code declares it, by `@RogerCron`, or `schedule` has made it. */
  readonly source: ScheduleSource;
  /** Its next tick; undefined while it is paused. */
  readonly next: Date | undefined;
  /** The last tick that enqueued its job; undefined: there was none yet. */
  readonly last: Date | undefined;
  readonly paused: boolean;
}

/** What `runNow` did. */
export type RunNowResult =
  | { readonly status: 'enqueued'; readonly jobId: string }
  /** Another job has its queue key. */
  | { readonly status: 'duplicate'; readonly existingJobId: string };

export interface CronServiceParts extends RecurringJobParts {
  readonly schedules: Ledgers['schedules'];
  readonly transport: Pick<Transport, 'depth'>;
  /** What this app is meant to have. */
  readonly configured: Pick<ConfiguredQueues, 'has'>;
}

const OPTION_NAMES: Record<keyof ScheduleOptions, true> = {
  timeZone: true,
  queue: true,
  args: true,
  catchUp: true,
};

/**
 * Recurring jobs of a partition, those under `@RogerCron` and those made here. What it does holds in the whole cluster
 * and outlives restarts; any node may do it, a producer too.
 *
 * Every method asks the ledger of the partition and throws LedgerUnavailableError when that doesn't answer within
 * `ledgerTimeoutMs`, and InvalidArgumentError for an argument that is none, or a name that there is no recurring job of.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { CronService, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob()
 * export class Report {
 *   perform(args: { kind: string }): void {
 *     console.log(args.kind);
 *   }
 * }
 *
 * \@Injectable()
 * export class Reports {
 *   constructor(private readonly crons: CronService) {}
 *
 *   async everyMorning(tenant: string, timeZone: string): Promise<void> {
 *     await this.crons.schedule(tenant, 'morning', Report, '0 7 * * *', { timeZone, args: { kind: 'short' } });
 *   }
 * }
 * ```
 */
export class CronService {
  /** @internal */
  constructor(private readonly parts: CronServiceParts) {}

  /**
   * Makes a recurring job, or another of the one with this name: with the same expression and zone it goes on, with
   * others it begins anew. A paused one stays paused. Safe to repeat.
   * @throws InvalidArgumentError also when code declares one of the name; InvalidJobArgsError, JobTooLargeError,
   * NotAJobClassError, QueueNotFoundError
   */
  async schedule<J extends JobClass>(
    partition: string,
    name: string,
    jobClass: J,
    expression: string,
    options: ScheduleOptions<JobArgs<J>> = {},
  ): Promise<void> {
    checkName(partition, name);
    checkOptions(options);
    const { timeZone = 'UTC', catchUp = 'skip', args = {}, queue } = options;
    const read = CronExpression.read(expression, timeZone);
    if (!(read instanceof CronExpression)) checkArgument(read.culprit, read.message);
    const rule = { expression, timeZone, catchUp };
    const declared = await declarationOf(this.parts, {
      ...{ partition, name, source: 'run time', jobClass, args, queue },
      ...rule,
    });
    await this.refuseUnknownQueue(declared);
    if (await this.parts.schedules.declare(declared)) return;
    checkArgument(
      'name',
      `${name} is declared by @RogerCron, which would come back at the next start; pause it instead`,
    );
  }

  /**
   * Removes a recurring job. Jobs that it has enqueued stay. One that code declares comes back at the next start of a
   * node with that code.
   * @returns whether there was one.
   */
  async unschedule(partition: string, name: string): Promise<boolean> {
    checkName(partition, name);
    return this.parts.schedules.change('unschedule', partition, name);
  }

  /** The recurring jobs of a partition. One that code has declared stays in the list when the code is gone; it ticks no more. */
  async list(partition: string): Promise<RecurringJobStatus[]> {
    checkArgument('partition', problemOfPartitionId(partition));
    return (await this.parts.schedules.list(partition)).map(statusOf);
  }

  /** No tick enqueues its job any more from now on. Jobs that are enqueued run. */
  async pause(partition: string, name: string): Promise<void> {
    checkName(partition, name);
    refuseUnknown(name, await this.parts.schedules.change('pause schedule', partition, name));
  }

  /** Undoes {@link pause}. Ticks of the meantime are not made up for. */
  async resume(partition: string, name: string): Promise<void> {
    checkName(partition, name);
    refuseUnknown(name, await this.parts.schedules.change('resume schedule', partition, name));
  }

  /** Enqueues its job out of turn, also while it is paused. Its ticks go on as if nothing had been. @throws LedgerFullError */
  async runNow(partition: string, name: string): Promise<RunNowResult> {
    checkName(partition, name);
    const jobId = `cron/${name}/now/${randomBytes(9).toString('base64url')}`;
    const reply = await this.parts.schedules.run(partition, name, jobId);
    refuseUnknown(name, reply.found);
    const existingJobId = reply.found ? reply.duplicate : undefined;
    return existingJobId === undefined
      ? { status: 'enqueued', jobId }
      : { status: 'duplicate', existingJobId };
  }

  private async refuseUnknownQueue({ partition, queue }: QueueAddress): Promise<void> {
    const { configured, transport } = this.parts;
    // A worker of this app makes it.
    if (configured.has({ partition, queue })) return;
    if ((await transport.depth({ partition, queue })) === undefined) {
      throw new QueueNotFoundError(partition, queue);
    }
  }
}

function statusOf(row: ScheduleRow): RecurringJobStatus {
  const { name, job, source, expression, timeZone, catchUp, after, last, paused } = row;
  const read = paused ? undefined : CronExpression.read(expression, timeZone);
  const next = read instanceof CronExpression ? read.nextAfter(Math.max(after, Date.now())) : undefined;
  const dateOf = (time: number | undefined): Date | undefined =>
    time === undefined ? undefined : new Date(time);
  const rule = { expression, timeZone, catchUp };
  return { name, job, source, ...rule, next: dateOf(next), last: dateOf(last), paused };
}

function checkName(partition: string, name: string): void {
  checkArgument('partition', problemOfPartitionId(partition));
  checkArgument('name', problemOfScheduleName(name));
}

function checkOptions(options: ScheduleOptions): void {
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, key)) continue;
    checkArgument(key, `unknown option${nearest(key, Object.keys(OPTION_NAMES))}`);
  }
  checkArgument('catchUp', problemOfCatchUp(options.catchUp));
  if (options.queue !== undefined) checkArgument('queue', problemOfQueueName(options.queue));
}

function refuseUnknown(name: string, isKnown: boolean): void {
  if (!isKnown) checkArgument('name', `there is no recurring job ${name} in the partition`);
}
