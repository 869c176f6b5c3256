// Starts and stops Roger with the app that it lives in.
import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { ModulesContainer } from '@nestjs/core';
import type { Ticker } from '../cron/ticker';
import type { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import type { Ledgers } from '../ledger/ledgers';
import type { DeclaredSchedule } from '../ledger/schedules';
import type { PartitionService } from '../partition/partition.service';
import type { Transport } from '../transport';
import type { CallbackChain } from '../worker/callbacks';
import { warningsOf } from '../worker/run-limits';
import type { RunLimits } from '../worker/run-limits';
import type { StrayRejections } from '../worker/stray-rejections';
import type { Explorer } from './explorer';
import type { InstanceName } from './instances';
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
  readonly ledgers: Pick<Ledgers, 'close'>;
  /** What tells and is told of single jobs. */
  readonly reports: readonly { close(): void }[];
  readonly partitions: PartitionService;
  /** What the registered classes declare to recur. @throws InvalidJobDefinitionError */
  readonly readDeclaredJobs: () => Promise<readonly DeclaredSchedule[]>;
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
  private declaredJobs: readonly DeclaredSchedule[] = [];

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
    this.declaredJobs = await readDeclaredJobs();
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
    const { isWorker, partitions, strays, ticker } = this.parts;
    if (!isWorker || jobThread() !== undefined) return;
    strays.watch();
    partitions.startAll();
    ticker.start(partitions.ids, this.declaredJobs);
  }

  /** Resolves when no job of this instance runs any more. */
  async onModuleDestroy(): Promise<void> {
    this.parts.ticker.stop();
    await this.parts.partitions.drainAll(this.parts.shutdownTimeoutMs);
    await this.parts.threads?.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    const { ledgers, reports, strays, transport } = this.parts;
    for (const report of reports) report.close();
    await ledgers.close(LEAVE_TIMEOUT_MS);
    await transport.close(CLOSE_TIMEOUT_MS);
    strays.leave();
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
