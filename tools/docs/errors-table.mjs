// The table of errors, from the classes and their doc comments.
import ts from 'typescript';
import { cell } from './markdown.mjs';
import { docOf, placeOf, publicSymbols } from './program.mjs';

const BASE = 'RogerError';

export function errorsTable(program, complain) {
  const known = publicSymbols(program);
  const rows = errorClasses(program).map((symbol) => {
    if (known.get(symbol.name) !== symbol) complain(...placeOf(symbol), `${symbol.name} is not exported`);
    const code = codeOf(symbol, program);
    const doc = docOf(symbol, program);
    if (code === undefined) complain(...placeOf(symbol), `${symbol.name} has no code of its own`);
    if (doc === '') complain(...placeOf(symbol), `${symbol.name} has no doc comment`);
    return { symbol, code, doc };
  });
  for (const [index, { symbol, code }] of rows.entries()) {
    const twin = rows.slice(0, index).find((row) => row.code === code);
    if (twin !== undefined)
      complain(...placeOf(symbol), `${symbol.name} has the code of ${twin.symbol.name}`);
  }
  return [
    '| Error | Code | What it means, and what to do |',
    '| --- | --- | --- |',
    ...rows.map(({ symbol, code, doc }) => `| \`${symbol.name}\` | \`${code}\` | ${cell(doc)} |`),
  ].join('\n');
}

/** An error that a document speaks of can be imported. */
export function problemsOfErrorNames({ file, text }, program, complain) {
  // What a changelog says of the past may be gone.
  if (file === 'CHANGELOG.md') return;
  const known = new Map([...publicSymbols(program), ...publicSymbols(program, 'engine')]);
  for (const [index, line] of text.split('\n').entries()) {
    for (const [, name] of line.matchAll(/`([A-Z]\w+Error)`/g)) {
      if (!known.has(name) && !Object.hasOwn(globalThis, name)) {
        complain(file, index + 1, `neither nestjs-roger nor nestjs-roger-engine exports ${name}`);
      }
    }
  }
}

/** All error classes of the library, in the order in which they are declared. */
function errorClasses(program) {
  const checker = program.getTypeChecker();
  return program
    .getSourceFiles()
    .filter(({ fileName }) => /(^|\/)libs\/roger\/src\//.test(fileName))
    .flatMap((source) => source.statements.filter(ts.isClassDeclaration))
    .map((declaration) => checker.getSymbolAtLocation(declaration.name))
    .filter((symbol) => extendsBase(checker.getDeclaredTypeOfSymbol(symbol)));
}

function extendsBase(type) {
  return (type.getBaseTypes() ?? []).some((base) => base.symbol?.name === BASE || extendsBase(base));
}

function codeOf(symbol, program) {
  const property = symbol.members?.get('code');
  if (property === undefined) return undefined;
  const type = program.getTypeChecker().getTypeOfSymbol(property);
  return type.isStringLiteral() ? type.value : undefined;
}
