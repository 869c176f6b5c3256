// Runs the library's whole suite on Nest 12: the same projects, with every @nestjs/* import led to this folder's
// node_modules, whoever makes it (the library, its tests, golevelup).
const base = require('../../jest.config.js');

const here = `${__dirname}/node_modules`;
const root = `${base.projects[0].rootDir}/node_modules`;

/** Nest 12 is ESM only, and Jest on Node 20 loads no ESM by `require`: swc makes CommonJS of it. */
const esmToCommonJs = [
  '@swc/jest',
  { jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } }, module: { type: 'commonjs' } },
];

const onNest12 = (project) => ({
  ...project,
  displayName: `${project.displayName} on Nest 12`,
  transform: { ...project.transform, '/node_modules/@nestjs/.+\\.js$': esmToCommonJs },
  transformIgnorePatterns: ['/node_modules/(?!@nestjs/)'],
  moduleNameMapper: {
    ...project.moduleNameMapper,
    '^(@nestjs/.+)$': `${here}/$1`,
    // One copy each: they hold state that the library, the app and Nest must share.
    '^(rxjs|reflect-metadata|class-validator|class-transformer)(/.*)?$': `${root}/$1$2`,
  },
  modulePathIgnorePatterns: ['/dist/'],
  setupFiles: [...project.setupFiles, `${__dirname}/../expect-nest12.js`],
});

module.exports = { ...base, rootDir: base.projects[0].rootDir, projects: base.projects.map(onNest12) };
