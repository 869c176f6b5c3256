// Remembers from what the libraries' dist was built, so that a gate that needs it five times builds it once.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const RECORD = 'node_modules/.cache/roger/built.json';
/** Besides what the folders of the libraries hold. */
const INPUTS = ['tsconfig.json', 'package-lock.json', 'tools/build-libs.mjs'];

/** Whether what is there was built from what is there, and nobody has touched it since. */
export function isBuilt() {
  return existsSync(RECORD) && readFileSync(RECORD, 'utf8') === record();
}

export function noteBuilt() {
  mkdirSync(dirname(RECORD), { recursive: true });
  writeFileSync(RECORD, record());
}

function record() {
  const libs = readdirSync('libs').map((name) => join('libs', name));
  const inputs = [...INPUTS, ...libs.flatMap((lib) => [...configOf(lib), ...filesIn(join(lib, 'src'))])];
  const outputs = libs.flatMap((lib) => filesIn(join(lib, 'dist')));
  const hash = createHash('sha256');
  for (const file of inputs) hash.update(`${file}\n`).update(readFileSync(file));
  return JSON.stringify({ inputs: hash.digest('hex'), outputs: outputs.map(stampOf) });
}

function configOf(lib) {
  return readdirSync(lib)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(lib, name));
}

function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function stampOf(file) {
  const { size, mtimeMs } = statSync(file);
  return `${file} ${size} ${mtimeMs}`;
}
