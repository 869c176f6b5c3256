// The gate: runs the checks, two at a time, starts no more when one has failed, and ends with a table of how long each took.
// `node tools/check.mjs` runs all; `node tools/check.mjs rest` leaves out the tests.
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';

/** The long ones early, so that two lanes end together; what fails often and soon before all. */
const checks = [
  // What follows needs what is built, and would build it at the same time.
  { script: 'build:lib', isAlone: true },
  { script: 'format:check' },
  { script: 'lint' },
  { script: 'deps' },
  { script: 'knip' },
  { script: 'bench', args: ['--quick'] },
  { script: 'types' },
  { script: 'package' },
  { script: 'docs:check' },
  { script: 'demo' },
  // With two workers of its own, and waits that a busy machine makes longer.
  ...(process.argv[2] === 'rest' ? [] : [{ script: 'test', isAlone: true }]),
];
const LANES = 2;

const rows = new Map(checks.map(({ script }) => [script, [script, 'not run', '']]));
let failed;
const running = new Set();
for (const check of checks) {
  while (running.size >= (check.isAlone ? 1 : LANES)) await Promise.race(running);
  if (failed !== undefined) break;
  const ended = run(check).finally(() => running.delete(ended));
  running.add(ended);
  if (check.isAlone) await ended;
}
await Promise.all(running);

/** What runs alone speaks as it goes; of two at a time each is heard as a whole when it is over. */
async function run({ script, args = [], isAlone = false }) {
  const begin = performance.now();
  const child = spawn('npm', ['run', '--silent', script, ...(args.length > 0 ? ['--', ...args] : [])], {
    stdio: isAlone ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  if (isAlone) console.log(`\n▶ ${script}`);
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => said.push(part));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (!isAlone) process.stdout.write(`\n▶ ${script}\n${Buffer.concat(said).toString()}`);
  if (status !== 0) failed ??= script;
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  rows.set(script, [script, status === 0 ? 'passed' : 'FAILED', `${seconds} s`]);
}

const table = [...rows.values()];
const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column].length)));
console.log('');
for (const [script, outcome, time] of table) {
  console.log(
    `${script.padEnd(widths[0])}  ${outcome.padEnd(widths[1])}  ${time.padStart(widths[2])}`.trimEnd(),
  );
}
if (failed !== undefined) {
  console.error(`\nThe check stopped at: ${failed} (npm run ${failed})`);
  process.exitCode = 1;
}
