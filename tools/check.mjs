// The gate: runs the checks, starts no more when one has failed, and ends with a table of how long each took.
// `node tools/check.mjs` runs all, two at a time, the tests last and alone; `rest` leaves out the tests; `merge` runs the
// tests at once, and beside them what only reads.
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';

// What else needs what is built would build it at the same time.
const BUILD = { script: 'build:lib', isAlone: true };
// With two workers of its own, and waits that a busy machine makes longer.
const TEST = { script: 'test', isAlone: true };
const BENCH = { script: 'bench', args: ['--quick'] };
const DEMO = { script: 'demo' };
/** Take nothing but CPU. What fails often and soon before all. */
const SOON = ['format:check', 'lint', 'deps', 'knip'].map((script) => ({ script }));
const LATER = ['types', 'package', 'docs:check'].map((script) => ({ script }));
const LANES = 2;

const mode = process.argv[2] ?? 'all';
// The long ones early, so that two lanes end together.
const rest = [...SOON, BENCH, ...LATER, DEMO];
const checks = [BUILD, ...rest, ...(mode === 'rest' ? [] : [TEST])];
const rows = new Map(checks.map(({ script }) => [script, [script, 'not run', '']]));
const failed = [];

if (mode === 'merge') {
  await run(BUILD);
  // Tests wait a lot. At the lowest priority the others have just what is left by them, and don't make them late.
  await Promise.all([inLanes([TEST, BENCH, DEMO], 1), inLanes([...SOON, ...LATER], 1, lowestPriority)]);
} else {
  await inLanes(checks, LANES);
}

/** So many at a time, and those alone that are to be. */
async function inLanes(checks, lanes, prepare = () => undefined) {
  const running = new Set();
  for (const check of checks) {
    while (running.size >= (check.isAlone ? 1 : lanes)) await Promise.race(running);
    if (failed.length > 0) break;
    const ended = run(check, prepare).finally(() => running.delete(ended));
    running.add(ended);
    if (check.isAlone) await ended;
  }
  await Promise.all(running);
}

/** What it starts itself gets the same. */
function lowestPriority({ pid }) {
  if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW);
}

/** What runs alone speaks as it goes; of others each is heard as a whole when it is over. */
async function run({ script, args = [], isAlone = false }, prepare = () => undefined) {
  const begin = performance.now();
  const child = spawn('npm', ['run', '--silent', script, ...(args.length > 0 ? ['--', ...args] : [])], {
    stdio: isAlone ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  prepare(child);
  if (isAlone) console.log(`\n▶ ${script}`);
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => said.push(part));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (!isAlone) process.stdout.write(`\n▶ ${script}\n${Buffer.concat(said).toString()}`);
  if (status !== 0) failed.push(script);
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
for (const script of failed) console.error(`\nThe check stopped at: ${script} (npm run ${script})`);
if (failed.length > 0) process.exitCode = 1;
