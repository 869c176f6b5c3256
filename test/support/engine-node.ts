// Worker processes with an engine that write what their jobs do into a file, as it happens, so that a kill takes none of it.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RogerModuleOptions } from 'nestjs-roger';
import type { RogerEngineOptions } from 'nestjs-roger-engine';
import { afterTest } from './after-test';
import { RUN_TYPESCRIPT } from './run-typescript';
import { within } from './within';

export interface EngineNodeSettings {
  readonly trace: string;
  readonly roger: RogerModuleOptions;
  readonly engine: RogerEngineOptions;
  /** So many turns after the end of a job's handler nothing more happens in the process. */
  readonly blocksAfterTurns?: number | undefined;
}

/** What a job's handler has done; or that its process is blocked. */
export interface TracedStep {
  readonly what: 'began' | 'ended' | 'failed' | 'blocked';
  readonly id: string;
  readonly attempt: number;
  readonly pid: number;
  /** In ms since the epoch. */
  readonly at: number;
}

const START_MS = 60_000;

export class EngineNode {
  private readonly exited: Promise<void>;

  private constructor(private readonly child: ChildProcess) {
    this.exited = new Promise((resolve) => child.once('exit', () => resolve()));
    afterTest('process', () => this.kill());
  }

  /** Resolves when it serves its partitions. */
  static async start(settings: EngineNodeSettings): Promise<EngineNode> {
    const child = fork(join(__dirname, 'engine-program.ts'), [JSON.stringify(settings)], {
      cwd: join(__dirname, '../..'),
      execArgv: [...RUN_TYPESCRIPT],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const node = new EngineNode(child);
    const started = new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code) =>
        reject(new Error(`the node ended with ${code ?? 'a signal'} while it started`)),
      );
    });
    await within('a node with an engine to start', started, undefined, START_MS);
    return node;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** In good order. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await within('a node with an engine to stop', this.exited, undefined, START_MS);
  }
}

export function tracedSteps(trace: string): TracedStep[] {
  return readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TracedStep);
}
