// A process of its own that runs an app with Roger, so that a test can kill it.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { RogerModuleOptions } from 'nestjs-roger';
import { afterTest } from './after-test';
import type { KeyedArgs } from './keyed-work';
import { RUN_TYPESCRIPT } from './run-typescript';
import { Signals } from './signal';
import type { Sightings } from './sightings';
import { within } from './within';
import type { Sighting } from './work';

/** What the child is told. */
export type Order = 'close' | 'release' | EnqueueOrder | RetryBuriedOrder;

/** All buried jobs of a queue to be enqueued anew. */
export interface RetryBuriedOrder {
  readonly retryBuried: { readonly partition: string; readonly queue: string };
}

/** Jobs with keys to be enqueued at once. */
export interface EnqueueOrder {
  readonly partition: string;
  readonly queue?: string;
  readonly orders: readonly { readonly id: string; readonly args: KeyedArgs }[];
}

/** What became of one of them. */
export interface EnqueueOutcome {
  readonly kind: 'outcome';
  readonly id: string;
  readonly status: 'enqueued' | 'duplicate' | 'failed';
  readonly existingJobId?: string | undefined;
  readonly error?: string;
}

/** What the child tells. */
export type Report =
  | { readonly kind: 'created' }
  | { readonly kind: 'started' }
  | { readonly kind: 'sighting'; readonly sighting: Sighting }
  | { readonly kind: 'closed' }
  | EnqueueOutcome
  | { readonly kind: 'line'; readonly level: string; readonly message: string };

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildAppOptions {
  /** Its name in the sightings. */
  readonly node: string;
  readonly roger: RogerModuleOptions;
  readonly sightings: Sightings;
  /** Resolve the start before the app serves its partitions. @default false */
  readonly isStartEnough?: boolean;
  /** Have it call `enableShutdownHooks` before its app is initialised, as an HTTP app can. @default false */
  readonly enablesHooksFirst?: boolean;
  /** Have a hook of its app wait for ever at the shutdown. @default false */
  readonly hangsAtShutdown?: boolean;
  /** Have it answer the commands of {@link NodeCommands}. @default false */
  readonly answersCommands?: boolean;
  /** Have it not call `enableShutdownHooks`. @default false */
  readonly forgetsShutdownHooks?: boolean;
  /** Above the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** By how much its clock is ahead; of one that is behind, negative. @default 0 */
  readonly clockAheadMs?: number;
}

const ROOT = join(__dirname, '../..');

export class ChildApp {
  /** Settles when the process has ended, however. */
  readonly exited: Promise<Exit>;
  readonly lines: string[] = [];
  /** Of what it was told to enqueue. */
  readonly outcomes = new Signals<EnqueueOutcome>();
  private onReport: (report: Report) => void = () => undefined;
  private stderr = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly options: ChildAppOptions,
  ) {
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    child.on('message', (report: Report) => {
      if (report.kind === 'sighting') options.sightings.add(report.sighting);
      if (report.kind === 'outcome') this.outcomes.add(report);
      if (report.kind === 'line') this.lines.push(`${report.level} ${report.message}`);
      this.onReport(report);
    });
    afterTest('process', () => this.kill());
  }

  /** Resolves when the child's app runs and serves its partitions. */
  static async start(options: ChildAppOptions): Promise<ChildApp> {
    const app = ChildApp.fork(options);
    await app.report('started', 30_000);
    return app;
  }

  /** Resolves when the app of a child with `enablesHooksFirst` is there and about to be initialised. */
  static async create(options: ChildAppOptions): Promise<ChildApp> {
    const app = ChildApp.fork({ ...options, enablesHooksFirst: true });
    await app.report('created', 30_000);
    return app;
  }

  private static fork(options: ChildAppOptions): ChildApp {
    const settings = JSON.stringify({
      node: options.node,
      roger: options.roger,
      isStartEnough: options.isStartEnough ?? false,
      answersCommands: options.answersCommands ?? false,
      forgetsShutdownHooks: options.forgetsShutdownHooks ?? false,
      enablesHooksFirst: options.enablesHooksFirst ?? false,
      hangsAtShutdown: options.hangsAtShutdown ?? false,
      clockAheadMs: options.clockAheadMs ?? 0,
    });
    const child = fork(join(__dirname, 'child-program.ts'), [settings], {
      cwd: ROOT,
      execArgv: [...RUN_TYPESCRIPT],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...options.env },
    });
    return new ChildApp(child, options);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Sends the signal; resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL', limitMs?: number): Promise<Exit> {
    this.child.kill(signal);
    return this.gone(limitMs);
  }

  /** Sends the signal and waits for nothing. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Lets its held jobs end. */
  release(): void {
    this.child.send('release' satisfies Order);
  }

  /** Has it enqueue all buried jobs of a queue anew, and waits for nothing. */
  retryBuried(partition: string, queue: string): void {
    this.child.send({ retryBuried: { partition, queue } } satisfies Order);
  }

  /** Has it enqueue jobs; their outcomes come one by one. */
  enqueue(order: EnqueueOrder): void {
    this.child.send(order satisfies Order);
  }

  /** Has it enqueue jobs and resolves when each has an outcome. */
  async enqueued(order: EnqueueOrder, limitMs?: number): Promise<readonly EnqueueOutcome[]> {
    const before = this.outcomes.seen.length;
    this.enqueue(order);
    const all = this.outcomes.count(before + order.orders.length);
    await within(`${this.options.node} to enqueue`, all, () => this.standing(), limitMs);
    return this.outcomes.seen.slice(before);
  }

  /** Tells the child to close its app; resolves when it has. */
  async close(): Promise<void> {
    const closed = this.report('closed');
    this.child.send('close' satisfies Order);
    await closed;
  }

  /** Resolves when the process has ended by itself. */
  gone(limitMs?: number): Promise<Exit> {
    return within(`the process of ${this.options.node} to end`, this.exited, () => this.standing(), limitMs);
  }

  private report(kind: Report['kind'], limitMs?: number): Promise<void> {
    const { node } = this.options;
    const reported = new Promise<void>((resolve, reject) => {
      this.onReport = (report) => {
        if (report.kind === kind) resolve();
      };
      void this.exited.then(({ code, signal }) => {
        reject(
          new Error(`${node} ended with ${code ?? signal ?? '?'} before it reported ${kind}: ${this.stderr}`),
        );
      });
    });
    return within(`${node} to report ${kind}`, reported, () => this.standing(), limitMs);
  }

  /** What it has written of errors that nobody caught, and the like. */
  get errorOutput(): string {
    return this.stderr;
  }

  private standing(): string {
    return [...this.lines.slice(-10), this.stderr].join('\n');
  }
}
