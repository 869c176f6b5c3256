// A process with Roger on a cluster of brokers, as a test holds it: gives it orders, and asks it how things are.
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { OutageOrder, OutageProgramSettings, OutageReport, Question, Standing } from './outage-program';
import { RUN_TYPESCRIPT } from './run-typescript';
import { within } from './within';

const ROOT = join(__dirname, '../..');
/** Several processes at once on a machine that is busy take their time. */
const START_MS = 60_000;
/** More than anything that a process is asked may take: the ledger's answer comes, or is given up, within 10 s. */
const ANSWER_MS = 15_000;

type Omitted = 'connection';
export interface OutageNodeOptions extends Omit<OutageProgramSettings, 'roger'> {
  readonly roger: Omit<OutageProgramSettings['roger'], Omitted>;
  /** It connects to the first that it can reach. */
  readonly brokerUris: readonly string[];
}

export class OutageNode {
  private readonly exited: Promise<void>;
  private readonly pending = new Map<number, (report: OutageReport) => void>();
  private questions = 0;
  private isGone = false;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    this.exited = new Promise((resolve) => {
      child.once('exit', () => {
        this.isGone = true;
        resolve();
      });
    });
    child.on('error', () => undefined);
    child.on('message', (report: OutageReport) => {
      if (report.report !== 'started') this.pending.get(report.number)?.(report);
    });
  }

  /** Resolves when it is connected, and a worker serves its partitions. */
  static async start({ node, trace, brokerUris, roger }: OutageNodeOptions): Promise<OutageNode> {
    const settings: OutageProgramSettings = {
      node,
      trace,
      roger: { ...roger, nodeName: node, connection: { uri: [...brokerUris], heartbeatSeconds: 2 } },
    };
    const child = fork(join(__dirname, 'outage-program.ts'), [JSON.stringify(settings)], {
      cwd: ROOT,
      execArgv: [...RUN_TYPESCRIPT],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.stderr?.pipe(createWriteStream(`${trace}.${node}.log`));
    const self = new OutageNode(node, child);
    const started = new Promise<void>((resolve, reject) => {
      child.on('message', ({ report }: OutageReport) => {
        if (report === 'started') resolve();
      });
      void self.exited.then(() => {
        reject(new Error(`${node} ended before it had started: see ${trace}.${node}.log`));
      });
    });
    await within(`${node} to have started`, started, undefined, START_MS);
    return self;
  }

  tell(order: Exclude<OutageOrder, { readonly order: 'ask' }>): void {
    this.send(order);
  }

  /** @throws what the process says of its failure, or that it doesn't answer */
  async ask(question: Question): Promise<unknown> {
    const number = ++this.questions;
    const reported = new Promise<OutageReport>((resolve) => this.pending.set(number, resolve));
    this.send({ order: 'ask', number, question });
    try {
      const report = await within(
        `${this.name} to answer ${JSON.stringify(question)}`,
        reported,
        undefined,
        ANSWER_MS,
      );
      if (report.report === 'answer') return report.answer;
      throw new Error(report.report === 'failure' ? report.message : report.report);
    } finally {
      this.pending.delete(number);
    }
  }

  async standing(): Promise<Standing> {
    return (await this.ask({ what: 'standing' })) as Standing;
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  private send(order: OutageOrder): void {
    if (!this.isGone) this.child.send(order, () => undefined);
  }
}
