// Keeps what @RogerCron said on a class, checks it, and reads it back as definitions of recurring jobs.
import 'reflect-metadata';
import { classNameOf } from '../job/define-job';
import { InvalidJobDefinitionError } from '../job/errors';
import type { JobClass, JobDefinition } from '../job/job-definition';
import { describe, problemOfPartitionId, problemOfQueueName } from '../job/names';
import { nearest } from '../job/nearest';
import { CronExpression } from './cron-expression';

/** What `@RogerCron` takes besides the expression. */
export interface CronOptions {
  /**
   * The name of the recurring job: unique within a partition, and part of its jobs' ids. 1 to 100 characters of
   * `A-Z a-z 0-9 _ . : / -`.
   * @default the job's name
   */
  name?: string;
  /** The IANA time zone by whose clocks it ticks. @default 'UTC' */
  timeZone?: string;
  /** The partitions that it ticks in; those that a node doesn't serve it leaves to others. @default all configured */
  partitions?: readonly string[];
  /** The queue of its jobs. @default the job's */
  queue?: string;
  /** The args of its jobs, plain JSON and valid for the job's DTO. @default {} */
  args?: unknown;
  /** What becomes of ticks that nobody was there for: `once` makes up the latest one at the next start, `skip` none. @default 'skip' */
  catchUp?: 'once' | 'skip';
}

/** A recurring job that a class declares. */
export interface CronDefinition {
  readonly definition: JobDefinition;
  readonly name: string;
  readonly expression: string;
  readonly timeZone: string;
  /** Undefined: all that are configured. */
  readonly partitions: readonly string[] | undefined;
  readonly queue: string | undefined;
  readonly args: unknown;
  readonly catchUp: 'once' | 'skip';
}

const CRONS = Symbol('roger:crons');
/** A tick's id is that of a job, and begins with the name. */
const SCHEDULE_NAME = /^[A-Za-z0-9_.:/-]{1,100}$/;

const OPTION_NAMES: Record<keyof CronOptions, true> = {
  name: true,
  timeZone: true,
  partitions: true,
  queue: true,
  args: true,
  catchUp: true,
};

interface NotedCron {
  readonly expression: string;
  readonly options: CronOptions;
}

/** Notes a schedule on the class. */
export function noteCron(target: object, expression: string, options: CronOptions): void {
  // The decorator that stands last is carried out first.
  Reflect.defineMetadata(CRONS, [{ expression, options }, ...notedOn(target)], target);
}

/** Whether the class itself (not a class that it extends) is under `@RogerCron`. */
export function isCronClass(target: unknown): target is JobClass {
  return typeof target === 'function' && notedOn(target).length > 0;
}

/** @throws InvalidJobDefinitionError naming the class, the schedule, the option and the remedy. */
export function readCrons(definition: JobDefinition): CronDefinition[] {
  return notedOn(definition.jobClass).map(({ expression, options }) => {
    const name = options.name ?? definition.name;
    const problem =
      problemOfOptions(options) ?? problemOfScheduleName(name) ?? problemOfRule(expression, options);
    if (problem !== undefined) {
      const where = `@RogerCron(${describe(expression)})`;
      throw new InvalidJobDefinitionError(classNameOf(definition.jobClass), `${where}: ${problem}`);
    }
    const { timeZone = 'UTC', catchUp = 'skip', args = {}, partitions, queue } = options;
    return { definition, name, expression, timeZone, partitions, queue, args, catchUp };
  });
}

/** The problem with the name of a recurring job, or undefined when it is fine. */
export function problemOfScheduleName(name: unknown): string | undefined {
  if (typeof name === 'string' && SCHEDULE_NAME.test(name)) return undefined;
  return `${describe(name)} is no name of a recurring job: 1 to 100 of the characters A-Z, a-z, 0-9, _ . : / and -`;
}

/** The problem with `catchUp`, or undefined when it is fine. */
export function problemOfCatchUp(catchUp: unknown): string | undefined {
  if (catchUp === undefined || catchUp === 'once' || catchUp === 'skip') return undefined;
  return `it must be 'once' or 'skip', not ${describe(catchUp)}`;
}

function notedOn(target: object): readonly NotedCron[] {
  return (Reflect.getOwnMetadata(CRONS, target) as readonly NotedCron[] | undefined) ?? [];
}

function problemOfRule(expression: string, { timeZone = 'UTC' }: CronOptions): string | undefined {
  const read = CronExpression.read(expression, timeZone);
  return read instanceof CronExpression ? undefined : read.message;
}

function problemOfOptions(options: CronOptions): string | undefined {
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(OPTION_NAMES, key)) {
      return `unknown option ${describe(key)}${nearest(key, Object.keys(OPTION_NAMES))}`;
    }
  }
  const { queue, partitions, catchUp } = options;
  const catchUpProblem = problemOfCatchUp(catchUp);
  if (catchUpProblem !== undefined) return `catchUp: ${catchUpProblem}`;
  if (partitions !== undefined && !Array.isArray(partitions))
    return 'partitions must be a list of partition ids';
  return (
    (queue === undefined ? undefined : problemOfQueueName(queue)) ??
    partitions?.map(problemOfPartitionId).find((problem) => problem !== undefined)
  );
}
