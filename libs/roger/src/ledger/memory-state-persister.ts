// Keeps the state of ledgers in the memory of the process.
import type { StatePersister } from './state-persister';

/**
 * Its states end with the process, so it is for tests, and for keys that need not outlive a restart. One may be shared by
 * several modules of a process; they then see each other's states.
 *
 * @example
 * ```ts
 * import { MemoryStatePersister } from 'nestjs-roger';
 *
 * export const persister = new MemoryStatePersister();
 * ```
 */
export class MemoryStatePersister implements StatePersister {
  private readonly states = new Map<string, Uint8Array>();

  init(): Promise<void> {
    return Promise.resolve();
  }

  load(id: string): Promise<Uint8Array | undefined> {
    const state = this.states.get(id);
    return Promise.resolve(state === undefined ? undefined : new Uint8Array(state));
  }

  store(id: string, data: Uint8Array): Promise<void> {
    // A copy here and there: what the caller does with its bytes later changes nothing.
    this.states.set(id, new Uint8Array(data));
    return Promise.resolve();
  }
}
