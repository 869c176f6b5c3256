// Reads Markdown: which documents there are, their fences, their headings, their marked regions.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'coverage']);
/** What npm puts beside the package while it packs: copies of the root's. */
const COPIES = /^libs\/roger\/(README|CHANGELOG)\.md$/;

/** All Markdown files of the repository. */
export function readDocuments(folder = '.') {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name).replaceAll('\\', '/');
    if (entry.isDirectory()) {
      return SKIPPED_FOLDERS.has(entry.name) || entry.name.startsWith('.') ? [] : readDocuments(path);
    }
    if (!entry.name.endsWith('.md') || COPIES.test(path)) return [];
    return [{ file: path, text: readFileSync(path, 'utf8') }];
  });
}

/** The fenced blocks of a text. `line` is that of the opening fence, from 1; `before` is the line above it. */
export function fencesOf(text) {
  const lines = text.split('\n');
  const fences = [];
  for (let index = 0; index < lines.length; index++) {
    const [, indent, ticks, language] = /^( *)(`{3,})(\w*)/.exec(lines[index]) ?? [];
    if (ticks === undefined) continue;
    const end = lines.findIndex((line, at) => at > index && line === indent + ticks);
    if (end === -1) break;
    const code = lines.slice(index + 1, end).map((line) => line.slice(indent.length));
    const before = lines.slice(0, index).findLast((line) => line.trim() !== '') ?? '';
    fences.push({ line: index + 1, endLine: end + 1, language, code: code.join('\n'), before });
    index = end;
  }
  return fences;
}

/** The text outside of fences and code spans, line by line, so that line numbers stay. */
export function proseLines(text) {
  const lines = text.split('\n');
  for (const { line, endLine } of fencesOf(text)) lines.fill('', line - 1, endLine);
  return lines.map((line) => line.replace(/`[^`]*`/g, ''));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(text) {
  const lines = text.split('\n');
  for (const { line, endLine } of fencesOf(text)) lines.fill('', line - 1, endLine);
  return new Set(
    lines
      .filter((line) => /^#{1,6} /.test(line))
      .map((line) =>
        line
          .replace(/^#+ /, '')
          .toLowerCase()
          .replace(/[^\p{L}\p{N}_ -]/gu, '')
          .replaceAll(' ', '-'),
      ),
  );
}

/** Puts a text between `<!-- name:start -->` and `<!-- name:end -->`, where a document has them. */
export function replaceBetween(text, name, make) {
  const [start, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`];
  const from = text.indexOf(start);
  const to = text.indexOf(end);
  if (from === -1 || to < from) return text;
  // Prettier would pad every row to the width of the longest.
  const body = `\n<!-- prettier-ignore-start -->\n${make()}\n<!-- prettier-ignore-end -->\n`;
  return text.slice(0, from + start.length) + body + text.slice(to);
}

/** A text for a cell of a table. */
export function cell(text) {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|').trim();
}
