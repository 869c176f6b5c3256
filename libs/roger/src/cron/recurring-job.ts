// Makes of a class, its args and a rule what a ledger keeps of a recurring job.
import { checkArgs } from '../job/args-validation';
import { InvalidJobArgsError, JobTooLargeError } from '../job/errors';
import { encodeNewJob } from '../job/job-codec';
import type { JobClass } from '../job/job-definition';
import type { JobRegistry } from '../job/job-registry';
import type { JobQueue } from '../enqueue/job-queue';
import type { ScheduleRule, ScheduleSource } from '../ledger/operation';
import type { DeclaredSchedule } from '../ledger/schedules';

export interface RecurringJobParts {
  readonly jobs: Pick<JobQueue, 'template'>;
  readonly registry: Pick<JobRegistry, 'definitionOf'>;
  readonly maxJobBytes: number;
}

export interface RecurringJob extends ScheduleRule {
  readonly partition: string;
  readonly name: string;
  readonly source: ScheduleSource;
  readonly jobClass: JobClass;
  readonly args: unknown;
  readonly queue: string | undefined;
}

/** The id of a tick is so much longer than that of the job kept. */
const TICK_BYTES = 64;

/** @throws InvalidJobArgsError, InvalidEnqueueOptionsError, JobTooLargeError, NotAJobClassError, InvalidJobDefinitionError */
export async function declarationOf(
  { jobs, registry, maxJobBytes }: RecurringJobParts,
  { partition, name, source, jobClass, args, queue, expression, timeZone, catchUp }: RecurringJob,
): Promise<DeclaredSchedule> {
  const { argsClass } = registry.definitionOf(jobClass);
  const options = { partition, id: `cron/${name}`, ...(queue === undefined ? {} : { queue }) };
  // The same at each start, or each start would change it.
  const job = { ...jobs.template(jobClass, args as never, options), queuedAt: 0 };
  const body = encodeNewJob(job);
  if (body.length + TICK_BYTES > maxJobBytes) {
    throw new JobTooLargeError(job.name, body.length + TICK_BYTES, maxJobBytes);
  }
  if (argsClass !== undefined) {
    const checked = await checkArgs(argsClass, job.args);
    if ('problems' in checked) throw new InvalidJobArgsError(job.name, checked.problems);
  }
  const { queueKey, executionKey } = job;
  const rule = { expression, timeZone, catchUp };
  return { partition, name, source, job: job.name, queue: job.queue, queueKey, executionKey, ...rule, body };
}
