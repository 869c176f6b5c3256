// Finds the @example blocks in the library's doc comments.
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { fencesOf } from './markdown.mjs';

/** Each ```ts block of each @example, with the line where its code begins. */
export function examplesIn(files, complain) {
  return files.flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    const tags = exampleTags(source);
    const written = text.match(/^\s*\*\s*@example\b/gm)?.length ?? 0;
    if (tags.length !== written)
      complain(file, 1, `${written} @example are written and ${tags.length} were found`);
    return tags.flatMap((tag) => examplesOfTag(tag, source, complain));
  });
}

function exampleTags(source) {
  const tags = new Set();
  const visit = (node) => {
    for (const comment of node.jsDoc ?? []) {
      for (const tag of comment.tags ?? []) if (tag.tagName.text === 'example') tags.add(tag);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...tags];
}

function examplesOfTag(tag, source, complain) {
  const file = source.fileName;
  const firstLine = source.getLineAndCharacterOfPosition(tag.getStart()).line + 1;
  const lines = source.text.slice(tag.getStart(), tag.end).split('\n');
  // Line for line, so that an error is found where it stands. In a doc comment a decorator's @ is escaped.
  const text = lines.map((line) => line.replace(/^\s*\* ?/, '').replaceAll('\\@', '@')).join('\n');
  const fences = fencesOf(text).filter(({ language }) => language === 'ts');
  if (fences.length === 0) complain(file, firstLine, 'this @example has no ```ts block');
  return fences.map(({ line, code }) => {
    const start = firstLine + line;
    return { name: `examples/${file.replace(/\W/g, '_')}_${start}.ts`, code, file, line: start };
  });
}
