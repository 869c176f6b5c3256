// The decorators that an app puts on its classes and parameters.
import { noteJobOptions } from '../job/define-job';
import type { JobClass, JobOptions } from '../job/job-definition';

/**
 * Makes a provider the handler of a job. List the class in the providers of any module of a worker app; an app that only
 * enqueues needs just the class. The class may be singleton (default), request-scoped or transient (a fresh instance per
 * job), and may use Nest's guards, pipes, interceptors and exception filters on itself or on `perform`; those that are
 * global to the app don't apply.
 *
 * @throws InvalidJobDefinitionError at the start of the app (or at `enqueue`) when the options or the class are wrong.
 *
 * @example
 * ```ts
 * import { IsEmail, IsInt } from 'class-validator';
 * import { JobContext, JobHandler, RogerJob } from 'nestjs-roger';
 *
 * export class WelcomeMail {
 *   \@IsInt() userId!: number;
 *   \@IsEmail() address!: string;
 * }
 *
 * \@RogerJob({ name: 'welcome-mail', queue: 'mail', args: WelcomeMail, retryable: { levels: [1, 10, 60] } })
 * export class WelcomeMailJob implements JobHandler<WelcomeMail> {
 *   async perform(args: WelcomeMail, { logger }: JobContext): Promise<void> {
 *     logger.log(`Welcome, ${args.address}`);
 *   }
 * }
 * ```
 */
export function RogerJob<Args = never>(options: JobOptions<Args> = {}): (target: JobClass) => void {
  return (target) => {
    noteJobOptions(target, options);
  };
}
