// Runs one benchmark in this process and hands its result to the one that asked.
import 'reflect-metadata';
import { sep } from 'node:path';
import { BENCHMARKS } from './benchmarks';
import type { Assignment } from './benchmark';

async function main(): Promise<void> {
  const { name, isQuick } = JSON.parse(process.argv[2] ?? '') as Assignment;
  const benchmark = BENCHMARKS[name];
  if (benchmark === undefined) throw new Error(`There is no benchmark ${name}`);
  refuseSources();
  process.send?.(await benchmark({ uri: process.env['ROGER_AMQP_URL'] ?? '', isQuick }));
  process.disconnect();
}

/** A path mapping that leads to the TypeScript sources would measure another build than users get. */
function refuseSources(): void {
  const library = require.resolve('nestjs-roger');
  const isSource = Object.keys(require.cache).some((file) =>
    file.includes(['libs', 'roger', 'src', ''].join(sep)),
  );
  if (isSource || !library.endsWith(['dist', 'index.js'].join(sep))) {
    throw new Error(`The benchmarks measure the built library, not ${library}`);
  }
}

// The asking process is gone: nobody wants the result.
const give = (): never => process.exit(1);
process.on('disconnect', give);

main().then(
  () => process.off('disconnect', give),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
