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
