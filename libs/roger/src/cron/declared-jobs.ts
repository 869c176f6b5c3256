// Gathers what the classes of this node declare to recur, and refuses at the start what can't.
import { classNameOf } from '../job/define-job';
import { InvalidJobDefinitionError, RogerError } from '../job/errors';
import type { JobDefinition } from '../job/job-definition';
import type { DeclaredSchedule } from '../ledger/schedules';
import type { CronDefinition } from './cron-definition';
import { readCrons } from './cron-definition';
import type { RecurringJobParts } from './recurring-job';
import { declarationOf } from './recurring-job';

/**
 * @param configured the partitions that this node serves
 * @throws InvalidJobDefinitionError
 */
export async function declaredJobs(
  parts: RecurringJobParts,
  definitions: Iterable<JobDefinition>,
  configured: readonly string[],
): Promise<DeclaredSchedule[]> {
  const byName = new Map<string, CronDefinition>();
  for (const definition of definitions) {
    for (const cron of readCrons(definition)) {
      const other = byName.get(cron.name);
      if (other !== undefined) {
        const otherClass = classNameOf(other.definition.jobClass);
        throw refusal(
          cron,
          `${otherClass} declares a recurring job of that name, too; give it a { name } of its own`,
        );
      }
      byName.set(cron.name, cron);
    }
  }
  const declared: DeclaredSchedule[] = [];
  for (const cron of byName.values()) {
    for (const partition of configured) {
      if (cron.partitions?.includes(partition) ?? true) declared.push(await declare(parts, cron, partition));
    }
  }
  return declared;
}

async function declare(
  parts: RecurringJobParts,
  cron: CronDefinition,
  partition: string,
): Promise<DeclaredSchedule> {
  const { name, definition, args, queue, expression, timeZone, catchUp } = cron;
  const { jobClass } = definition;
  const rule = { expression, timeZone, catchUp };
  try {
    return await declarationOf(parts, {
      partition,
      name,
      source: 'definition',
      jobClass,
      args,
      queue,
      ...rule,
    });
  } catch (error) {
    if (!(error instanceof RogerError) || error instanceof InvalidJobDefinitionError) throw error;
    throw refusal(cron, error.message, error);
  }
}

function refusal({ definition, name }: CronDefinition, problem: string, cause?: unknown): Error {
  const problemOfCron = `@RogerCron ${name}: ${problem}`;
  return new InvalidJobDefinitionError(classNameOf(definition.jobClass), problemOfCron, { cause });
}
