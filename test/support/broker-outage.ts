// Roger on a cluster of three brokers under load, while a test does harm to the brokers; judged from outside afterwards.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateCluster, PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateCluster } from 'private-rabbitmq';
import { eventually } from './app';
import { allEnded, probeKeys } from './keyed-endings';
import type { Counts } from './keyed-observer';
import { observe } from './keyed-observer';
import { OutageLoad, STANDING_PARTITIONS } from './outage-load';
import { OutageNode } from './outage-node';
import { answersOf, brokenPauses, gapsOf } from './outage-figures';
import type { Answers } from './outage-figures';
import type { TraceEvent } from './trace';
import { readTrace, Trace } from './trace';

export const IS_LONG = process.env['ROGER_FAULTS'] === 'long';
/** How long the load runs before something happens, and after all is mended. */
const CALM_MS = 3_000;
const SETTLE_MS = 60_000;
const HEAL_MS = 30_000;

/**
 * As the README advises: else what was on its way out of a level while its leader was lost comes three minutes later, as
 * test/time/cluster.spec.ts has it, and this is about all the rest.
 */
const CONFIRM_TIMEOUT = '[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]}].\n';

export interface Outcome {
  /** Of the promises. */
  readonly violations: readonly string[];
  readonly counts: Counts;
  /** The greatest time between the begins of two jobs while the load lasted, in ms. */
  readonly gapMs: number;
  readonly answers: Answers;
  readonly events: readonly TraceEvent[];
}

export class BrokerOutage {
  private constructor(
    private readonly name: string,
    private readonly folder: string,
    private readonly tracePath: string,
    private readonly trace: Trace,
    readonly cluster: PrivateCluster,
    readonly producer: OutageNode,
    readonly workers: readonly OutageNode[],
    readonly load: OutageLoad,
  ) {}

