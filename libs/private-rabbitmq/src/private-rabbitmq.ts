// The life of a private node: started, killed, frozen, started again, and gone without a trace.
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ErlangVm } from './erlang-vm';
import { installedRabbitmq, toolBeside } from './find-rabbitmq';
import type { NodeLayout } from './node-layout';
import { environmentOf, layOutNode } from './node-layout';
import { servesAmqp, servesManagement } from './readiness';
import { Watchdog } from './watchdog';

export const DEFAULT_START_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 25;
/** Erlang says why it ended first, and then at length how. */
const LOG_LINES_IN_ERRORS = 60;

/** How a private node is to be. */
export interface PrivateRabbitmqOptions {
  /** Also starts the management plugin (the HTTP API) and waits for it; the start takes half a second longer. @default false */
  readonly management?: boolean;
  /** Further lines of `rabbitmq.conf`, e.g. `{ consumer_timeout: '60000' }`. @default none */
  readonly configuration?: Readonly<Record<string, string>>;
  /** The text of `advanced.config`: Erlang terms. @default none */
  readonly advancedConfiguration?: string;
  /** How long a start may last, in ms. At expiry the node is killed and the start rejects. @default 60_000 */
  readonly startTimeoutMs?: number;
}

/**
 * Starts a RabbitMQ node of one's own: on loopback ports of its own, in a temporary folder of its own, beside any other
 * RabbitMQ of the machine, and as the user who calls.
 *
 * The node never outlives the calling process, however that ends, and doesn't keep it alive either.
 *
 * @throws when RabbitMQ isn't installed, or when the node doesn't come up; the message ends with its last log lines
 * @example
 * const rabbitmq = await startPrivateRabbitmq();
 * const connection = await connect(rabbitmq.uri);
 * // …
 * await rabbitmq.stop();
 */
export async function startPrivateRabbitmq(options: PrivateRabbitmqOptions = {}): Promise<PrivateRabbitmq> {
  const server = installedRabbitmq();
  const layout = await layOutNode({
    management: options.management ?? false,
    advancedConfiguration: options.advancedConfiguration,
    configuration: options.configuration ?? {},
  });
  const node = new PrivateRabbitmq(server, layout, options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS);
  try {
    await node.start();
    return node;
  } catch (error) {
    await node.stop();
    throw error;
  }
}

/** A RabbitMQ node of one's own; see {@link startPrivateRabbitmq}. Ports and data stay the same until {@link stop}. */
export class PrivateRabbitmq {
  private readonly watchdog: Watchdog;
  private vm: ErlangVm | undefined;
  private starting: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  /** @internal */
  constructor(
    private readonly server: string,
    private readonly layout: NodeLayout,
    private readonly startTimeoutMs: number,
  ) {
    this.watchdog = new Watchdog(layout.folder);
  }

  /** Where clients connect: `amqp://guest:guest@127.0.0.1:PORT`. */
  get uri(): string {
    return `amqp://guest:guest@127.0.0.1:${this.layout.port}`;
  }

  /** Its name in Erlang, which `rabbitmqctl` shows. */
  get nodename(): string {
    return this.layout.nodename;
  }

  /** Whether its Erlang VM runs, be it frozen or not. */
  get isRunning(): boolean {
    return this.vm?.isRunning === true;
  }

  /** The AMQP port on 127.0.0.1. */
  get port(): number {
    return this.layout.port;
  }

  /** Where the HTTP API is: `http://guest:guest@127.0.0.1:PORT`; undefined unless `management` was asked for. */
  get managementUri(): string | undefined {
    const { managementPort } = this.layout;
    return managementPort === undefined ? undefined : `http://guest:guest@127.0.0.1:${managementPort}`;
  }

  /** The folder with everything that the node writes, its log `node.log` included; gone after {@link stop}. */
  get folder(): string {
    return this.layout.folder;
  }

  /** Process id of the Erlang VM, another one after each start. @throws while the node is down */
  get pid(): number {
    return this.runningVm().pid;
  }

