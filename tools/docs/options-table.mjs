// The tables of options, from the interfaces and their doc comments.
import { isDeepStrictEqual } from 'node:util';
import { runInNewContext } from 'node:vm';
import ts from 'typescript';
import { cell } from './markdown.mjs';
import { docOf, placeOf, publicSymbols } from './program.mjs';

const TABLES = [
  [
    'RogerModuleOptions',
    'The module: `RogerModule.forRoot({ … })`, or what the factory of `forRootAsync` returns',
  ],
  [
    'RogerModuleExtras',
    'The module, beside the options: `forRoot({ name, … })`, `forRootAsync({ name, useFactory })`',
  ],
  ['RabbitmqConnectionOptions', 'The broker: `connection: { … }`'],
  ['QueueOptions', 'A queue on this node: `partitions: { acme: { mail: { … } } }`'],
  ['ThreadOptions', 'The worker threads: `threads: { … }`'],
  ['JobOptions', 'A job: `@RogerJob({ … })`'],
  ['EnqueueOptions', 'One call: `jobs.enqueue(SomeJob, args, { … })`'],
  ['MemoryBrokerOptions', 'The broker in memory: `new MemoryBroker({ … })`'],
];

export function optionsTable(program, complain) {
  const known = publicSymbols(program);
  return TABLES.map(([name, title]) => {
    const symbol = known.get(name);
    if (symbol === undefined) {
      complain('libs/roger/src/index.ts', 1, `${name} is not exported`);
      return '';
    }
    const rows = propertiesOf(symbol).map((property) => rowOf(property, program, complain));
    return [
      `**${title}**`,
      '',
      '| Option | Type | Default | Meaning |',
      '| --- | --- | --- | --- |',
      ...rows,
    ].join('\n');
  }).join('\n\n');
}

/** A default that the doc comment of a module option claims must be the one that `settingsOf` fills in. */
export function problemsOfDefaults(program, complain) {
  const filledIn = defaultsInCode(program);
  for (const property of propertiesOf(publicSymbols(program).get('RogerModuleOptions'))) {
    const claimed = defaultOf(property);
    const actual = filledIn.get(property.name);
    if (claimed === undefined) continue;
    // A default in words stands for nothing at all.
    const isSame = isLiteral(claimed) ? isDeepStrictEqual(valueOf(claimed), actual) : isNothing(actual);
    if (!isSame) {
      const place = placeOf(property);
      complain(
        ...place,
        `${property.name}: @default ${claimed}, but settingsOf says ${JSON.stringify(actual)}`,
      );
    }
  }
}

function propertiesOf(symbol) {
  return [...symbol.members.values()].filter((member) => member.flags & ts.SymbolFlags.Property);
}

function rowOf(property, program, complain) {
  const [declaration] = property.declarations;
  const doc = docOf(property, program);
  if (doc === '') complain(...placeOf(property), `${property.name} has no doc comment`);
  const isRequired = declaration.questionToken === undefined;
  const stated = defaultOf(property);
  const fallback = isRequired ? 'required' : 'none';
  const shown = stated !== undefined && isLiteral(stated) ? `\`${stated}\`` : (stated ?? fallback);
  const cells = [`\`${property.name}\``, `\`${shortType(declaration.type.getText())}\``, shown, doc];
  return `| ${cells.map(cell).join(' | ')} |`;
}

function defaultOf(property) {
  const tag = property.getJsDocTags().find(({ name }) => name === 'default');
  return tag === undefined ? undefined : ts.displayPartsToString(tag.text).trim();
}

/** `Readonly<Record<string, X>> | undefined` says no more to a reader than `Record<string, X>`. */
function shortType(text) {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\breadonly /g, '')
    .replace(/ \| undefined$/, '')
    .replace(/\bReadonly<(.*)>$/, '$1')
    .replace(/\bClass<.*>/, 'Class');
}

function isLiteral(text) {
  return /^(\d|'|\[|true$|false$)/.test(text);
}

function isNothing(value) {
  return value === undefined || isDeepStrictEqual(value, {});
}

/** What `settingsOf` has to the right of each `??`. */
function defaultsInCode(program) {
  const source = program.getSourceFile('libs/roger/src/roger.options.ts');
  const settingsOf = source.statements.find(
    (it) => ts.isFunctionDeclaration(it) && it.name.text === 'settingsOf',
  );
  const { expression } = settingsOf.body.statements.find(ts.isReturnStatement);
  const defaults = expression.properties.filter(({ initializer }) => ts.isBinaryExpression(initializer));
  return new Map(
    defaults.map(({ name, initializer }) => [name.text, valueOf(textOf(initializer.right, program))]),
  );
}

/** The text of an expression, or of what the constant that it names is set to. */
function textOf(expression, program) {
  if (!ts.isIdentifier(expression)) return expression.getText();
  const checker = program.getTypeChecker();
  const symbol = checker.getSymbolAtLocation(expression);
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return target.valueDeclaration.initializer.getText();
}

/** Through JSON, for a list of another context is equal to none of ours. */
function valueOf(text) {
  return JSON.parse(JSON.stringify(runInNewContext(`(${text})`)));
}
