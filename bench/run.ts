// The benchmarks' entry: `npm run bench -- [--json] [--quick] [--limit seconds] [name…]`. Starts a broker, runs each in
// its own process.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { BENCHMARKS } from './benchmarks';
import type { Assignment, Result } from './benchmark';
import { jsonLine, table } from './report';

/** For one of them. */
const LIMIT_MS = 600_000;
/** For all together, with the start and stop of the broker, where `--limit` doesn't say another: the gate must not hang. */
const QUICK_TOTAL_LIMIT_SECONDS = 300;

const { values: flags, positionals } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    limit: { type: 'string' },
  },
  allowPositionals: true,
});

/** What is being done, for who wonders what took so long. */
let underWay = 'the start of the broker';
let running: ChildProcess | undefined;

async function main(): Promise<void> {
  const names = chosen();
  limitAll();
  const given = process.env['ROGER_AMQP_URL'];
  const broker = given === undefined ? await startPrivateRabbitmq() : undefined;
  const uri = broker?.uri ?? given ?? '';
  const results: Result[] = [];
  try {
    for (const name of names) {
      console.error(`${name} …`);
      underWay = name;
      results.push(await runApart({ name, isQuick: flags.quick }, uri));
    }
  } finally {
    underWay = 'the stop of the broker';
    await broker?.stop();
  }
  // The quick form shows that the benchmarks work; its figures mean little and are not judged.
  console.log(table(results, { isJudged: !flags.quick }));
  console.log(`${circumstances()}\n`);
  if (flags.json) console.log(jsonLine(results));
}

/** Ends everything when the time for all together is over. The private broker does not outlive this process. */
function limitAll(): void {
  const seconds = totalLimitSeconds();
  if (seconds === undefined) return;
  const timer = setTimeout(() => {
    running?.kill('SIGKILL');
    console.error(`The benchmarks did not end within ${seconds} s: ${underWay} was under way`);
    process.exit(1);
  }, seconds * 1_000);
  timer.unref();
}

function totalLimitSeconds(): number | undefined {
  if (flags.limit === undefined) return flags.quick ? QUICK_TOTAL_LIMIT_SECONDS : undefined;
  const seconds = Number(flags.limit);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new Error(`--limit takes a number of seconds, not ${flags.limit}`);
}

function circumstances(): string {
  const load = loadavg().map((average) => average.toFixed(1));
  return `Node ${process.version}, ${availableParallelism()} cores, load average ${load.join(' ')}`;
}

function chosen(): readonly string[] {
  const known = Object.keys(BENCHMARKS);
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`No benchmark ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return positionals.length === 0 ? known : positionals;
}

/** In a process of its own: what one benchmark leaves in the heap and in compiled code must not weigh on the next. */
function runApart(assignment: Assignment, uri: string): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = fork(join(__dirname, 'one.ts'), [JSON.stringify(assignment)], {
      // Also hands on `--cpu-prof` and its like.
      execArgv: [...process.execArgv, '--expose-gc'],
      // The URI may hold a password, and arguments are seen by everyone.
      env: { ...process.env, ROGER_AMQP_URL: uri, ROGER_BUILT_LIBRARIES: 'yes' },
    });
    running = child;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${assignment.name} did not end within ${LIMIT_MS} ms`));
    }, LIMIT_MS);
    let result: Result | undefined;
    child.on('message', (message) => {
      result = message as Result;
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      if (code === 0 && result !== undefined) resolve(result);
      else reject(new Error(`${assignment.name} ended with exit code ${code ?? 'none'}`));
    });
  });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
