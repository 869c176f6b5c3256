// A rejection that a job leaves unhandled is told with its name and ends no process; every other one is Node's, as ever.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { RUN_TYPESCRIPT } from '../support/run-typescript';
import type { StrayOrder } from '../support/stray-program';

interface Ending {
  readonly code: number | null;
  readonly output: string;
}

/** How a process ends that is told to do so. */
async function endOf(order: StrayOrder, flags: readonly string[] = []): Promise<Ending> {
  const program = join(__dirname, '../support/stray-program.ts');
  const args = [...flags, ...RUN_TYPESCRIPT, program, JSON.stringify(order)];
  const child = spawn(process.execPath, args, { cwd: join(__dirname, '../..') });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

test.each([
  ['an error', {}, 'nobody awaits me'],
  ['no error', { reason: 'undefined' }, 'undefined'],
  ['of a callback', { from: 'callback' }, 'nobody awaits me'],
] as const)(
  'a rejection (%s) is logged as that of its job, and the node lives',
  async (_what, order, reason) => {
    const { code, output } = await endOf(order);
    expect(output).toContain(`Job careless first has left a rejection unhandled: ${reason}.`);
    // At once and a little later.
    expect(output.match(/Job careless first has left/g)).toHaveLength('from' in order ? 1 : 2);
    expect(output).toContain('the next job has run');
    expect(output).toContain('0 listeners are left');
    expect(code).toBe(0);
  },
);

test.each([
  ['an error', 'error', 'Error: nobody awaits me'],
  ['no error', 'undefined', 'ERR_UNHANDLED_REJECTION'],
] as const)(
  'one of the app itself (%s) ends the process as it does without Roger',
  async (_what, reason, text) => {
    const { code, output } = await endOf({ from: 'app', reason });
    expect(code).toBe(1);
    expect(output).toContain(text);
    expect(output).not.toContain('the next job has run');
    expect(output).not.toContain('has left a rejection unhandled');
  },
);

test('an app that outlives what nobody catches is told of its own once, and by whom, and of no job', async () => {
  const own = await endOf({ from: 'app', doesAppSurvive: true });
  expect(own.output.match(/uncaught .*/g)).toEqual(['uncaught nobody awaits me by unhandledRejection']);
  expect(own.code).toBe(0);
  const ofJob = await endOf({ doesAppSurvive: true });
  expect(ofJob.output).not.toContain('uncaught');
  expect(ofJob.output).toContain('Job careless first has left');
});

test('an app that listens itself is told of all, and decides', async () => {
  const own = await endOf({ from: 'app', doesAppListen: true });
  expect(own.output.match(/the app was told/g)).toHaveLength(1);
  expect(own.code).toBe(0);
  const ofJob = await endOf({ doesAppListen: true });
  expect(ofJob.output.match(/the app was told/g)).toHaveLength(2);
  expect(ofJob.output.match(/Job careless first has left/g)).toHaveLength(2);
});

test.each([
  ['the option', { unhandledRejections: 'leave' }, []],
  ["Node's flag", {}, ['--unhandled-rejections=strict']],
] as const)("what is left to Node by %s ends the process, a job's too", async (_what, order, flags) => {
  const { code, output } = await endOf(order, flags);
  expect(code).toBe(1);
  expect(output).toContain('Error: nobody awaits me');
  expect(output).not.toContain('has left a rejection unhandled');
});
