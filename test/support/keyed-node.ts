// A process with keyed jobs, as a test holds it: gives it orders, and kills, freezes and cuts it off, which the trace tells.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Guard } from './keyed-mutants';
import type { KeyedOrder, KeyedProgramSettings, KeyedReport } from './keyed-program';
import { RUN_TYPESCRIPT } from './run-typescript';
import { TcpProxy } from './tcp-proxy';
import type { Trace } from './trace';
import { within } from './within';

const ROOT = join(__dirname, '../..');
/** A process starts within seconds, but several at once on a machine that is busy take their time. */
const START_MS = 60_000;
const alive = new Set<KeyedNode>();

export interface KeyedNodeOptions extends Omit<KeyedProgramSettings, 'roger'> {
  readonly roger: Omit<KeyedProgramSettings['roger'], 'connection'>;
  /** One, or one per node of a cluster; it connects to the first that it can reach. */
  readonly brokerUri: string | readonly string[];
  /** The trace of the test itself, in the same file. */
  readonly observed: Trace;
  /** What is switched off in it. */
  readonly without?: Guard | undefined;
}

export class KeyedNode {
  isFrozen = false;
  isGone = false;
  /** How its process has ended. */
  private readonly exited: Promise<NodeJS.Signals | number | null>;

  private constructor(
    readonly name: string,
    /** Before each of its brokers. */
    private readonly proxies: readonly TcpProxy[],
    private readonly child: ChildProcess,
    private readonly options: KeyedNodeOptions,
  ) {
    alive.add(this);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.isGone = true;
        alive.delete(this);
        for (const proxy of proxies) void proxy.close();
        resolve(signal ?? code);
      });
    });
    child.on('error', () => undefined);
  }

  /** Resolves when it is connected, and a worker serves its partitions. */
  static async start(options: KeyedNodeOptions): Promise<KeyedNode> {
    const { node, partition, trace, brokerUri, without, build } = options;
    const proxies = await Promise.all([brokerUri].flat().map((uri) => TcpProxy.before(uri)));
    const settings: KeyedProgramSettings = {
      node,
      partition,
      trace,
      build,
      roger: { ...options.roger, connection: { uri: proxies.map(({ uri }) => uri), heartbeatSeconds: 2 } },
    };
    const child = fork(join(__dirname, 'keyed-program.ts'), [JSON.stringify(settings)], {
      cwd: ROOT,
      execArgv: [...RUN_TYPESCRIPT],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...(without === undefined ? {} : { ROGER_MUTANT: without }) },
    });
    child.stderr?.pipe(createWriteStream(`${trace}.${node}.log`));
    const self = new KeyedNode(node, proxies, child, options);
    await self.report('started');
    return self;
  }

  /** Ends all that are left, frozen ones too. */
  static async killAll(): Promise<void> {
    await Promise.all([...alive].map((node) => node.kill()));
  }

  /** Before its broker. @throws RangeError when it has several */
  get proxy(): TcpProxy {
    const [proxy, ...others] = this.proxies;
    if (proxy === undefined || others.length > 0) throw new RangeError('There is not one proxy');
    return proxy;
  }

  tell(order: KeyedOrder): void {
    // Whoever is gone is not told; what was not asked is missed by nobody.
    if (!this.isGone) this.child.send(order, () => undefined);
  }

  /** Resolves when it has used the ledger: it is among those from whom the broker chooses the keeper. */
  async join(): Promise<void> {
    const joined = this.report('joined');
    this.tell({ order: 'join' });
    await joined;
  }

  async kill(): Promise<void> {
    // First: what it did not do any more must not look as if it had no cause.
    this.options.observed.add({ what: 'killed' }, this.name);
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Tells it to end, as a deploy does; resolves to how it has ended. */
  async terminate(limitMs: number): Promise<NodeJS.Signals | number | null> {
    this.child.kill('SIGTERM');
    return within(`${this.name} to end`, this.exited, undefined, limitMs);
  }

  /** How many jobs it has handed on to others, for it doesn't know them. */
  async countHandedOn(): Promise<number> {
    const counted = new Promise<number>((resolve) => {
      this.child.on('message', (report: KeyedReport) => {
        if (typeof report === 'object') resolve(report.handedOn);
      });
    });
    this.tell({ order: 'count handed on' });
    return within(`${this.name} to count`, counted);
  }

  freeze(): void {
    this.isFrozen = true;
    this.options.observed.add({ what: 'frozen' }, this.name);
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.isFrozen = false;
    if (this.isGone) return;
    this.child.kill('SIGCONT');
    this.options.observed.add({ what: 'resumed' }, this.name);
  }

  /** Cuts all its connections; it may connect again. */
  cut(): void {
    this.options.observed.add({ what: 'cut off' }, this.name);
    for (const proxy of this.proxies) proxy.cut();
  }

  private report(wanted: Extract<KeyedReport, string>): Promise<void> {
    const reported = new Promise<void>((resolve, reject) => {
      this.child.on('message', (report: KeyedReport) => {
        if (report === wanted) resolve();
      });
      void this.exited.then(() => {
        reject(
          new Error(`${this.name} ended before it had ${wanted}: see ${this.options.trace}.${this.name}.log`),
        );
      });
    });
    return within(`${this.name} to have ${wanted}`, reported, undefined, START_MS);
  }
}
