// Marks providers that want to be told what happens to jobs.
import 'reflect-metadata';
import { InvalidJobDefinitionError } from '../job/errors';
import type { Class } from '../job/job-definition';
import { problemOfInstanceName } from '../job/names';
import type { WorkerCallbacks } from '../worker/callbacks';

const CALLBACKS = Symbol('roger:callbacks');

interface CallbacksOptions {
  /** The module instance (see `forRoot({ name })`) whose jobs it is told of. @default the unnamed one */
  instance?: string;
}

/**
 * Marks a provider as {@link WorkerCallbacks}. It must be a singleton: it lives longer than any job.
 * @throws InvalidJobDefinitionError at the start of the app when it is none, or the app has no such instance.
 */
export function RogerCallbacks(options: CallbacksOptions = {}): (target: Class<WorkerCallbacks>) => void {
  return (target) => {
    Reflect.defineMetadata(CALLBACKS, options, target);
  };
}

/** Whether the class itself (not a class that it extends) is under `@RogerCallbacks`. */
export function isCallbacksClass(target: unknown): target is Class<WorkerCallbacks> {
  return typeof target === 'function' && Reflect.hasOwnMetadata(CALLBACKS, target);
}

/**
 * The module instance of whose jobs the class is told; undefined: the unnamed one.
 * @throws InvalidJobDefinitionError when it is no name.
 */
export function callbacksInstanceOf(callbacksClass: Class<WorkerCallbacks>): string | undefined {
  const { instance } = Reflect.getOwnMetadata(CALLBACKS, callbacksClass) as CallbacksOptions;
  const problem = instance === undefined ? undefined : problemOfInstanceName(instance);
  if (problem !== undefined) throw new InvalidJobDefinitionError(callbacksClass.name, problem);
  return instance;
}
