// Holds the documents to the code: tables come from doc comments, snippets are copies or compile, links lead somewhere.
// `node tools/check-docs.mjs --write` brings tables and copies up to date first.
import { writeFileSync } from 'node:fs';
import { errorsTable, problemsOfErrorNames } from './docs/errors-table.mjs';
import { examplesIn } from './docs/examples.mjs';
import { problemsOfLinks, problemsOfScripts } from './docs/links.mjs';
import { readDocuments, replaceBetween } from './docs/markdown.mjs';
import { optionsTable, problemsOfDefaults } from './docs/options-table.mjs';
import { compile, libraryFiles } from './docs/program.mjs';
import { copyEmbedded, fencesToCompile } from './docs/snippets.mjs';

const LIBRARIES = ['libs/roger/src', 'libs/engine/src'];
const isWriting = process.argv.includes('--write');
const problems = [];
const complain = (file, line, message) => problems.push(`${file}:${line}: ${message}`);

const documents = readDocuments();
const library = LIBRARIES.flatMap(libraryFiles);
const examples = examplesIn(library, complain);
const fences = fencesToCompile(documents);
const program = compile([...examples, ...fences], library, complain);

const tables = { options: optionsTable(program, complain), errors: errorsTable(program, complain) };
const counts = { options: 0, errors: 0, embedded: 0 };

for (const document of documents) {
  let upToDate = document.text;
  for (const [name, table] of Object.entries(tables)) {
    upToDate = replaceBetween(upToDate, name, () => {
      counts[name]++;
      return table;
    });
  }
  upToDate = copyEmbedded({ ...document, text: upToDate }, complain, () => counts.embedded++);
  if (upToDate !== document.text) {
    if (isWriting) writeFileSync(document.file, upToDate);
    else
      complain(
        document.file,
        firstDifference(document.text, upToDate),
        'out of date; npm run docs:check -- --write',
      );
  }
  problemsOfLinks(document, documents, complain);
  problemsOfScripts(document, complain);
  problemsOfErrorNames(document, program, complain);
}
problemsOfDefaults(program, complain);

// A checker that has nothing to look at would pass.
for (const [what, count] of Object.entries({ ...counts, examples: examples.length, fences: fences.length })) {
  if (count === 0) complain('tools/check-docs.mjs', 1, `found no ${what}: nothing was checked`);
}

for (const problem of problems) console.error(problem);
console.log(
  `${documents.length} documents, ${examples.length} examples and ${fences.length} snippets compiled, ` +
    `${counts.embedded} snippets copied, ${problems.length} problems`,
);
process.exitCode = problems.length > 0 ? 1 : 0;

function firstDifference(before, after) {
  const expected = after.split('\n');
  return before.split('\n').findIndex((line, index) => line !== expected[index]) + 1;
}
