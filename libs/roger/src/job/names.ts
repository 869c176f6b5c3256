// Which names may stand for partitions, queues and jobs.
import { show } from './errors';

/** What a partition id looks like. It may hold `-`, because a queue's name may not: `<partition>-<queue>` reads one way only. */
const PARTITION_ID = /^[A-Za-z0-9_-]{1,64}$/;
const QUEUE_NAME = /^[a-z0-9_]{1,64}$/;
const JOB_NAME = /^[A-Za-z0-9_.:/-]{1,128}$/;
/** Of a module instance; it stands in injection tokens and before the lines of the log. */
const INSTANCE_NAME = /^[A-Za-z0-9_.:/-]{1,64}$/;
const COMMAND_NAME = /^[A-Za-z0-9_.:/-]{1,128}$/;
/** Commands of Roger's own begin so. */
export const OWN_COMMANDS = 'roger.';
export type OwnCommand = `${typeof OWN_COMMANDS}${string}`;
/** Job ids are printable ASCII, so that they fit every header, log and file name quoting. */
const JOB_ID = /^[\x21-\x7e]{1,128}$/;

/** Keys are held in memory and written with every job. */
const MAX_KEY_LENGTH = 512;

/** Where a job lives: a partition and one of its queues. */
export interface QueueAddress {
  readonly partition: string;
  readonly queue: string;
}

/** The problem with a partition id, or undefined when it is fine. */
export function problemOfPartitionId(id: unknown): string | undefined {
  if (typeof id === 'string' && PARTITION_ID.test(id)) return undefined;
  return `${describe(id)} is no partition id: 1 to 64 of the characters A-Z, a-z, 0-9, _ and -`;
}

/** The problem with a queue name, or undefined when it is fine. */
export function problemOfQueueName(name: unknown): string | undefined {
  if (typeof name === 'string' && QUEUE_NAME.test(name)) return undefined;
  return `${describe(name)} is no queue name: 1 to 64 of the characters a-z, 0-9 and _ (no -)`;
}

/** The problem with a job name, or undefined when it is fine. */
export function problemOfJobName(name: unknown): string | undefined {
  if (typeof name === 'string' && JOB_NAME.test(name)) return undefined;
  return `${describe(name)} is no job name: 1 to 128 of the characters A-Z, a-z, 0-9, _ . : / and -`;
}

/** The problem with the name of a module instance, or undefined when it is fine. */
export function problemOfInstanceName(name: unknown): string | undefined {
  if (typeof name === 'string' && INSTANCE_NAME.test(name)) return undefined;
  return `${describe(name)} is no instance name: 1 to 64 of the characters A-Z, a-z, 0-9, _ . : / and -`;
}

/** The problem with the name of a command, or undefined when it is fine. */
export function problemOfCommandName(name: unknown): string | undefined {
  if (typeof name === 'string' && COMMAND_NAME.test(name)) return undefined;
  return `${describe(name)} is no command name: 1 to 128 of the characters A-Z, a-z, 0-9, _ . : / and -`;
}

/** The problem with the name of a command of the app, or undefined when it is fine. */
export function problemOfOwnCommandName(name: unknown): string | undefined {
  const problem = problemOfCommandName(name);
  if (problem !== undefined || !(name as string).startsWith(OWN_COMMANDS)) return problem;
  return `${describe(name)} begins with ${show(OWN_COMMANDS)}, as Roger's own commands do; choose another name`;
}

/** The problem with a job id, or undefined when it is fine. */
export function problemOfJobId(id: unknown): string | undefined {
  if (typeof id === 'string' && JOB_ID.test(id)) return undefined;
  return `${describe(id)} is no job id: 1 to 128 printable ASCII characters without spaces`;
}

/** The problem with a queue key or an execution key, or undefined when it is fine. */
export function problemOfKey(key: unknown): string | undefined {
  if (typeof key === 'string' && key.length > 0 && key.length <= MAX_KEY_LENGTH) return undefined;
  return `${describe(key)} is no key: a text of 1 to ${MAX_KEY_LENGTH} characters`;
}

/** Shows a value of unknown origin in a message: quoted, bounded, control characters escaped. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return show(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value !== 'object' || value === null) return String(value);
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1);
  return kind === 'Object' ? 'an object' : kind === 'Array' ? 'an array' : `a ${kind}`;
}
