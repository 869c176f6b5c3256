// Marks providers that want to be told what happens to jobs.
import 'reflect-metadata';
import type { Class } from '../job/job-definition';
import type { WorkerCallbacks } from '../worker/callbacks';

const CALLBACKS = Symbol('roger:callbacks');

interface CallbacksOptions {
  /** The module instance (see `forRoot({ name })`) whose jobs it is told of. @default the unnamed one */
  instance?: string;
}

/** Marks a provider as {@link WorkerCallbacks}. It must be a singleton: it lives longer than any job. */
export function RogerCallbacks(options: CallbacksOptions = {}): (target: Class<WorkerCallbacks>) => void {
  return (target) => {
    Reflect.defineMetadata(CALLBACKS, options, target);
  };
}

/** Whether the class is marked for this module instance. */
export function isCallbacksClass(target: unknown, instance: string | undefined): boolean {
  if (typeof target !== 'function') return false;
  const options = Reflect.getOwnMetadata(CALLBACKS, target) as CallbacksOptions | undefined;
  return options !== undefined && options.instance === instance;
}
