// A process with jobs of many partitions, with and without keys. Started by OutageNode; its settings are its first argument.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { JobContext, JobHandler, RogerModuleOptions } from 'nestjs-roger';
import {
  ClusterService,
  GlobalStateService,
  JobQueue,
  PartitionService,
  RogerCommand,
  RogerHealth,
  RogerJob,
  RogerModule,
} from 'nestjs-roger';
import type { RunEventKind } from './trace';
import { Trace } from './trace';
import { TracingLogger } from './tracing-logger';
import { untilOverOrAborted } from './work-time';

const LOOK_AT_HEALTH_MS = 200;

export interface OutageProgramSettings {
  readonly node: string;
  readonly roger: RogerModuleOptions;
  /** The file for what happens here. */
  readonly trace: string;
}

export interface OutageArgs {
  readonly queueKey?: string | undefined;
  readonly executionKey?: string | undefined;
  /** How long it takes, in ms. */
  readonly ms: number;
  /** How many of its attempts fail. */
  readonly failures: number;
}

export interface OutageJob {
  readonly id: string;
  readonly partition: string;
  readonly queue: string;
  readonly args: OutageArgs;
  readonly isProbe?: boolean;
}

/** What the process is asked; each is answered. */
export type Question =
  | { readonly what: 'start'; readonly partition: string; readonly queues: Readonly<Record<string, number>> }
  | { readonly what: 'pause' | 'resume'; readonly partition: string; readonly queue: string }
  | { readonly what: 'standing' };

/** What the process is told. */
export type OutageOrder =
  | { readonly order: 'enqueue'; readonly job: OutageJob }
  | { readonly order: 'cancel'; readonly id: string; readonly partition: string }
  | { readonly order: 'ask'; readonly number: number; readonly question: Question };

/** What the process tells. */
export type OutageReport =
  | { readonly report: 'started' }
  | { readonly report: 'answer'; readonly number: number; readonly answer: unknown }
  | { readonly report: 'failure'; readonly number: number; readonly message: string };

/** How things are on a node. */
export interface Standing {
  /** Each of its partitions that does not run, and why. */
  readonly waiting: readonly string[];
  /** Why a probe would not call it ready. */
  readonly unready: readonly string[];
  /** The names of the nodes that it knows of. */
  readonly nodes: readonly string[];
  /** The names of those that answer a command to all. */
  readonly answering: readonly string[];
}

const settings = JSON.parse(process.argv[2] ?? '{}') as OutageProgramSettings;
const { node, roger } = settings;
const trace = new Trace(settings.trace, node);
let runs = 0;

@RogerJob({
  name: 'outage',
  queueKey: (args: OutageArgs) => args.queueKey,
  executionKey: (args: OutageArgs) => args.executionKey,
  retryable: { levels: [1, 2, 2] },
})
class OutageWork implements JobHandler<OutageArgs> {
  async perform(args: OutageArgs, { job, attempt, fence = 0, signal }: JobContext): Promise<void> {
    const run = `${node}#${++runs}`;
    const see = (what: RunEventKind): void => trace.add({ what, id: job.id, run, fence, attempt });
    see('began');
    await untilOverOrAborted(args.ms, signal);
    if (signal.aborted) {
      see('aborted');
      throw signal.reason;
    }
    if (attempt <= args.failures) {
      see('failed');
      throw new Error(`failure ${attempt}`);
    }
    see('ended');
  }
}

class RollCall {
  @RogerCommand('roll-call')
  answer(): string {
    return node;
  }
}

@Module({ imports: [RogerModule.forRoot(roger)], providers: [OutageWork, RollCall] })
class OutageModule {}

/** Of those with one key one after the other: each is asked for when the one before is answered. */
class Enqueuer {
  private readonly last = new Map<string, Promise<void>>();

  constructor(private readonly jobs: JobQueue) {}

  enqueue(job: OutageJob): void {
    const { executionKey, queueKey } = job.args;
    const key = executionKey ?? queueKey;
    if (key === undefined) {
      void this.ask(job);
      return;
    }
    const before = this.last.get(key) ?? Promise.resolve();
    this.last.set(
      key,
      before.then(() => this.ask(job)),
    );
  }

