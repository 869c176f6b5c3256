// Correctness by types; how the code looks is Prettier's.
import js from '@eslint/js';
import jest from 'eslint-plugin-jest';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const specs = ['**/*.spec.ts', '**/*.conformance.ts', 'test/**/*.ts'];

export default defineConfig(
  { ignores: ['**/dist/', '**/node_modules/', 'coverage/', 'docs/api/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Counters and durations stand in messages; a number can't print as [object Object].
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Nest modules are empty classes under a decorator.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      // `() => channel.ack(message)` in a callback that returns nothing reads better than with braces.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // A leading underscore says that an argument is there for its place only; Nest's module builder hands out two
      // values that are nothing but types.
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^(ASYNC_)?OPTIONS_TYPE$', ignoreRestSiblings: true },
      ],
      // What exists for its type only vanishes at run time; depcruise and swc then see what is really loaded.
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Args of a job are written as literals and become instances of their DTO on the way; Nest's options are classes.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // Code of a library says things to a log, never to the console.
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: specs,
    extends: [jest.configs['flat/recommended'], jest.configs['flat/style']],
    rules: {
      // `expect(mailer.send).toHaveBeenCalled()` binds nothing and calls nothing; jest's own rule knows that.
      '@typescript-eslint/unbound-method': 'off',
      'jest/unbound-method': 'error',
      // Conformance suites and waiting helpers assert in functions of their own.
      'jest/expect-expect': [
        'error',
        {
          assertFunctionNames: [
            ...['expect', 'expect*', '**.expect*', 'assert*', 'fc.assert'],
            // Waits that fail after their time: what they wait for is what is promised.
            ...['within', 'eventually', 'sightings.ended', 'enqueueBeside'],
          ],
        },
      ],
      // What `testsAtOnce()` gives is called so.
      'jest/no-standalone-expect': ['error', { additionalTestBlockFunctions: ['together'] }],
      // A property over any input has two fair ends, a value or the named error, and expects something of each.
      'jest/no-conditional-expect': 'off',
      // A handler of a test is often async because its port is, with nothing to await.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // Programs: the console is their face.
    files: ['apps/**/*.ts', 'bench/**/*.ts', 'test/support/**/*.ts', 'tools/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.cjs', '**/*.js'],
    languageOptions: {
      globals: { console: 'readonly', performance: 'readonly', process: 'readonly', URL: 'readonly' },
    },
  },
  {
    files: ['**/*.cjs', '**/*.js'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: { module: 'writable', require: 'readonly', __dirname: 'readonly', jest: 'readonly' },
    },
  },
);
