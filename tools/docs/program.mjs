// Compiles examples against the library's source, all in one TypeScript program, and reads doc comments from it.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

/** Inside node_modules, so that packages are found and no other tool looks. */
const CACHE = 'node_modules/.cache/roger';

/** The library's source files but its specs. */
export function libraryFiles(folder) {
  return readdirSync(folder, { recursive: true })
    .map((file) => join(folder, file).replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'));
}

/**
 * Type-checks the examples with the repository's own settings and reports each error at its line in the comment or
 * document that it stands in. An example is `{ name, code, file, line }`, `line` being that of its first line.
 */
export function compile(examples, library, complain) {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.', undefined, resolve('tsconfig.json'));
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'docs-'));
  try {
    const paths = new Map(
      examples.map((example) => {
        const path = join(folder, example.name);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, example.code);
        return [path, example];
      }),
    );
    const program = ts.createProgram([...library, ...paths.keys()], {
      ...options,
      moduleDetection: ts.ModuleDetectionKind.Force,
    });
    for (const { messageText } of program.getOptionsDiagnostics()) {
      complain('tsconfig.json', 1, ts.flattenDiagnosticMessageText(messageText, ' '));
    }
    for (const [path, { file, line }] of paths) {
      const source = program.getSourceFile(path);
      const errors = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      for (const { start = 0, code, messageText } of errors) {
        const at = line + source.getLineAndCharacterOfPosition(start).line;
        complain(file, at, `TS${code}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
      }
    }
    return program;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The names that an app can import from nestjs-roger, each with what it stands for. */
export function publicSymbols(program, library = 'roger') {
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(`libs/${library}/src/index.ts`);
  if (source === undefined) throw new Error(`libs/${library} is not in the program`);
  const index = checker.getSymbolAtLocation(source);
  return new Map(
    checker
      .getExportsOfModule(index)
      .map((symbol) => [
        symbol.name,
        symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
      ]),
  );
}

/** Where a symbol is declared. */
export function placeOf(symbol) {
  const [declaration] = symbol.declarations;
  const source = declaration.getSourceFile();
  return [
    relative('.', source.fileName),
    source.getLineAndCharacterOfPosition(declaration.getStart()).line + 1,
  ];
}

/** A symbol's doc comment as one paragraph of Markdown. */
export function docOf(symbol, program) {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(program.getTypeChecker()));
  return text
    .replace(/\{@link ([\w.]+)\s*\}/g, '`$1`')
    .replace(/\s+/g, ' ')
    .trim();
}
