// Picks what to run: the demo (both parts in one process), or one part alone.
import { RogerError } from 'nestjs-roger';
import { runDemo } from './demo/demo';
import { runApi, runWorker } from './parts';
import { PlainError } from './plain-error';

/** Each resolves to the exit code that holds when the process ends. */
const PARTS: Readonly<Record<string, () => Promise<number>>> = {
  demo: runDemo,
  api: runApi,
  worker: runWorker,
};

async function main(name = 'demo'): Promise<void> {
  // An end that comes before the answer is no success.
  process.exitCode = 1;
  const run = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined;
  if (run === undefined)
    throw new PlainError(`There is no part ${name}; say ${Object.keys(PARTS).join(', ')}`);
  process.exitCode = await run();
}

main(process.argv[2]).catch((error: unknown) => {
  const isPlain = error instanceof PlainError || error instanceof RogerError;
  console.error(isPlain ? error.message : error);
});
