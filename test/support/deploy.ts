// Worker and producer processes that are replaced one after the other, as a rolling deploy does, under a steady load.
import { setTimeout as sleep } from 'node:timers/promises';
import type { RogerModuleOptions } from 'nestjs-roger';
import { KeyedNode } from './keyed-node';
import type { KeyedArgs, KeyedProgramSettings } from './keyed-program';
import type { SeededChance } from './seeded-chance';
import type { Trace } from './trace';

const QUEUES = ['default', 'mail'] as const;
const MAX_WORKERS = 10;
/** Of one process, with its jobs of at most 50 ms. */
const END_MS = 30_000;
const TICK_MS = 10;
const EXECUTION_KEYS = 100;
const QUEUE_KEYS = 60;

export interface DeployOptions {
  readonly partition: string;
  readonly trace: Trace;
  readonly tracePath: string;
  readonly brokerUri: string;
  readonly roger?: Omit<RogerModuleOptions, 'connection' | 'mode' | 'partitions'>;
}

type Build = KeyedProgramSettings['build'];

export class Deploy {
  readonly workers: KeyedNode[] = [];
  producer: KeyedNode | undefined;
  /** How processes have ended that were told to. */
  readonly endings: (NodeJS.Signals | number | null)[] = [];
  private count = 0;

  constructor(private readonly options: DeployOptions) {}

  async start(workers: number, build?: Build): Promise<void> {
    const [producer, ...started] = await Promise.all([
      this.launch('producer'),
      ...Array.from({ length: workers }, () => this.launch('worker', build)),
    ]);
    this.producer = producer;
    this.workers.push(...started);
  }

  /** A new process serves before the oldest is told to end. Resolves when that one is gone. */
  async replaceWorker(build?: Build): Promise<void> {
    this.workers.push(await this.launch('worker', build));
    await this.end(this.workers.shift());
  }

  async replaceProducer(): Promise<void> {
    const old = this.producer;
    this.producer = await this.launch('producer');
    await this.end(old);
  }

  private async end(node: KeyedNode | undefined): Promise<void> {
    if (node !== undefined) this.endings.push(await node.terminate(END_MS));
  }

  private launch(role: 'worker' | 'producer', build?: Build): Promise<KeyedNode> {
    const { partition, trace, tracePath, brokerUri, roger } = this.options;
    const queues = Object.fromEntries(QUEUES.map((queue) => [queue, MAX_WORKERS]));
    return KeyedNode.start({
      node: `${role}.${++this.count}${build === undefined ? '' : `.${build}`}`,
      partition,
      trace: tracePath,
      observed: trace,
      brokerUri,
      build,
      roger: { ...roger, mode: role, partitions: { [partition]: queues } },
    });
  }
}

/** Jobs at an even pace, with and without keys, of 5 to 50 ms. */
export class SteadyLoad {
  asked = 0;
  private isOver = false;
  private readonly loop: Promise<void>;

  /** Begins at once. */
  constructor(
    private readonly deploy: Deploy,
    private readonly perSecond: number,
    private readonly chance: SeededChance,
  ) {
    this.loop = this.run();
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.loop;
  }

  private async run(): Promise<void> {
    let dueAt = performance.now();
    while (!this.isOver) {
      for (; dueAt <= performance.now(); dueAt += 1_000 / this.perSecond) this.orderOne();
      await sleep(TICK_MS);
    }
  }

  private orderOne(): void {
    const { chance } = this;
    const shape = chance.below(10);
    const args: KeyedArgs = {
      ms: 5 + chance.below(46),
      failures: chance.below(25) === 0 ? 1 : 0,
      executionKey: shape < 3 ? `e${chance.below(EXECUTION_KEYS)}` : undefined,
      queueKey: shape === 3 ? `q${chance.below(QUEUE_KEYS)}` : undefined,
    };
    this.deploy.producer?.tell({
      order: 'enqueue',
      id: `job-${++this.asked}`,
      queue: chance.one(QUEUES),
      args,
    });
  }
}
