// What a worker thread knows of itself. There is one per thread, and none in a process.
import type { JobRegistry } from '../../job/job-registry';
import type { InstanceName } from '../instances';

type Registry = Pick<JobRegistry, 'find'>;

/** Filled by the RogerModules of the thread's app while it boots. */
export class JobThread {
  private readonly registries = new Map<InstanceName, Registry>();

  register(instance: InstanceName, registry: Registry): void {
    this.registries.set(instance, registry);
  }

  find(instance: InstanceName, name: string): ReturnType<Registry['find']> {
    return this.registries.get(instance)?.find(name);
  }
}

/** Of the global symbols, so that the app's copy of this library finds it whatever way it was loaded. */
const KEY = Symbol.for('nestjs-roger:job-thread');
const place = globalThis as { [KEY]?: JobThread };

/** Where this is a thread of jobs. There Roger runs what it is told and connects to nothing. */
export function jobThread(): JobThread | undefined {
  return place[KEY];
}

/**
 * Whether this is a worker thread that runs jobs with `isolation: 'thread'`. It boots the app's module once more, and
 * whatever is to be once per process (a connection, a timer, a writer) shouldn't begin there.
 */
export function isJobThread(): boolean {
  return jobThread() !== undefined;
}

/** Makes this thread one of jobs. To be called before the app's module is loaded. */
export function becomeJobThread(): JobThread {
  return (place[KEY] = new JobThread());
}
