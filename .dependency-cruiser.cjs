// Who may import whom. The house of libs/roger/src is drawn in docs/architecture.md; this file holds the code to it.

/** From the roof to the ground: what stands higher may import what stands lower, never the other way. */
const storeys = [
  'index\\.ts$',
  'roger\\.module\\.ts$',
  'roger\\.options\\.ts$',
  'nest/',
  'health/',
  'info/',
  'cron/',
  'partition/',
  'worker/',
  'enqueue/',
  'cluster/',
  'reports/',
  'ledger/',
  'ledger-transport\\.ts$',
  'transport\\.ts$',
  'job/',
];
const roof = '^libs/roger/src/(index|roger\\.module|roger\\.options)\\.ts$';
const house = '^libs/roger/src/';
const engine = '^libs/engine/src/';
/** A spec beside the code may import whatever it needs to set its scene. */
const specs = '\\.(spec|conformance)\\.ts$';

const layering = storeys.slice(1).map((storey, index) => ({
  name: `storeys: ${storey.replace(/\\|\$/g, '')} imports from below only`,
  severity: 'error',
  from: { path: house + storey, pathNot: specs },
  to: { path: storeys.slice(0, index + 1).map((above) => house + above) },
}));

/** A package by its name, wherever it is installed. */
const packages = (...names) => `(^|/)node_modules/(${names.join('|')})/`;

module.exports = {
  forbidden: [
    ...layering,
    {
      name: 'storeys: a new folder needs a place',
      comment: 'Add it to `storeys` above and to the picture in docs/architecture.md.',
      severity: 'error',
      from: {},
      to: {
        path: house,
        pathNot: [...storeys.map((storey) => house + storey), `${house}transports/`, specs],
      },
    },
    {
      name: 'storeys: a new folder needs a place (as importer)',
      severity: 'error',
      from: {
        path: house,
        pathNot: [...storeys.map((storey) => house + storey), `${house}transports/`, specs],
      },
      to: {},
    },
    {
      name: 'transports: an adapter knows the ports and job/ only',
      severity: 'error',
      from: { path: `${house}transports/([^/]+)/`, pathNot: specs },
      to: {
        path: house,
        pathNot: [`${house}transports/$1/`, `${house}(ledger-)?transport\\.ts$`, `${house}job/`],
      },
    },
    {
      name: 'transports: only the wiring knows the adapters',
      severity: 'error',
      from: { path: house, pathNot: [roof, `${house}transports/`, specs] },
      to: { path: `${house}transports/` },
    },
    {
      name: 'amqp: only transports/rabbitmq knows it',
      severity: 'error',
      from: { path: house, pathNot: `${house}transports/rabbitmq/` },
      to: {
        path: packages('amqplib', '@types/amqplib', 'amqp-connection-manager', '@golevelup/nestjs-rabbitmq'),
      },
    },
    {
      name: 'amqp: of amqplib only types',
      comment: 'It comes with golevelup and does not stand in our package.json; @types/amqplib does.',
      severity: 'error',
      from: { path: house, pathNot: specs },
      to: { path: packages('amqplib'), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'nest: only nest/ and the module know it',
      severity: 'error',
      from: {
        path: house,
        pathNot: [`${house}nest/`, `${house}(index|roger\\.module|roger\\.options)\\.ts$`, specs],
      },
      to: { path: packages('@nestjs/[^/]+', 'rxjs') },
    },
    {
      name: 'nest: the options take types of it only',
      severity: 'error',
      from: { path: `${house}roger\\.options\\.ts$` },
      to: { path: packages('@nestjs/[^/]+', 'rxjs'), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'job: pure; no packages but those that are functions of their arguments',
      severity: 'error',
      from: { path: `${house}job/`, pathNot: specs },
      to: {
        path: 'node_modules',
        pathNot: packages(
          'class-validator',
          'class-transformer',
          'reflect-metadata',
          'fastest-levenshtein',
          '@types/node',
        ),
      },
    },
    {
      name: 'package: what the library loads stands in its package.json',
      comment: 'In `dependencies` or `peerDependencies`, or an app that installs it will not have it.',
      severity: 'error',
      from: { path: house, pathNot: specs },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'package: the library does not know its tests, apps and tools',
      severity: 'error',
      from: { path: house },
      to: { path: '^(test|apps|bench|tools|compat|libs/(engine|private-[^/]+))/' },
    },
    {
      name: 'package: nothing that ships imports a spec',
      severity: 'error',
      from: { path: '^(libs|apps)/', pathNot: specs },
      to: { path: specs },
    },
    {
      name: 'apps and engine: they know nestjs-roger, not its insides',
      severity: 'error',
      from: { path: '^(apps|bench|libs/engine)/' },
      to: { path: house, pathNot: `${house}index\\.ts$` },
    },
    {
      name: 'apps and engine: they import nestjs-roger by its name',
      severity: 'error',
      from: { path: '^(apps|bench|libs/engine)/' },
      to: { path: house, dependencyTypesNot: ['aliased'] },
    },
    {
      name: 'engine: what it loads stands in its package.json',
      severity: 'error',
      from: { path: engine, pathNot: specs },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        dependencyTypesNot: ['type-only'],
        // Looked for when it is needed, and named when it is missing.
        pathNot: packages('pg'),
      },
    },
    {
      name: 'engine: records/ are pure, and writer/ knows no database',
      severity: 'error',
      from: { path: `${engine}(records|writer)/`, pathNot: specs },
      to: { path: `${engine}(store|history|catalogue)/` },
    },
    {
      name: 'engine: store/ knows no services',
      severity: 'error',
      from: { path: `${engine}store/` },
      to: { path: `${engine}(history|catalogue)/` },
    },
    {
      name: 'engine: only its module and lifecycle know Nest',
      severity: 'error',
      from: { path: engine, pathNot: [`${engine}(roger-engine\\.module|engine-lifecycle)\\.ts$`, specs] },
      to: { path: packages('@nestjs/[^/]+', 'rxjs') },
    },
    {
      name: 'private-rabbitmq and private-postgres stand alone',
      severity: 'error',
      from: { path: '^libs/(private-[^/]+)/' },
      to: { path: '^(libs|test|apps|bench|tools)/', pathNot: '^libs/$1/' },
    },
    {
      name: 'no cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no import that leads nowhere',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // Sees `import type` too, which is gone after compilation.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    doNotFollow: { path: 'node_modules' },
    // Of our own only: rxjs and amqp-connection-manager live in a dist/ too, and must be seen.
    exclude: { path: '^(libs|apps)/[^/]+/dist/|^dist/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
