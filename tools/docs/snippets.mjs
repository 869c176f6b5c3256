// The code in the documents: a copy of the file that the line above it names, or compiled.
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fencesOf } from './markdown.mjs';

/** `<!-- source: path -->` or `<!-- source: path#region -->` above a fence. */
const SOURCE = /^\s*<!-- source: ([^\s#]+)(?:#([\w-]+))? -->$/;
/** A first line like `// welcome-mail.job.ts` names the snippet for those after it to import. */
const FILE_NAME = /^\/\/ ([\w.-]+\.ts)$/;
const LANGUAGES = { '.ts': 'ts', '.mjs': 'js', '.yml': 'yaml', '.json': 'json', '.txt': 'text' };

/** The ts fences that are no copies; those of one document can import each other by name. */
export function fencesToCompile(documents) {
  return documents.flatMap(({ file, text }) =>
    fencesOf(text)
      .filter(
        ({ language, before }) => (language === 'ts' || language === 'typescript') && !SOURCE.test(before),
      )
      .map(({ line, code }) => {
        const [, name = `snippet-${line}.ts`] = FILE_NAME.exec(code.split('\n', 1)[0]) ?? [];
        return { name: `${file.replace(/\W/g, '_')}/${name}`, code, file, line: line + 1 };
      }),
  );
}

/** The document with each copy as its source is now. */
export function copyEmbedded({ file, text }, complain, count) {
  const lines = text.split('\n');
  // From the end, so that the places of the earlier ones stay right.
  for (const { line, endLine, before } of fencesOf(text).reverse()) {
    const [, path, region] = SOURCE.exec(before) ?? [];
    if (path === undefined) continue;
    count();
    const code = existsSync(path) ? codeOf(readFileSync(path, 'utf8'), region) : undefined;
    if (code === undefined) {
      complain(
        file,
        line,
        `there is no ${path}${region === undefined ? '' : ` with a "// #region ${region}"`}`,
      );
      continue;
    }
    lines.splice(line - 1, endLine - line + 1, `\`\`\`${LANGUAGES[extname(path)] ?? ''}`, ...code, '```');
  }
  return lines.join('\n');
}

function codeOf(text, region) {
  const lines = text.trimEnd().split('\n');
  if (region === undefined) return lines;
  const start = lines.findIndex((line) => new RegExp(`^\\s*// #region ${region}$`).test(line));
  const end = lines.findIndex((line, index) => index > start && /^\s*\/\/ #endregion\b/.test(line));
  if (start === -1 || end === -1) return undefined;
  const found = lines.slice(start + 1, end);
  const indent = Math.min(...found.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return found.map((line) => line.slice(indent));
}
