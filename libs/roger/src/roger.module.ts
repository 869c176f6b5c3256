// Wires Roger into a Nest app; decides nothing.
import type { DynamicModule, Provider } from '@nestjs/common';
import { ConfigurableModuleBuilder, Logger, Module } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef, ModulesContainer } from '@nestjs/core';
import { Activity } from './cluster/activity';
import { ClusterService } from './cluster/cluster.service';
import { CommandAnswers } from './cluster/command-answers';
import { CommandCalls } from './cluster/command-calls';
import { CronService } from './cron/cron.service';
import { declaredJobs } from './cron/declared-jobs';
import { Ticker } from './cron/ticker';
import { JobQueue } from './enqueue/job-queue';
import { RogerHealth } from './health/roger-health';
import { RogerHealthIndicator } from './health/roger-health.indicator';
import { ClusterReports } from './info/cluster-reports';
import { InfoService } from './info/info.service';
import { JobDefinitions } from './info/job-definitions.service';
import { answerQuestions } from './info/node-answers';
import { NodeInfoService } from './info/node-info.service';
import { DefinitionGates } from './job/definition-gates';
import type { Class } from './job/job-definition';
import type { Job } from './job/job';
import { decodeJob } from './job/job-codec';
import { JobRegistry } from './job/job-registry';
import { LADDER } from './job/retry-levels';
import { Ledgers } from './ledger/ledgers';
import { Enhancers } from './nest/enhancers';
import { Explorer } from './nest/explorer';
import { HandlerInvoker } from './nest/handler-invoker';
import { rogerToken } from './nest/injection';
import type { InstanceName } from './nest/instances';
import { InstanceMark, instancesOf } from './nest/instances';
import { jobLog } from './nest/job-log';
import { Lifecycle } from './nest/lifecycle';
import { BuriedJobs } from './partition/buried-jobs.service';
import type { PartitionSourceOption } from './nest/partition-source-option';
import { isSourceOption, sourceOf } from './nest/partition-source-option';
import { jobThread } from './nest/threads/job-thread';
import { JobThreads } from './nest/threads/job-threads';
import { GlobalStateService } from './partition/global-state.service';
import { PartitionCatalogue } from './partition/partition-catalogue';
import { PartitionFeed } from './partition/partition-feed';
import { PartitionService } from './partition/partition.service';
import { ReleasedDefinitions } from './partition/released-definitions';
import { AwaitedJobs } from './reports/awaited-jobs';
import { JobRecorders } from './reports/job-recorders';
import { OutcomeReplies } from './reports/outcome-replies';
import { ProgressReports } from './reports/progress-reports';
import { ProgressWatches } from './reports/progress-watches';
import { ReportPost } from './reports/report-post';
import type { RogerModuleOptions, Settings } from './roger.options';
import { limitsOf, settingsOf } from './roger.options';
import { MemoryBroker } from './transports/memory/memory-broker';
import { MemoryTransport } from './transports/memory/memory.transport';
import { RabbitmqTransport } from './transports/rabbitmq/rabbitmq.transport';
import { CallbackChain } from './worker/callbacks';
import { StrayRejections } from './worker/stray-rejections';
import { Worker } from './worker/worker';

