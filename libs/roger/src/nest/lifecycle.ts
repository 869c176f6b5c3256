// Starts and stops Roger with the app that it lives in.
import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { ModulesContainer } from '@nestjs/core';
import type { Activity } from '../cluster/activity';
import type { CommandAnswers } from '../cluster/command-answers';
import type { Ticker } from '../cron/ticker';
import type { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import type { Ledgers } from '../ledger/ledgers';
import type { DeclaredSchedule } from '../ledger/schedules';
import type { PartitionCatalogue } from '../partition/partition-catalogue';
import type { PartitionFeed } from '../partition/partition-feed';
import type { PartitionService } from '../partition/partition.service';
import type { Transport } from '../transport';
import type { CallbackChain } from '../worker/callbacks';
import { warningsOf } from '../worker/run-limits';
import type { RunLimits } from '../worker/run-limits';
import type { StrayRejections } from '../worker/stray-rejections';
import type { Explorer } from './explorer';
import type { InstanceName } from './instances';
import { watchForForgottenHooks } from './shutdown-hooks';
import { jobThread } from './threads/job-thread';
import type { JobThreads } from './threads/job-threads';

/** How long confirms and farewells may take once the jobs have ended. */
const CLOSE_TIMEOUT_MS = 3_000;
/** How long answers of ledgers and the leaving of them may take. */
const LEAVE_TIMEOUT_MS = 1_000;

export interface LifecycleParts {
  readonly explorer: Explorer;
  readonly registry: JobRegistry;
  readonly callbacks: CallbackChain;
  readonly transport: Transport;
  readonly ledgers: Pick<Ledgers, 'close' | 'join'>;
  readonly activity: Activity;
  readonly commands: CommandAnswers;
  /** Whether jobs would run again if the process died without a word. */
  readonly needsShutdown: boolean;
  /** What is told of single jobs, calls and health, and ends with the app. */
  readonly closing: readonly { close(): void }[];
  readonly partitions: PartitionService;
  /** What the registered classes declare to recur in these partitions. @throws InvalidJobDefinitionError */
  readonly readDeclaredJobs: (partitions: readonly string[]) => Promise<readonly DeclaredSchedule[]>;
  /** The partitions that are to be served from the start. */
  readonly configured: Pick<PartitionCatalogue, 'ids'>;
  /** Learns of more of them, from a source of the user's; undefined where there is none. */
  readonly partitionFeed: PartitionFeed | undefined;
  readonly ticker: Ticker;
  readonly strays: StrayRejections;
  readonly isWorker: boolean;
  readonly instance: InstanceName;
  readonly threads: JobThreads | undefined;
  readonly shutdownTimeoutMs: number;
  readonly limits: RunLimits;
  readonly log: RogerLog;
  /** Of the module that this instance lives in. */
  readonly moduleRef: ModuleRef;
  readonly modules: ModulesContainer;
}

/**
 * Jobs run from `onApplicationBootstrap` to `onModuleDestroy`: Roger begins after, and ends before, every other module,
 * so a job never meets a provider that isn't ready yet or is closed already. Enqueueing works from the first injection
 * to `onApplicationShutdown`, for jobs and requests that are about to end.
 */
export class Lifecycle
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  private callOffHookWatch: () => void = () => undefined;

  constructor(private readonly parts: LifecycleParts) {
    this.standOutermost();
  }

  async onModuleInit(): Promise<void> {
    const { explorer, registry, callbacks, transport, threads, isWorker, readDeclaredJobs } = this.parts;
    explorer.registerJobs(registry);
    const thread = jobThread();
    if (thread !== undefined) {
      // What is asked of a ledger from here is refused: a thread may be ended any time, and must keep none.
      void this.parts.ledgers.close(0);
      thread.register(this.parts.instance, registry);
      return;
    }
    explorer.addCallbacks(callbacks);
    explorer.addCommands(this.parts.commands);
    // Those of partitions that come later are read as they come.
    await readDeclaredJobs(this.parts.configured.ids);
    for (const warning of warningsOf(registry.runnableDefinitions, this.parts.limits)) {
      this.parts.log.warn(warning);
    }
    // Before anything is connected: a module that doesn't boot there stops the start.
    if (isWorker && registry.runnableDefinitions.some(({ isolation }) => isolation === 'thread')) {
      await threads?.start();
    }
    transport.open();
  }

  onApplicationBootstrap(): void {
    const { isWorker, partitions, strays, ticker, partitionFeed, activity, commands, ledgers, log } =
      this.parts;
    // Told to end while it starts: Nest lets the start come to its end first, or not.
    if (jobThread() !== undefined || activity.isEnding) return;
    activity.enter('running');
    // Whoever is to be called has to be there.
    if (commands.appCount > 0) ledgers.join();
    if (isWorker) strays.watch();
    if (isWorker && this.parts.needsShutdown) {
      this.callOffHookWatch = watchForForgottenHooks((message) => {
        log.warn(message);
      });
    }
    partitions.follow({
      onServed: (partition) => void this.tickFor(partition),
      onLeft: (partition) => {
        ticker.leave(partition);
      },
    });
    partitions.startAll();
    partitionFeed?.start();
  }

  private async tickFor(partition: string): Promise<void> {
    const { partitions, ticker, readDeclaredJobs, log } = this.parts;
    let declared: readonly DeclaredSchedule[] = [];
    try {
      declared = await readDeclaredJobs([partition]);
    } catch (error) {
      log.error(
        `The recurring jobs that code declares do not tick in partition ${partition}: ${String(error)}`,
      );
    }
    if (partitions.serves(partition)) ticker.serve(partition, declared);
  }

  /** Resolves when no job of this instance runs any more. */
  async onModuleDestroy(): Promise<void> {
    // First, and before anything is waited for: probes and other nodes are to know.
    this.parts.activity.enter('stopping');
    this.callOffHookWatch();
    this.parts.partitionFeed?.stop();
    this.parts.ticker.stop();
    await this.parts.partitions.drainAll(this.parts.shutdownTimeoutMs);
    await this.parts.threads?.stop();
    // The providers that answer them end next.
    this.parts.commands.close();
  }

  async onApplicationShutdown(): Promise<void> {
    const { ledgers, closing, strays, transport, activity } = this.parts;
    for (const part of closing) part.close();
    await ledgers.close(LEAVE_TIMEOUT_MS);
    await transport.close(CLOSE_TIMEOUT_MS);
    strays.leave();
    activity.enter('stopped');
  }

  /**
   * Nest calls start hooks by falling distance from the root module and stop hooks by rising, and puts global modules
   * farthest. Jobs depend on the other modules, not the other way round, so Roger stands nearest.
   */
  private standOutermost(): void {
    for (const module of this.parts.modules.values()) {
      if (module.getProviderByKey(ModuleRef).instance === this.parts.moduleRef) module.distance = NEAREST;
    }
  }
}

const NEAREST = -1;