  /** Starts a node that was killed or stopped gracefully; resolves when it serves clients, at once when it does already. */
  async start(): Promise<void> {
    if (this.stopping !== undefined) throw new Error('This private RabbitMQ was stopped for good.');
    this.starting ??= this.boot().finally(() => {
      this.starting = undefined;
    });
    await this.starting;
  }

  /**
   * Ends the Erlang VM with SIGKILL, as a crash would; resolves when it is gone. What it had written is kept. RabbitMQ
   * writes down half a second late which quorum queues there are: one declared just before is lost, with its messages.
   */
  async kill(): Promise<void> {
    this.vm?.signal('SIGKILL');
    await this.vm?.gone();
  }

  /** Stops the Erlang VM in mid-step with SIGSTOP: connections stay open and nothing answers. @throws while down */
  freeze(): void {
    this.runningVm().signal('SIGSTOP');
  }

  /** Lets a frozen Erlang VM go on. @throws while down */
  thaw(): void {
    this.runningVm().signal('SIGCONT');
  }

  /** Shuts the broker down in good order, in about a second; resolves when it is gone. All durable data is kept. */
  async stopGracefully(): Promise<void> {
    this.vm?.signal('SIGTERM');
    // A frozen VM would never see the other signal.
    this.vm?.signal('SIGCONT');
    await this.vm?.gone();
  }

  /** Runs `rabbitmqctl` against this node and resolves with what it prints, e.g. `ctl('list_queues', 'name')`. */
  ctl(...args: string[]): Promise<string> {
    return this.run('rabbitmqctl', args);
  }

  /** The same with `rabbitmq-upgrade`, e.g. `upgrade('drain')`. */
  upgrade(...args: string[]): Promise<string> {
    return this.run('rabbitmq-upgrade', args);
  }

  /** Ends the node for good, at once, and removes its folder. Calling it again changes nothing. */
  stop(): Promise<void> {
    this.stopping ??= this.vanish();
    return this.stopping;
  }

  private async run(tool: Parameters<typeof toolBeside>[1], args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(
      toolBeside(this.server, tool),
      ['--quiet', '--node', this.layout.nodename, ...args],
      { env: environmentOf(this.layout), cwd: this.layout.folder },
    );
    return stdout;
  }

  private async boot(): Promise<void> {
    if (this.vm?.isRunning === true) return;
    const vm = ErlangVm.start(this.server, this.layout);
    this.vm = vm;
    this.watchdog.watch(vm.pid);
    void vm.exited.then(() => {
      // The system may give the pid to somebody else, whom the watchdog must not kill.
      if (this.vm === vm) this.watchdog.watch(undefined);
    });
    const problem = await this.problemOfStart(vm);
    if (problem === undefined) return;
    const log = await this.lastLogLines();
    await this.kill();
    throw new Error(`The private RabbitMQ ${problem}. Its last log lines:\n${log}`);
  }

  /** Waits until the node serves its clients; what kept it from that, or undefined. */
  private async problemOfStart(vm: ErlangVm): Promise<string | undefined> {
    const deadline = Date.now() + this.startTimeoutMs;
    while (!(await this.serves())) {
      if (!vm.isRunning) return 'ended while it started';
      if (Date.now() > deadline) return `did not come up within ${this.startTimeoutMs} ms`;
      await sleep(POLL_INTERVAL_MS);
    }
    return undefined;
  }

  private async serves(): Promise<boolean> {
    const { port, managementPort } = this.layout;
    return (
      (await servesAmqp(port)) && (managementPort === undefined || (await servesManagement(managementPort)))
    );
  }

  private async lastLogLines(): Promise<string> {
    const log = await readFile(this.layout.logFile, 'utf8').catch(() => '(no log)');
    return log.trimEnd().split('\n').slice(-LOG_LINES_IN_ERRORS).join('\n');
  }

  private async vanish(): Promise<void> {
    await this.kill();
    await rm(this.layout.folder, { recursive: true, force: true, maxRetries: 5 });
    await this.watchdog.dismiss();
  }

  private runningVm(): ErlangVm {
    if (this.vm?.isRunning !== true) throw new Error('This private RabbitMQ is not running.');
    return this.vm;
  }
}
