// Keeps what @RogerJob said on the class, checks it, and reads it back as a definition.
import 'reflect-metadata';
import { hasRules } from './args-validation';
import { InvalidJobDefinitionError } from './errors';
import type { Class, JobClass, JobDefinition, JobOptions } from './job-definition';
import { describe, problemOfInstanceName, problemOfJobName, problemOfKey, problemOfQueueName } from './names';
import { problemOfExecutionTime } from './execution-time';
import { problemOfPriority } from './lanes';
import { nearest } from './nearest';
import { problemOfRetryLevels } from './retry-levels';

const MAX_TITLE_LENGTH = 200;
const JOB_OPTIONS = Symbol('roger:job-options');

/** What a class may say of itself; the type keeps the list complete. */
const OPTION_NAMES: Record<keyof JobOptions, true> = {
  name: true,
  queue: true,
  args: true,
  queueKey: true,
  executionKey: true,
  priority: true,
  retryable: true,
  maxExecutionTimeSeconds: true,
  isolation: true,
  instance: true,
  title: true,
  order: true,
};

/** Notes the options on the class. */
export function noteJobOptions(target: object, options: object): void {
  Reflect.defineMetadata(JOB_OPTIONS, options, target);
}

/** Whether the class itself (not a class that it extends) is under `@RogerJob`. */
export function isJobClass(target: unknown): target is JobClass {
  return typeof target === 'function' && Reflect.hasOwnMetadata(JOB_OPTIONS, target);
}

/**
 * The module instance that the class belongs to; undefined: the unnamed one.
 * @throws InvalidJobDefinitionError when it is no name.
 */
export function instanceOf(jobClass: JobClass): string | undefined {
  const { instance } = optionsOf(jobClass);
  const problem = problemOfInstance(instance);
  if (problem !== undefined) throw new InvalidJobDefinitionError(classNameOf(jobClass), problem);
  return instance;
}

/**
 * The definition that the class makes.
 * @throws InvalidJobDefinitionError naming the class, the option and the remedy.
 */
export function readDefinition(jobClass: JobClass): JobDefinition {
  const options = optionsOf(jobClass);
  const refuse = (problem: string): never => {
    throw new InvalidJobDefinitionError(classNameOf(jobClass), problem);
  };
  refuseUnknownOptions(options, refuse);
  const name = options.name ?? jobClass.name;
  const problem =
    problemOfJobName(name) ??
    problemOfInstance(options.instance) ??
    problemOfTitle(options.title) ??
    problemOfOrder(options.order) ??
    problemOfQueueOption(options.queue) ??
    problemOfKeyOption('queueKey', options.queueKey) ??
    problemOfKeyOption('executionKey', options.executionKey) ??
    problemOfPriorityOption(options.priority) ??
    problemOfTimeOption(options.maxExecutionTimeSeconds) ??
    problemOfIsolation(options.isolation) ??
    problemOfArgs(options.args);
  if (problem !== undefined) refuse(problem);
  if (typeof (jobClass.prototype as { perform?: unknown } | undefined)?.perform !== 'function') {
    refuse('it has no perform(args, context) method');
  }
  const { retryable = true } = options;
  const wrong = problemOfRetryable(retryable);
  if (wrong !== undefined) refuse(`retryable must be true, false, { levels } or a function: ${wrong}`);
  return {
    name,
    title: options.title,
    order: options.order,
    jobClass,
    queue: options.queue ?? 'default',
    argsClass: options.args,
    queueKey: options.queueKey,
    executionKey: options.executionKey,
    priority: options.priority,
    retryable: retryable !== false,
    retryLevels: typeof retryable === 'object' ? retryable.levels : undefined,
    retryJitter: typeof retryable === 'object' ? retryable.jitter : undefined,
    retryRule: typeof retryable === 'function' ? retryable : undefined,
    maxExecutionTimeSeconds: options.maxExecutionTimeSeconds,
    isolation: options.isolation,
  };
}

/** The class's name for a message. */
export function classNameOf(jobClass: JobClass): string {
  return jobClass.name === '' ? '(anonymous class)' : jobClass.name;
}

function optionsOf(jobClass: JobClass): JobOptions {
  return (Reflect.getOwnMetadata(JOB_OPTIONS, jobClass) as JobOptions | undefined) ?? {};
}

function refuseUnknownOptions(options: JobOptions, refuse: (problem: string) => never): void {
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(OPTION_NAMES, key)) {
      refuse(`unknown option ${describe(key)}${nearest(key, Object.keys(OPTION_NAMES))}`);
    }
  }
}

function problemOfInstance(instance: unknown): string | undefined {
  return instance === undefined ? undefined : problemOfInstanceName(instance);
}

function problemOfTitle(title: unknown): string | undefined {
  const isTitle =
    title === undefined ||
    (typeof title === 'string' && title.trim() !== '' && title.length <= MAX_TITLE_LENGTH);
  return isTitle ? undefined : `title must be 1 to ${MAX_TITLE_LENGTH} characters, not ${describe(title)}`;
}

function problemOfOrder(order: unknown): string | undefined {
  return order === undefined || Number.isSafeInteger(order)
    ? undefined
    : `order must be a whole number, not ${describe(order)}`;
}

function problemOfKeyOption(option: 'queueKey' | 'executionKey', key: unknown): string | undefined {
  if (key === undefined || typeof key === 'function') return undefined;
  const problem = problemOfKey(key);
  return problem === undefined
    ? undefined
    : `${option} must be a function of the args, or one key for all: ${problem}`;
}

function problemOfQueueOption(queue: unknown): string | undefined {
  return queue === undefined || typeof queue === 'function' ? undefined : problemOfQueueName(queue);
}

function problemOfRetryable(retryable: unknown): string | undefined {
  if (typeof retryable === 'boolean' || typeof retryable === 'function') return undefined;
  const { levels, jitter } = (retryable ?? {}) as { levels?: unknown; jitter?: unknown };
  const problem = problemOfRetryLevels(levels);
  if (problem !== undefined || jitter === undefined || typeof jitter === 'boolean') return problem;
  return `jitter must be true or false, not ${describe(jitter)}`;
}

function problemOfPriorityOption(priority: unknown): string | undefined {
  const problem = priority === undefined ? undefined : problemOfPriority(priority);
  return problem === undefined ? undefined : `priority: ${problem}`;
}

function problemOfTimeOption(seconds: unknown): string | undefined {
  const problem = seconds === undefined ? undefined : problemOfExecutionTime(seconds);
  return problem === undefined ? undefined : `maxExecutionTimeSeconds ${problem}`;
}

function problemOfIsolation(isolation: unknown): string | undefined {
  return isolation === undefined || isolation === 'thread'
    ? undefined
    : `isolation must be 'thread' or left out, not ${describe(isolation)}`;
}

function problemOfArgs(args: unknown): string | undefined {
  if (args === undefined) return undefined;
  if (typeof args !== 'function')
    return `args must be a class with class-validator decorators, not ${describe(args)}`;
  return hasRules(args as Class)
    ? undefined
    : `args class ${describe(args.name)} has no class-validator decorators, so nothing would be checked; add them, or leave args out`;
}
