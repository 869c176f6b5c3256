// Unit tests (beside the code, no broker) and broker tests (test/, one private RabbitMQ for the run).
const swc = ['@swc/jest', require('./tools/swc-options.cjs')];

const { paths } = require('./tsconfig.json').compilerOptions;

const shared = {
  rootDir: __dirname,
  testEnvironment: 'node',
  transform: { '^.+\\.ts$': swc },
  moduleNameMapper: Object.fromEntries(
    Object.entries(paths).map(([name, [source]]) => [`^${name}$`, `<rootDir>/${source}`]),
  ),
  modulePathIgnorePatterns: ['/dist/', '<rootDir>/compat/'],
  setupFiles: ['reflect-metadata'],
};

/** The tools of tests about clusters: what those tests use of them they show, too. */
const longOnly = ['<rootDir>/libs/private-rabbitmq/src/private-cluster.spec.ts'];

module.exports = {
  coverageProvider: 'v8',
  maxWorkers: 2,
  // For a test that hangs, not for a slow machine: Jest's own five seconds fail sound tests where cores are shared.
  testTimeout: 300_000,
  reporters: ['default', '<rootDir>/tools/count-reporter.cjs'],
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/libs/{roger,engine}/src/**/*.spec.ts'] },
    {
      ...shared,
      displayName: 'broker',
      testMatch: ['<rootDir>/test/**/*.spec.ts', '<rootDir>/libs/private-*/src/**/*.spec.ts'],
      testPathIgnorePatterns: process.env.ROGER_FAULTS === 'long' ? [] : longOnly,
      globalSetup: '<rootDir>/test/support/start-broker.ts',
      globalTeardown: '<rootDir>/test/support/stop-broker.ts',
    },
  ],
};
