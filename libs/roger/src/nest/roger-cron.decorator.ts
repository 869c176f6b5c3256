// The decorator by which a job class says when it recurs.
import type { CronOptions } from '../cron/cron-definition';
import { noteCron } from '../cron/cron-definition';
import type { JobClass } from '../job/job-definition';

/**
 * Enqueues the job at each tick of a cron expression, once in the whole cluster. Stands on a class under `@RogerJob`,
 * several times if you like, each with a `name` of its own. Five fields (minute, hour, day of month, month, day of week),
 * six with seconds before them, or a nickname such as `@hourly`.
 *
 * Every worker that has the class declares it at its start; a changed expression or zone replaces the former one.
 *
 * @throws InvalidJobDefinitionError at the start of the app when the expression, the zone, the args or a name is wrong.
 *
 * @example
 * ```ts
 * import { RogerCron, RogerJob } from 'nestjs-roger';
 *
 * \@RogerJob({ name: 'clean-up' })
 * \@RogerCron('0 3 * * *', { timeZone: 'Europe/Berlin' })
 * \@RogerCron('@hourly', { name: 'clean-up-quick', args: { quick: true } })
 * export class CleanUp {
 *   perform(args: { quick?: boolean }): void {
 *     console.log(args.quick === true ? 'a little' : 'all');
 *   }
 * }
 * ```
 */
export function RogerCron(expression: string, options: CronOptions = {}): (target: JobClass) => void {
  return (target) => {
    noteCron(target, expression, options);
  };
}