/** What stands beside the options in `forRoot` and `forRootAsync`. */
export interface RogerModuleExtras {
  /**
   * A name for this instance, where an app has several (a second broker); no two may have the same, or none. `A-Z a-z 0-9
   * _ . : / -`. Its services are injected by `@InjectRoger`.
   * @default none
   */
  name?: string | undefined;
  /** Whether every module sees the services without importing RogerModule. @default true */
  isGlobal?: boolean;
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RogerModuleOptions>({ moduleName: 'Roger' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createRogerOptions')
    // Nest takes away from the options what is listed here, undefined or not.
    .setExtras<RogerModuleExtras>({ isGlobal: true, name: undefined }, withServices)
    .build();

/**
 * Background jobs on RabbitMQ. Import once: `RogerModule.forRoot({ … })` or `forRootAsync({ useFactory | useClass |
 * useExisting })`; once more with a `name` for every further broker.
 *
 * @throws InvalidOptionsError, InvalidJobDefinitionError, DuplicateJobDefinitionError while the app starts.
 *
 * @example
 * ```ts
 * import { Module } from '@nestjs/common';
 * import { RogerModule } from 'nestjs-roger';
 *
 * \@Module({
 *   imports: [
 *     RogerModule.forRoot({
 *       connection: { uri: 'amqp://localhost' },
 *       partitions: { acme: { default: 10, mail: { maxWorkers: 5 } } },
 *     }),
 *   ],
 * })
 * export class AppModule {}
 * ```
 */
@Module({ imports: [DiscoveryModule] })
export class RogerModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}

/** All that one instance is made of. */
class Parts {
  readonly gates = new DefinitionGates();
  readonly jobQueue: JobQueue;
  readonly definitions: JobDefinitions;
  readonly recorders: JobRecorders;
  readonly partitions: PartitionService;
  readonly globalState: GlobalStateService;
  readonly buriedJobs: BuriedJobs;
  readonly info: InfoService;
  readonly nodeInfo: NodeInfoService;
  readonly crons: CronService;
  readonly cluster: ClusterService;
  readonly health: RogerHealth;
  readonly healthIndicator: RogerHealthIndicator;
  readonly lifecycle: Lifecycle;

  constructor(
    settings: Settings,
    { instance, known }: { instance: InstanceName; known: readonly InstanceName[] },
    nest: { moduleRef: ModuleRef; discovery: DiscoveryService; modules: ModulesContainer },
  ) {
    const log = new Logger(instance === undefined ? 'Roger' : `Roger ${instance}`);
    const transport = transportOf(settings, log);
    const registry = new JobRegistry(instance);
    const callbacks = new CallbackChain(log);
    const { retryLevels, retryJitter, maxJobBytes, mode, shutdownTimeoutMs } = settings;
    const source = isSourceOption(settings.partitions) ? settings.partitions : undefined;
    const catalogue = new PartitionCatalogue(isSourceOption(settings.partitions) ? {} : settings.partitions);
    const limits = limitsOf(settings);
    const decode = (body: Buffer): Job => decodeJob(body, maxJobBytes);
    const ledgers = new Ledgers(
      transport.ledgers,
      settings,
      log,
      decode,
      async (address) => (await transport.depth(address))?.ready,
    );
    const { gates } = this;
    const recorders = new JobRecorders(ledgers.nodeId, log);
    const releases = new ReleasedDefinitions({ gates, holds: ledgers.holds, log, recorders });
    const post = new ReportPost(ledgers);
    this.recorders = recorders;
    this.definitions = new JobDefinitions(registry);
    post.add({
      onBuriedByBroker: (job) => {
        recorders.buriedByBroker(job);
      },
    });
    const progress = new ProgressReports(post);
    const watches = new ProgressWatches(post, log);
    const replies = new OutcomeReplies(post);
    const awaited = new AwaitedJobs(post, settings.enqueueTimeoutMs);
    const strays = new StrayRejections(settings.unhandledRejections, log);
    const worker = new Worker({
      recorders,
      strays,
      progress,
      replies,
      registry,
      gates,
      callbacks,
      ledgers,
      retryLevelsOf: (address) => catalogue.retryLevelsOf(address) ?? retryLevels,
      retryJitter,
      limits,
      maxJobBytes,
      log,
      logFor: jobLog,
    });
    const threads = threadsOf(settings, instance, log);
    const invoker = new HandlerInvoker(nest.moduleRef, new Enhancers(nest.modules));

    this.jobQueue = new JobQueue({
      registry,
      gates,
      transport,
      ledgers,
      awaited,
      configured: catalogue,
      maxJobBytes,
      recorders,
    });
    this.partitions = new PartitionService({
      ...{ catalogue, transport, worker, ledgers, log, shutdownTimeoutMs },
      abortGraceMs: limits.abortGraceMs,
      whyNone: whyNoPartitions(mode),
    });
    progress.lookInto(this.partitions);
    this.globalState = new GlobalStateService({ transport, ledgers, decode, recorders });
    this.buriedJobs = new BuriedJobs({ transport, jobs: this.jobQueue, ledgers, decode });
    this.nodeInfo = new NodeInfoService(this.partitions);
    const recurring = { jobs: this.jobQueue, registry, maxJobBytes };
    this.crons = new CronService({
      ...recurring,
      schedules: ledgers.schedules,
      transport,
      configured: catalogue,
    });
    const activity = new Activity((isActive) => {
      ledgers.presence.setActive(isActive);
      // What ends drains its lanes, and may let them have what is at hand until then.
      if (!activity.isEnding) this.partitions.setActive(isActive);
    });
    const calls = new CommandCalls(ledgers, maxJobBytes);
    const answers = new CommandAnswers(ledgers, maxJobBytes, log);
    this.cluster = new ClusterService({
      mail: ledgers,
      calls,
      answers,
      activity,
      transport,
      intake: this.partitions,
      log,
    });
    answerQuestions({
      cluster: this.cluster,
      partitions: this.partitions,
      nodeInfo: this.nodeInfo,
      maxBytes: maxJobBytes,
    });
    this.info = new InfoService({
      transport,
      ledgers,
      watches,
      retryLevels: () =>
        new Set([
          ...LADDER,
          ...retryLevels,
          ...registry.runnableDefinitions.flatMap(({ retryLevels: own = [] }) => own),
          ...catalogue.retryLevels,
        ]),
      decode,
      reports: new ClusterReports(this.cluster),
    });
    this.health = new RogerHealth({ activity, transport, ledgers, partitions: this.partitions });
    this.healthIndicator = new RogerHealthIndicator(this.health);
    this.lifecycle = new Lifecycle({
      explorer: new Explorer(nest.discovery, invoker, instance, known, threads),
      registry,
      callbacks,
      transport,
      ledgers,
      activity,
      commands: answers,
      needsShutdown: settings.connection !== undefined,
      closing: [progress, watches, replies, awaited, calls, releases, this.health],
      partitions: this.partitions,
      readDeclaredJobs: (partitions) => declaredJobs(recurring, registry.runnableDefinitions, partitions),
      configured: catalogue,
      partitionFeed: feedOf(source, nest.moduleRef, this.partitions, log),
      ticker: new Ticker(ledgers.schedules, log),
      strays,
      isWorker: mode === 'worker',
      instance,
      threads,
      shutdownTimeoutMs,
      limits,
      log,
      moduleRef: nest.moduleRef,
      modules: nest.modules,
    });
  }
}

function transportOf(settings: Settings, log: Logger): RabbitmqTransport | MemoryTransport {
  const { connection } = settings;
  if (connection !== undefined) return new RabbitmqTransport({ ...settings, connection }, log);
  const transport = new MemoryTransport({
    broker: settings.memory ?? new MemoryBroker(),
    log,
    ledgerShards: settings.ledgerShards,
  });
  // The memory of a thread ends with it: what is enqueued there is refused.
  if (jobThread() !== undefined) void transport.close();
  else log.warn('No connection is configured: jobs stay in the memory of this process and end with it');
  return transport;
}

function whyNoPartitions(mode: Settings['mode']): string | undefined {
  if (jobThread() !== undefined) return "this is a job's thread";
  return mode === 'producer' ? "this process only enqueues (mode: 'producer')" : undefined;
}

function feedOf(
  option: PartitionSourceOption | undefined,
  moduleRef: ModuleRef,
  partitions: PartitionService,
  log: Logger,
): PartitionFeed | undefined {
  if (option === undefined) return undefined;
  return new PartitionFeed(() => sourceOf(option, moduleRef), partitions, log);
}

function threadsOf(settings: Settings, instance: InstanceName, log: Logger): JobThreads | undefined {
  const { threads, abortGraceMs } = settings;
  return threads === undefined ? undefined : new JobThreads(threads, instance, abortGraceMs, log);
}

const SERVICES: readonly { readonly service: Class; readonly of: (parts: Parts) => object }[] = [
  { service: JobQueue, of: (parts) => parts.jobQueue },
  { service: JobDefinitions, of: (parts) => parts.definitions },
  { service: JobRecorders, of: (parts) => parts.recorders },
  { service: DefinitionGates, of: (parts) => parts.gates },
  { service: PartitionService, of: (parts) => parts.partitions },
  { service: GlobalStateService, of: (parts) => parts.globalState },
  { service: BuriedJobs, of: (parts) => parts.buriedJobs },
  { service: CronService, of: (parts) => parts.crons },
  { service: InfoService, of: (parts) => parts.info },
  { service: NodeInfoService, of: (parts) => parts.nodeInfo },
  { service: ClusterService, of: (parts) => parts.cluster },
  { service: RogerHealth, of: (parts) => parts.health },
  { service: RogerHealthIndicator, of: (parts) => parts.healthIndicator },
];

/** Adds the services of one instance, each exported under its token. */
function withServices(definition: DynamicModule, { name, isGlobal }: RogerModuleExtras): DynamicModule {
  const parts: Provider = {
    provide: Parts,
    useFactory: (
      options: RogerModuleOptions,
      moduleRef: ModuleRef,
      discovery: DiscoveryService,
      modules: ModulesContainer,
    ) => {
      const known = instancesOf(modules);
      return new Parts(settingsOf(options), { instance: name, known }, { moduleRef, discovery, modules });
    },
    inject: [MODULE_OPTIONS_TOKEN, ModuleRef, DiscoveryService, ModulesContainer],
  };
  const mark: Provider = { provide: InstanceMark, useValue: new InstanceMark(name) };
  const lifecycle: Provider = {
    provide: Lifecycle,
    useFactory: ({ lifecycle }: Parts) => lifecycle,
    inject: [Parts],
  };
  const services = SERVICES.map(({ service, of }) => ({
    provide: rogerToken(service, name),
    useFactory: of,
    inject: [Parts],
  }));
  return {
    ...definition,
    global: isGlobal ?? true,
    providers: [...(definition.providers ?? []), mark, parts, lifecycle, ...services],
    exports: services.map(({ provide }) => provide),
  };
}
