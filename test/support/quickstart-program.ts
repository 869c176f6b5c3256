// A process of its own that runs a program of the built quickstart.
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterTest } from './after-test';
import { within } from './within';

const ROOT = join(__dirname, '../..');
const RUN_LIMIT_MS = 40_000;

/** Compiles the app, against the library's dist. */
export async function buildQuickstart(): Promise<void> {
  const nest = join(ROOT, 'node_modules/@nestjs/cli/bin/nest.js');
  await promisify(execFile)(process.execPath, [nest, 'build', 'quickstart'], { cwd: ROOT });
}

/** One run of a program; killed when the test ends, if it still runs. */
export class Program {
  /** What it has written so far, to either stream. */
  output = '';
  private readonly ended: Promise<number | null>;

  private constructor(private readonly child: ChildProcess) {
    afterTest('process', () => this.end('SIGKILL'));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.ended = once(child, 'close').then(() => {
      return child.exitCode;
    });
  }

  static start(file: string, args: readonly string[], env: NodeJS.ProcessEnv): Program {
    const program = join(ROOT, 'dist/apps/quickstart', file);
    return new Program(
      spawn(process.execPath, [program, ...args], {
        env: { ...process.env, ROGER_AMQP_URL: undefined, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
  }

  /** Resolves when the program has ended by itself. */
  exitCode(): Promise<number | null> {
    return within('the end of the program', this.ended, () => this.output, RUN_LIMIT_MS);
  }

  /** Ends it by a signal and resolves when it is gone. */
  end(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.exitCode();
  }

  /** Resolves to the match when the output has it. */
  says(text: RegExp): Promise<RegExpExecArray> {
    const match = new Promise<RegExpExecArray>((resolve) => {
      const check = (): void => {
        const found = text.exec(this.output);
        if (found !== null) resolve(found);
      };
      this.child.stdout?.on('data', check);
      check();
    });
    return within(`output like ${text.source}`, match, () => this.output);
  }
}
