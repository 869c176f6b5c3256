// Lends the root's README, LICENSE and CHANGELOG to the package while npm packs it: `put` before, `remove` after.
import { copyFileSync, rmSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const here = new URL('../libs/roger/', import.meta.url);

for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) {
  if (process.argv[2] === 'put') copyFileSync(new URL(name, root), new URL(name, here));
  else rmSync(new URL(name, here), { force: true });
}
