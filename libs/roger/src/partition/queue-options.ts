// What a user says of the queues of a partition, and what is refused of it.
import type { Problem } from '../job/errors';
import { describe, problemOfPartitionId, problemOfQueueName } from '../job/names';
import type { Check } from '../job/option-checks';
import { isRecord, problemIf, problemsOfFields, wholeNumber } from '../job/option-checks';
import { problemOfRetryLevels } from '../job/retry-levels';

const MAX_WORKERS = 65_000;

/** The settings of a queue on this node. */
export interface QueueOptions {
  /** How many jobs of the queue run at once on this node, 0 to 65000; with 0 it is there, but no jobs are taken here. */
  maxWorkers: number;
  /**
   * Seconds before the 1st, 2nd, … retry of a job that fails here and whose definition doesn't say its own; as the
   * module's `retryLevels`.
   * @default the module's
   */
  retryLevels?: readonly number[] | undefined;
}

/** The queues of a partition on this node, by name. A number stands for `{ maxWorkers }`. */
export type PartitionQueues = Readonly<Record<string, number | QueueOptions>>;

/** Partitions and their queues, by the partition's id. */
export type PartitionQueuesById = Readonly<Record<string, PartitionQueues>>;

export function maxWorkersOf(options: number | QueueOptions): number {
  return typeof options === 'number' ? options : options.maxWorkers;
}

export function problemsOfPartitions(value: unknown, path: string): Problem[] {
  if (!isRecord(value)) {
    return [{ path, message: `must be an object like { acme: { default: 10 } }, not ${describe(value)}` }];
  }
  return Object.entries(value).flatMap(([id, queues]: [string, unknown]) => {
    const problem = problemOfServedPartitionId(id);
    return problem === undefined ? problemsOfQueues(queues, `${path}.${id}`) : [{ path, message: problem }];
  });
}

/** Of the id of a partition that is to be served. */
export function problemOfServedPartitionId(id: unknown): string | undefined {
  return problemOfPartitionId(id) ?? (id === '__proto__' ? `${describe(id)} is reserved` : undefined);
}

export function problemsOfQueues(value: unknown, path: string): Problem[] {
  if (!isRecord(value)) {
    return [{ path, message: `must be an object like { default: 10 }, not ${describe(value)}` }];
  }
  const queues = Object.entries(value);
  if (queues.length === 0) return [{ path, message: 'has no queue; say for example { default: 10 }' }];
  return queues.flatMap(([queue, options]: [string, unknown]) => {
    const problem = problemOfQueueName(queue);
    return problem === undefined
      ? problemsOfQueue(options, path === '' ? queue : `${path}.${queue}`)
      : [{ path, message: problem }];
  });
}

function problemsOfQueue(value: unknown, path: string): Problem[] {
  const maxWorkers = wholeNumber(0, MAX_WORKERS, 'workers');
  if (typeof value !== 'object' || value === null) return maxWorkers(value, path);
  const checks: Record<keyof QueueOptions, Check> = { maxWorkers, retryLevels: problemsOfLevels };
  const problems = problemsOfFields(value, checks, path);
  if ((value as { maxWorkers?: unknown }).maxWorkers === undefined) {
    problems.push({ path: `${path}.maxWorkers`, message: 'is missing' });
  }
  return problems;
}

const problemsOfLevels: Check = (value, path) => problemIf(path, problemOfRetryLevels(value));
