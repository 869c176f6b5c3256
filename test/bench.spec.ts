// The benchmarks end in bounded time, with a line that says what took too long.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { sharedBrokerUri } from './support/broker';
import { RUN_TYPESCRIPT } from './support/run-typescript';

const ROOT = join(__dirname, '..');

interface End {
  readonly code: number | null;
  readonly lines: readonly string[];
}

/** Runs the benchmarks as `npm run bench` does, on the broker of the tests. */
function bench(...args: string[]): Promise<End> {
  const child = spawn(process.execPath, [...RUN_TYPESCRIPT, 'bench/run.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, ROGER_AMQP_URL: sharedBrokerUri() },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve({ code, lines: text.trimEnd().split('\n') });
    });
  });
}

test('what takes longer than all may take together fails with a clear line, and leaves no process behind', async () => {
  const begunAt = performance.now();
  const { code, lines } = await bench('--limit', '1', 'memory');
  expect(code).toBe(1);
  expect(lines.at(-1)).toBe('The benchmarks did not end within 1 s: memory was under way');
  // The child holds the other end of stderr, so it has ended too.
  expect(performance.now() - begunAt).toBeLessThan(30_000);
});

test('a limit that is no time is refused', async () => {
  const { code, lines } = await bench('--quick', '--limit', 'soon');
  expect(code).toBe(1);
  expect(lines.join('\n')).toContain('--limit takes a number of seconds, not soon');
});
