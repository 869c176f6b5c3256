// A process with keyed jobs, a worker or a producer. Started by KeyedNode; its settings are its first argument.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { JobContext, JobHandler, RogerModuleOptions } from 'nestjs-roger';
import { GlobalStateService, JobQueue, PartitionService, RogerJob, RogerModule } from 'nestjs-roger';
import type { RunEventKind } from './trace';
import { Trace } from './trace';
import { switchOff } from './keyed-mutants';
import { TracingLogger } from './tracing-logger';
import { untilOverOrAborted } from './work-time';

export interface KeyedProgramSettings {
  readonly node: string;
  readonly roger: RogerModuleOptions;
  readonly partition: string;
  /** The file for what happens here. */
  readonly trace: string;
  /** A newer one knows the job `novel`, too. @default 'old' */
  readonly build?: 'old' | 'new' | undefined;
}

export interface KeyedArgs {
  readonly queueKey?: string | undefined;
  readonly executionKey?: string | undefined;
  /** How long it takes, in ms. */
  readonly ms: number;
  /** So many more bytes belong to it. */
  readonly ballastBytes?: number | undefined;
  /** How many of its attempts fail. */
  readonly failures?: number | undefined;
  /** Its process does nothing else for so long, in ms, if it has this name. */
  readonly blocks?: { readonly node: string; readonly ms: number } | undefined;
}

/** What the process is told. */
export type KeyedOrder =
  | {
      readonly order: 'enqueue';
      readonly id: string;
      readonly args: KeyedArgs;
      readonly queue?: string | undefined;
      /** One that only new builds know. @default false */
      readonly isNovel?: boolean | undefined;
      readonly isProbe?: boolean | undefined;
    }
  | { readonly order: 'cancel'; readonly id: string }
  /** Use the ledger, so that it is made and this process is among its possible keepers. */
  | { readonly order: 'join' }
  /** Say how many jobs were handed on to others, for they are not known here. */
  | { readonly order: 'count handed on' };

/** What the process tells. */
export type KeyedReport = 'started' | 'joined' | { readonly handedOn: number };

const settings = JSON.parse(process.argv[2] ?? '{}') as KeyedProgramSettings;
const { node, roger, partition } = settings;
const trace = new Trace(settings.trace, node);
let runs = 0;

@RogerJob({
  name: 'keyed',
  queueKey: (args: KeyedArgs) => args.queueKey,
  executionKey: (args: KeyedArgs) => args.executionKey,
  retryable: { levels: [1, 1, 1] },
})
class Keyed implements JobHandler<KeyedArgs> {
  async perform(
    args: KeyedArgs & { readonly ballast: string },
    { job, attempt, fence = 0, signal }: JobContext,
  ): Promise<void> {
    const run = `${node}#${++runs}`;
    const see = (what: RunEventKind): void => {
      trace.add({ what, id: job.id, run, fence, attempt });
    };
    see('began');
    if (args.blocks?.node === node) block(args.blocks.ms);
    else await untilOverOrAborted(args.ms, signal);
    if (signal.aborted) {
      see('aborted');
      throw signal.reason;
    }
    if (attempt <= (args.failures ?? 0)) {
      see('failed');
      throw new Error(`failure ${attempt}`);
    }
    see('ended');
  }
}

/** Without an execution key, whatever its args say: who is handed on loses its place in the line. */
@RogerJob({
  name: 'novel',
  queueKey: (args: KeyedArgs) => args.queueKey,
  retryable: { levels: [1, 1, 1] },
})
class Novel extends Keyed {}

@Module({
  imports: [RogerModule.forRoot(roger)],
  providers: settings.build === 'new' ? [Keyed, Novel] : [Keyed],
})
class KeyedModule {}

/** Whoever does this hears neither the broker nor its own timers. */
function block(ms: number): void {
  trace.add({ what: 'blocked' });
  const until = performance.now() + ms;
  while (performance.now() < until);
  trace.add({ what: 'resumed' });
}

/** Of those with one execution key one after the other: each is asked for when the one before is answered. */
class Enqueuer {
  private readonly last = new Map<string, Promise<void>>();

  constructor(private readonly jobs: JobQueue) {}

  enqueue({ id, args, queue, isProbe, isNovel }: KeyedOrder & { order: 'enqueue' }): void {
    const key = args.executionKey ?? `queue key ${args.queueKey ?? id}`;
    const before = this.last.get(key) ?? Promise.resolve();
    this.last.set(
      key,
      before.then(() => this.ask(id, args, queue ?? 'default', isNovel === true ? Novel : Keyed, isProbe)),
    );
  }

  private async ask(
    id: string,
    args: KeyedArgs,
    queue: string,
    job: typeof Keyed,
    isProbe: boolean | undefined,
  ): Promise<void> {
    const { queueKey, executionKey } = args;
    trace.add({ what: 'asked', id, queueKey, executionKey, queue, isProbe });
    const ballast = 'x'.repeat(args.ballastBytes ?? 0);
    try {
      const result = await this.jobs.enqueue(job, { ...args, ballast }, { partition, queue, id });
      if (result.status === 'enqueued') trace.add({ what: 'enqueued', id });
      else trace.add({ what: 'duplicate', id, of: result.existingJobId });
    } catch (error) {
      trace.add({ what: 'enqueue failed', id, error: String(error) });
    }
  }
}

async function cancel(globalState: GlobalStateService, id: string): Promise<void> {
  trace.add({ what: 'cancel asked', id });
  try {
    const { met, missing } = await globalState.cancelJob(partition, id);
    trace.add({ what: 'cancelled', id, met, missing });
  } catch (error) {
    trace.add({ what: 'cancel failed', id, error: String(error) });
  }
}

function tell(report: KeyedReport): void {
  process.send?.(report);
}

async function main(): Promise<void> {
  switchOff(process.env['ROGER_MUTANT']);
  const logger = new TracingLogger(trace);
  const app = await NestFactory.createApplicationContext(KeyedModule, { logger });
  app.enableShutdownHooks();
  const enqueuer = new Enqueuer(app.get(JobQueue));
  const globalState = app.get(GlobalStateService);
  const partitions = app.get(PartitionService);
  process.on('message', (order: KeyedOrder) => {
    if (order.order === 'enqueue') enqueuer.enqueue(order);
    else if (order.order === 'cancel') void cancel(globalState, order.id);
    else if (order.order === 'count handed on') {
      const lanes = partitions.queues(partition);
      tell({ handedOn: lanes.reduce((sum, { counts }) => sum + counts.handedOn, 0) });
    } else {
      // Of a queue that there is none of. Looking doesn't make a ledger.
      void globalState.pauseQueue(partition, 'nothing').then(() => {
        tell('joined');
      });
    }
  });
  process.once('disconnect', () => process.exit(1));
  // Nothing but the app is to keep this process alive.
  process.channel?.unref();
  const isServing = (): boolean => partitions.ids.every((id) => partitions.isRunning(id));
  while (!logger.isConnected || (roger.mode === 'worker' && !isServing())) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  tell('started');
}

void main();