  /** Starts everything; resolves when the load has run for a while. Each broker node has one Roger node connected to it. */
  static async begin(name: string, jobsPerSecond: number): Promise<BrokerOutage> {
    const folder = mkdtempSync(join(tmpdir(), 'roger-outage-'));
    const tracePath = join(folder, 'trace');
    const cluster = await startPrivateCluster({
      partitionHandling: 'pause_minority',
      advancedConfiguration: CONFIRM_TIMEOUT,
    });
    const { uris } = cluster;
    const start = (node: string, mode: 'worker' | 'producer', first: number): Promise<OutageNode> =>
      OutageNode.start({
        node,
        trace: tracePath,
        // All know all, and each begins with another.
        brokerUris: [...uris.slice(first), ...uris.slice(0, first)],
        roger: { mode, partitions: STANDING_PARTITIONS },
      });
    const started = await Promise.allSettled([
      start('producer', 'producer', 0),
      start('worker-1', 'worker', 1),
      start('worker-2', 'worker', 2),
    ]);
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const [producer, ...workers] = nodes;
    if (producer === undefined || workers.length !== 2) {
      await Promise.all(nodes.map((node) => node.end()));
      await cluster.stop();
      throw new AggregateError(
        started.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : [])),
        'Not all nodes have started',
      );
    }
    const load = new OutageLoad(producer, workers, jobsPerSecond);
    const trace = new Trace(tracePath, 'test');
    const outage = new BrokerOutage(name, folder, tracePath, trace, cluster, producer, workers, load);
    open.add(outage);
    await sleep(CALM_MS);
    return outage;
  }

  get nodes(): readonly OutageNode[] {
    return [this.producer, ...this.workers];
  }

  /** The broker node that leads most of the quorum queues. */
  async leaderOfMost(): Promise<PrivateRabbitmq> {
    const tables = await this.cluster.nodes[0]?.ctl('eval', 'ets:tab2list(ra_leaderboard).');
    const led = ({ nodename }: PrivateRabbitmq): number =>
      (tables ?? '').match(new RegExp(`\\{'[^']*',\\s*'${nodename}'\\},`, 'g'))?.length ?? 0;
    const [first] = [...this.cluster.nodes].sort((one, other) => led(other) - led(one));
    if (first === undefined || led(first) === 0) throw new Error(`Nobody leads anything: ${tables}`);
    return first;
  }

  /** Does harm to a broker node: until it is mended, the brokers may give to others what any node has. */
  async harm(how: () => Promise<unknown>): Promise<void> {
    for (const { name } of this.nodes) this.trace.add({ what: 'split' }, name);
    await how();
  }

  async mend(how: () => Promise<unknown>): Promise<void> {
    await how();
    for (const { name } of this.nodes) this.trace.add({ what: 'resumed' }, name);
  }

  /** Ends the load, waits for the end of all jobs and for all to be well, and judges. */
  async end(): Promise<Outcome> {
    await sleep(CALM_MS);
    this.trace.add({ what: 'unloading' });
    await this.load.stop();
    await allEnded(this.trace, this.tracePath, SETTLE_MS);
    await probeKeys(this.tracePath, SETTLE_MS, (order) => {
      if (order.order !== 'enqueue') return;
      const { id, args } = order;
      const [partition = ''] = (args.executionKey ?? args.queueKey ?? '').split('/');
      this.producer.tell({
        order: 'enqueue',
        job: { id, partition, queue: 'default', args: { ...args, failures: 0 }, isProbe: true },
      });
    });
    const unhealed = await this.unhealed();

    const events = readTrace(this.tracePath);
    const { violations, counts } = observe(events);
    const gaps = gapsOf(events);
    const answers = answersOf(events);
    const figures = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
    process.stdout.write(
      `a cluster of brokers (${this.name}): ${figures.join(', ')}; greatest gap ${gaps.overall} ms, by queue ` +
        `${JSON.stringify(gaps.byQueue)}; answers ${JSON.stringify(answers)}\n`,
    );
    return {
      violations: [
        ...violations.map(({ breaks, because }) => `${breaks} ${because}`),
        ...brokenPauses(events),
        ...unhealed.map((what) => `I13 ${what}`),
      ],
      counts,
      gapMs: gaps.overall,
      answers,
      events,
    };
  }

  /** Ends all processes; safe to repeat. */
  async close(): Promise<void> {
    open.delete(this);
    this.trace.close();
    await Promise.all(this.nodes.map((node) => node.end()));
    await this.cluster.stop();
    if (process.env['ROGER_FAULTS_KEEP'] === undefined) rmSync(this.folder, { recursive: true });
  }

  /** What is not as it was before the harm, when it had time to become so. */
  private async unhealed(): Promise<string[]> {
    let wrong: string[] = [];
    await eventually(
      'all to be well',
      async () => (wrong = await this.whatIsWrong()).length === 0,
      HEAL_MS,
    ).catch(() => undefined);
    return wrong;
  }

  private async whatIsWrong(): Promise<string[]> {
    const names = JSON.stringify(this.nodes.map(({ name }) => name).sort());
    const wrong: string[] = [];
    for (const node of this.nodes) {
      try {
        const { waiting, unready, nodes, answering } = await node.standing();
        wrong.push(...[...waiting, ...unready].map((what) => `${node.name}: ${what}`));
        if (JSON.stringify(nodes) !== names) wrong.push(`${node.name} knows of ${nodes.join(', ')}`);
        if (JSON.stringify(answering) !== names)
          wrong.push(`${node.name} is answered by ${answering.join(', ')}`);
      } catch (error) {
        wrong.push(String(error));
      }
    }
    const consumers = await this.consumersByQueue();
    for (const { partition, queue } of this.load.places) {
      const count = consumers.get(`${partition}-${queue}`) ?? 0;
      if (count < this.workers.length) wrong.push(`${partition}-${queue} has ${count} consumers`);
    }
    return wrong;
  }

  private async consumersByQueue(): Promise<Map<string, number>> {
    const listed = await this.cluster.nodes[0]?.ctl('list_queues', 'name', 'consumers');
    return new Map(
      (listed ?? '').split('\n').map((line) => {
        const [name = '', count] = line.split('\t');
        return [name, Number(count)];
      }),
    );
  }
}

const open = new Set<BrokerOutage>();

afterEach(async () => {
  for (const outage of open) await outage.close();
});
