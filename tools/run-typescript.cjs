// Has Node run TypeScript, for the processes and threads that tests start: `node -r ./tools/run-typescript.cjs program.ts`.
// There are hundreds of them in a run, and @swc-node/register takes half a second of each to load the whole of TypeScript.
// With ROGER_BUILT_LIBRARIES in the environment the libraries are what is built of them, as an app gets them.
const { createHash, randomUUID } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const { dirname, join } = require('node:path');
const swcOptions = require('./swc-options.cjs');

const ROOT = dirname(__dirname);
const CACHE = join(ROOT, 'node_modules/.cache/roger/run-typescript');
const { version } = require('@swc/core/package.json');

/** As in Jest, the sources of the libraries and not what is built of them: a test may reach into these. */
const sources =
  process.env.ROGER_BUILT_LIBRARIES === undefined ? require('../tsconfig.json').compilerOptions.paths : {};

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...more) {
  const file = Object.hasOwn(sources, request) ? join(ROOT, ...sources[request]) : request;
  return resolve.call(this, file, ...more);
};

Module._extensions['.ts'] = (module, file) => {
  module._compile(compiled(file), file);
};

/** From the cache, or compiled and put there. */
function compiled(file) {
  const source = readFileSync(file, 'utf8');
  const salt = `${version} ${JSON.stringify(swcOptions)} ${file}\n`;
  const entry = join(CACHE, `${createHash('sha1').update(salt).update(source).digest('hex')}.js`);
  try {
    return readFileSync(entry, 'utf8');
  } catch {
    const { code } = require('@swc/core').transformSync(source, {
      ...swcOptions,
      filename: file,
      swcrc: false,
    });
    keep(entry, code);
    return code;
  }
}

/** Whole or not at all: other processes look for it at the same time. */
function keep(entry, code) {
  const draft = `${entry}.${randomUUID()}`;
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(draft, code);
  renameSync(draft, entry);
}
