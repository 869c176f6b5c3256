// A job definition as the catalogue shows it, and the row that it is kept in.
import type { JobDefinition } from 'nestjs-roger';
import type { NewDefinitionRow, ShownRow } from './definition-store';
import type { JsonSchema } from './args-schema';
import { schemaOfDto } from './args-schema';

/** A job definition, of code or made at run time. */
export interface CataloguedJob {
  readonly name: string;
  /** What people call it. @default its name */
  readonly title: string;
  /** Where it stands in the list, lower ones first. */
  readonly order: number;
  /** False: `enqueue` refuses it, and what is queued is held. */
  readonly isActive: boolean;
  /** `code`: a class under `@RogerJob`; `runtime`: made by `JobCatalog.create`. */
  readonly source: 'code' | 'runtime';
  /** Of one made at run time: the name of the job whose handler takes it. */
  readonly handler: string | undefined;
  /** Undefined where it follows from the args. */
  readonly queue: string | undefined;
  /** Undefined: as the module says. */
  readonly maxExecutionTimeSeconds: number | undefined;
  /**
   * What becomes of a failure: `true`: retried after the levels of its queue or the module; a list: after these seconds;
   * `false`: the job is over; `'rule'`: a function decides.
   */
  readonly retries: boolean | 'rule' | readonly number[];
  /** Of jobs that don't say their own. */
  readonly priority: number;
  /** Of its args; undefined where nothing is known of them. */
  readonly schema: JsonSchema | undefined;
  readonly updatedAt: Date;
}

/** What the class says. */
export function rowOfCode(definition: JobDefinition, now: number): NewDefinitionRow {
  const { name, title, order, queue, argsClass } = definition;
  const schema = argsClass === undefined ? undefined : schemaOfDto(argsClass);
  return {
    name,
    source: 'code',
    title: title ?? null,
    sort_order: order ?? 0,
    handler: null,
    queue: typeof queue === 'string' ? queue : null,
    ...limitsOf(definition),
    args_schema: schema === undefined ? null : JSON.stringify(schema),
    is_active: 1,
    updated_at: now,
  };
}

export function cataloguedOf(row: ShownRow): CataloguedJob {
  const { of_handler, handlers_queue, handlers_limit, handlers_retries, handlers_priority } = row;
  // Its handler's as they are by now; without one there is only what was noted when it was made.
  const limit = of_handler === null ? row.max_execution_time_seconds : handlers_limit;
  return {
    name: row.name,
    title: row.title ?? row.name,
    order: Number(row.sort_order),
    isActive: Number(row.is_active) === 1,
    source: row.source,
    handler: row.handler ?? undefined,
    queue: row.queue ?? handlers_queue ?? undefined,
    maxExecutionTimeSeconds: limit ?? undefined,
    retries: JSON.parse(handlers_retries ?? row.retries) as CataloguedJob['retries'],
    priority: Number(handlers_priority ?? row.priority),
    schema: row.args_schema === null ? undefined : (JSON.parse(row.args_schema) as JsonSchema),
    updatedAt: new Date(Number(row.updated_at)),
  };
}

/** What jobs have from the class whose handler takes them. */
export function limitsOf(
  definition: JobDefinition,
): Pick<NewDefinitionRow, 'max_execution_time_seconds' | 'retries' | 'priority'> {
  return {
    max_execution_time_seconds: definition.maxExecutionTimeSeconds ?? null,
    retries: JSON.stringify(retriesOf(definition)),
    priority: definition.priority ?? 0,
  };
}

function retriesOf({ retryable, retryLevels, retryRule }: JobDefinition): CataloguedJob['retries'] {
  if (retryRule !== undefined) return 'rule';
  return retryable ? (retryLevels ?? true) : false;
}
