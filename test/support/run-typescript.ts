// Node's options for a process or a thread that runs TypeScript.
import { join } from 'node:path';

export const RUN_TYPESCRIPT: readonly string[] = ['-r', join(__dirname, '../../tools/run-typescript.cjs')];
