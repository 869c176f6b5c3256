// Works out what a definition says of a job by its args: its queue and its keys.
import { InvalidJobDefinitionError, show } from './errors';
import type { Job } from './job';
import type { JobDefinition } from './job-definition';
import { describe, problemOfKey, problemOfQueueName } from './names';

/** The keys of a job; one that is undefined it hasn't. */
export interface Keys {
  readonly queueKey?: string;
  readonly executionKey?: string;
}

const NONE: Keys = {};

/** Whether a ledger knows the job and has to be told of it: it has a key, or a ledger has sent it, as at a tick. */
export function isOfLedger({ queueKey, executionKey, ledger }: Job): boolean {
  return queueKey !== undefined || executionKey !== undefined || ledger !== undefined;
}

/** @throws InvalidJobDefinitionError when a function throws, or returns what is no key */
export function keysOf(definition: JobDefinition, args: unknown): Keys {
  if (definition.queueKey === undefined && definition.executionKey === undefined) return NONE;
  const queueKey = keyOf(definition, 'queueKey', args);
  const executionKey = keyOf(definition, 'executionKey', args);
  return {
    ...(queueKey === undefined ? {} : { queueKey }),
    ...(executionKey === undefined ? {} : { executionKey }),
  };
}

/** @throws InvalidJobDefinitionError when the function throws, or returns what is no queue name */
export function queueOf(definition: JobDefinition, args: unknown): string {
  const { queue } = definition;
  if (typeof queue === 'string') return queue;
  const found = call(definition, 'queue', queue, args);
  refuse(definition, 'queue', found, problemOfQueueName(found));
  return found as string;
}

function keyOf(
  definition: JobDefinition,
  option: 'queueKey' | 'executionKey',
  args: unknown,
): string | undefined {
  const key = definition[option];
  if (typeof key !== 'function') return key;
  const found = call(definition, option, key, args);
  if (found === undefined || found === null) return undefined;
  const remedy = found instanceof Promise ? '; it must be synchronous' : '; return undefined for no key';
  const problem = problemOfKey(found);
  refuse(definition, option, found, problem === undefined ? undefined : problem + remedy);
  return found as string;
}

function call(
  { jobClass }: JobDefinition,
  option: string,
  find: (args: never) => unknown,
  args: unknown,
): unknown {
  try {
    return find(args as never);
  } catch (thrown) {
    const shown = thrown instanceof Error ? show(thrown.message) : describe(thrown);
    throw new InvalidJobDefinitionError(jobClass.name, `its ${option} function threw ${shown}`, {
      cause: thrown,
    });
  }
}

function refuse(
  { jobClass }: JobDefinition,
  option: string,
  found: unknown,
  problem: string | undefined,
): void {
  if (problem === undefined) return;
  if (found instanceof Promise) found.catch(() => undefined);
  throw new InvalidJobDefinitionError(
    jobClass.name,
    `its ${option} function returned ${describe(found)}: ${problem}`,
  );
}
