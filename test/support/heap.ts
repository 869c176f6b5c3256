// What a process holds, not what it has left to be collected.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** The memory in use, after a garbage collection. */
export function memoryInUse(): NodeJS.MemoryUsage {
  gc();
  return process.memoryUsage();
}

/** Tells how many of the objects that went by are still in use, whatever else the process does with its memory. */
export class Kept {
  /** At any look. */
  most = 0;
  private readonly watching: WeakRef<object>[] = [];

  watched<T extends object>(thing: T): T {
    this.watching.push(new WeakRef(thing));
    return thing;
  }

  look(): void {
    gc();
    const kept = this.watching.filter((reference) => reference.deref() !== undefined);
    this.most = Math.max(this.most, kept.length);
  }
}
