// Runs dependency-cruiser and makes sure that it has seen the library: with a TypeScript it can't use it reads no module
// and passes.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { cruise } from 'dependency-cruiser';
import extractOptions from 'dependency-cruiser/config-utl/extract-depcruise-options';
import extractTsConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const LIBRARIES = ['libs/roger/src', 'libs/engine/src'];

const places = ['libs', 'apps', 'test', 'bench'].filter((place) => existsSync(place));
const { output } = await cruise(places, await extractOptions('./.dependency-cruiser.cjs'), undefined, {
  tsConfig: extractTsConfig('tsconfig.json'),
});
const { modules, summary } = output;

for (const { rule, from, to, cycle } of summary.violations) {
  const way = cycle ? [from, ...cycle.map((step) => step.name)].join(' → ') : `${from} → ${to}`;
  console.error(`${rule.name}\n    ${way}`);
}

const seen = new Set(modules.map((module) => module.source));
const files = await Promise.all(
  LIBRARIES.map(async (library) =>
    (await readdir(library, { recursive: true })).map((file) => `${library}/${file.replaceAll('\\', '/')}`),
  ),
);
const unseen = files.flat().filter((file) => file.endsWith('.ts') && !seen.has(file));
for (const file of unseen) console.error(`not looked at: ${file}`);

const read = modules.filter(({ source }) =>
  LIBRARIES.some((library) => source.startsWith(`${library}/`)),
).length;
console.log(
  `${read} modules of the libraries, ${modules.length} in all, ${summary.totalDependenciesCruised} dependencies, ` +
    `${summary.violations.length} violations`,
);
process.exitCode = summary.violations.length > 0 || unseen.length > 0 || read === 0 ? 1 : 0;
