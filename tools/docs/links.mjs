// Follows the documents' relative links, and their npm commands to package.json.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { anchorsOf, proseLines } from './markdown.mjs';

const LINK = /\]\(([^)\s]+)\)/g;
const SCRIPT = /npm run (?:--\S+ )*([\w:-]+)/g;

export function problemsOfLinks({ file, text }, documents, complain) {
  for (const [index, line] of proseLines(text).entries()) {
    for (const [, target] of line.matchAll(LINK)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#');
      const goal = path === '' ? file : relative('.', join(dirname(file), path)).replaceAll('\\', '/');
      if (!existsSync(goal)) {
        complain(file, index + 1, `the link leads to ${goal}, which is not there`);
      } else if (anchor !== undefined) {
        const document = documents.find((it) => it.file === goal);
        if (document === undefined || !anchorsOf(document.text).has(anchor)) {
          complain(file, index + 1, `${goal} has no heading #${anchor}`);
        }
      }
    }
  }
}

export function problemsOfScripts({ file, text }, complain) {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
  for (const [index, line] of text.split('\n').entries()) {
    for (const [, script] of line.matchAll(SCRIPT)) {
      if (!Object.hasOwn(scripts, script)) complain(file, index + 1, `package.json has no script ${script}`);
    }
  }
}
