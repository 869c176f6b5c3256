// Compiles libs/* to their dist and takes away what no source stands behind any more, so that nothing stale is tested or
// published. What is in use stays in place meanwhile.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isBuilt, noteBuilt } from './what-is-built.mjs';

if (isBuilt()) {
  console.log('libs: built already');
  process.exit();
}

// The others are compiled against what this one has built.
const FIRST = 'roger';
const names = [FIRST, ...readdirSync('libs').filter((name) => name !== FIRST)];

for (const lib of names.map((name) => join('libs', name))) {
  // Not named tsconfig.json where editors and ESLint are to see the sources of other libs instead of what is built.
  const config = ['tsconfig.json', 'tsconfig.lib.json'].find((name) => existsSync(join(lib, name)));
  if (config === undefined) continue;
  const { status, stdout } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', join(lib, config), '--listEmittedFiles'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 * 1024 * 1024 },
  );
  const lines = stdout.split('\n');
  const emitted = new Set(
    lines.filter((line) => line.startsWith('TSFILE: ')).map((line) => line.slice(8).trim()),
  );
  const complaints = lines.filter((line) => line !== '' && !line.startsWith('TSFILE: '));
  if (complaints.length > 0) console.error(complaints.join('\n'));
  if (status !== 0) process.exit(status ?? 1);

  const dist = join(lib, 'dist');
  const stale = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name))
    .filter((file) => !emitted.has(file.replaceAll('\\', '/')));
  for (const file of stale) rmSync(file);
  console.log(`${lib}: ${emitted.size} files written, ${stale.length} stale ones removed`);
}
noteBuilt();