  private async ask({ id, partition, queue, args, isProbe }: OutageJob): Promise<void> {
    const { queueKey, executionKey } = args;
    trace.add({ what: 'asked', id, partition, queue, queueKey, executionKey, isProbe });
    try {
      const result = await this.jobs.enqueue(OutageWork, args, { partition, queue, id });
      if (result.status === 'enqueued') trace.add({ what: 'enqueued', id });
      else trace.add({ what: 'duplicate', id, of: result.existingJobId });
    } catch (error) {
      trace.add({ what: 'enqueue failed', id, error: String(error) });
    }
  }
}

async function cancel(globalState: GlobalStateService, partition: string, id: string): Promise<void> {
  trace.add({ what: 'cancel asked', id });
  try {
    const { met, missing } = await globalState.cancelJob(partition, id);
    trace.add({ what: 'cancelled', id, met, missing });
  } catch (error) {
    trace.add({ what: 'cancel failed', id, error: String(error) });
  }
}

function tell(report: OutageReport): void {
  process.send?.(report);
}

/** Notes from now on whenever the node becomes ready, or unready. Asks whether it has been answered or not, as probes do. */
function watchHealth(health: RogerHealth): void {
  let wasReady: boolean | undefined;
  const look = async (): Promise<void> => {
    const { isReady, checks } = await health.check();
    if (isReady === wasReady) return;
    wasReady = isReady;
    if (isReady) trace.add({ what: 'ready' });
    else trace.add({ what: 'unready', checks: downOf(checks).join(', ') });
  };
  setInterval(() => void look(), LOOK_AT_HEALTH_MS);
}

function downOf(checks: Readonly<Record<string, { readonly status: string }>>): string[] {
  return Object.entries(checks).flatMap(([name, check]) =>
    check.status === 'down' ? [`${name} ${JSON.stringify(check)}`] : [],
  );
}

async function main(): Promise<void> {
  const logger = new TracingLogger(trace);
  const app = await NestFactory.createApplicationContext(OutageModule, { logger });
  const enqueuer = new Enqueuer(app.get(JobQueue));
  const globalState = app.get(GlobalStateService);
  const partitions = app.get(PartitionService);
  const cluster = app.get(ClusterService);
  const health = app.get(RogerHealth);

  const waiting = (): string[] =>
    partitions.ids.flatMap((id) => {
      const state = partitions.state(id);
      return state.state === 'running' ? [] : [`${id}: ${JSON.stringify(state)}`];
    });
  const standing = async (): Promise<Standing> => {
    const nodes = cluster.nodes();
    const { checks } = await health.check();
    const { replies } = await cluster.call<string>('roll-call');
    return {
      waiting: waiting(),
      unready: downOf(checks),
      nodes: nodes.map(({ name }) => name).sort(),
      answering: replies.map(({ value }) => value).sort(),
    };
  };
  const answer = async (question: Question): Promise<unknown> => {
    switch (question.what) {
      case 'start':
        return (await partitions.start(question.partition, question.queues)).state;
      case 'pause': {
        const { partition, queue } = question;
        const { missing } = await globalState.pauseQueue(partition, queue);
        trace.add({ what: 'paused', partition, queue, missing });
        return missing;
      }
      case 'resume': {
        const { partition, queue } = question;
        trace.add({ what: 'resuming', partition, queue });
        return (await globalState.resumeQueue(partition, queue)).missing;
      }
      case 'standing':
        return standing();
    }
  };
  process.on('message', (order: OutageOrder) => {
    if (order.order === 'enqueue') enqueuer.enqueue(order.job);
    else if (order.order === 'cancel') void cancel(globalState, order.partition, order.id);
    else {
      const { number } = order;
      answer(order.question).then(
        (value) => {
          tell({ report: 'answer', number, answer: value });
        },
        (error: unknown) => {
          tell({ report: 'failure', number, message: String(error) });
        },
      );
    }
  });
  process.once('disconnect', () => process.exit(1));
  while (!logger.isConnected || waiting().length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  watchHealth(health);
  tell({ report: 'started' });
}

void main();
