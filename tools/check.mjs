// The gate: runs the checks in order, stops at the first that fails, and ends with a table of how long each took.
// `node tools/check.mjs` runs all; `node tools/check.mjs rest` leaves out the tests.
import { spawnSync } from 'node:child_process';

const checks = [
  { script: 'format:check' },
  { script: 'lint' },
  { script: 'types' },
  { script: 'deps' },
  { script: 'knip' },
  { script: 'package' },
  { script: 'docs:check' },
  { script: 'demo' },
  { script: 'bench', args: ['--quick'] },
  ...(process.argv[2] === 'rest' ? [] : [{ script: 'test' }]),
];

const rows = [];
let failed;
for (const { script, args = [] } of checks) {
  if (failed !== undefined) {
    rows.push([script, 'not run', '']);
  } else {
    console.log(`\n▶ ${script}`);
    const begin = performance.now();
    const { status } = spawnSync(
      'npm',
      ['run', '--silent', script, ...(args.length > 0 ? ['--', ...args] : [])],
      {
        stdio: 'inherit',
      },
    );
    if (status !== 0) failed = script;
    rows.push([
      script,
      status === 0 ? 'passed' : 'FAILED',
      `${((performance.now() - begin) / 1000).toFixed(1)} s`,
    ]);
  }
}

const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column].length)));
console.log('');
for (const [script, outcome, time] of rows) {
  console.log(
    `${script.padEnd(widths[0])}  ${outcome.padEnd(widths[1])}  ${time.padStart(widths[2])}`.trimEnd(),
  );
}
if (failed !== undefined) {
  console.error(`\nThe check stopped at: ${failed} (npm run ${failed})`);
  process.exitCode = 1;
}
