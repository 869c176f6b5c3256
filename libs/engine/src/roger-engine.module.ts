// Wires the engine into a Nest app; decides nothing.
import type { DynamicModule, Provider } from '@nestjs/common';
import { ConfigurableModuleBuilder, Logger, Module } from '@nestjs/common';
import {
  BuriedJobs,
  ClusterService,
  DefinitionGates,
  GlobalStateService,
  InfoService,
  JobDefinitions,
  JobQueue,
  JobRecorders,
  rogerToken,
} from 'nestjs-roger';
import { catalogueNewsOf } from './catalogue/catalogue-news';
import { DefinitionStore } from './catalogue/definition-store';
import { JobCatalog } from './catalogue/job-catalog.service';
import { KnownDefinitions } from './catalogue/known-definitions';
import { CutOffHurries } from './control/cut-off-hurries';
import { Decrees } from './control/decrees';
import { JobEngine } from './control/job-engine.service';
import { LiveRuns } from './control/live-runs';
import { Prevention } from './control/prevention';
import { EngineLifecycle } from './engine-lifecycle';
import type { RogerEngineOptions } from './engine.options';
import { settingsOf } from './engine.options';
import { JobRecords } from './history/job-records.service';
import { JobStatistics } from './history/job-statistics.service';
import { LostRuns } from './history/lost-runs';
import { NodeSigns } from './history/node-signs';
import { Pruning } from './history/pruning';
import { RunHistory } from './history/run-history.service';
import { FactsReader } from './records/job-facts';
import { EngineStore } from './store/engine-store';
import { HistoryWriter } from './writer/history-writer';
import { Spool } from './writer/spool';

/** What stands beside the options in `forRoot` and `forRootAsync`. */
export interface RogerEngineExtras {
  /** The name of the RogerModule instance that it belongs to. @default the unnamed one */
  name?: string | undefined;
  /** Whether every module sees the services without importing RogerEngineModule. @default true */
  isGlobal?: boolean;
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RogerEngineOptions>({ moduleName: 'RogerEngine' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createRogerEngineOptions')
    .setExtras<RogerEngineExtras>({ isGlobal: true, name: undefined }, withServices)
    .build();

/**
 * Run history, statistics and a catalogue of jobs, in SQLite or PostgreSQL. Import it beside RogerModule, on every node
 * that enqueues or runs jobs.
 *
 * @throws InvalidOptionsError while the app starts. A database that is away doesn't stop the start: it is tried until it
 * is there.
 *
 * @example
 * ```ts
 * import { Module } from '@nestjs/common';
 * import { RogerModule } from 'nestjs-roger';
 * import { RogerEngineModule } from 'nestjs-roger-engine';
 *
 * \@Module({
 *   imports: [
 *     RogerModule.forRoot({ connection: { uri: 'amqp://localhost' }, partitions: { acme: { default: 10 } } }),
 *     RogerEngineModule.forRoot({ database: { postgres: { connectionString: 'postgres://localhost/jobs' } } }),
 *   ],
 * })
 * export class AppModule {}
 * ```
 */
@Module({})
export class RogerEngineModule extends ConfigurableModuleClass {
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}

/** What of Roger the engine is built on. */
interface RogerParts {
  readonly recorders: JobRecorders;
  readonly cluster: ClusterService;
  readonly jobs: JobQueue;
  readonly definitions: JobDefinitions;
  readonly gates: DefinitionGates;
  readonly globalState: GlobalStateService;
  readonly buried: BuriedJobs;
  readonly info: InfoService;
}

/** All that one engine is made of. */
class EngineParts {
  readonly history: RunHistory;
  readonly records: JobRecords;
  readonly statistics: JobStatistics;
  readonly catalog: JobCatalog;
  readonly engine: JobEngine;
  readonly known: KnownDefinitions;
  readonly lifecycle: EngineLifecycle;

  constructor(options: RogerEngineOptions, instance: string | undefined, roger: RogerParts) {
    const settings = settingsOf(options);
    const log = new Logger(instance === undefined ? 'RogerEngine' : `RogerEngine ${instance}`);
    const { recorders, cluster, jobs, definitions } = roger;
    const { nodeId } = cluster;
    const store = new EngineStore(settings.database, nodeId);
    const facts = new FactsReader(settings.argsRecording, settings.maxRecordedBytes);
    const { spoolFolder: folder, maxBufferedBytes: maxBytes } = settings;
    const spool = folder === undefined ? undefined : new Spool({ folder, maxBytes }, log);
    const writer = new HistoryWriter(
      { nodeId, facts, store, log, spool },
      {
        flushIntervalMs: settings.flushIntervalMs,
        maxValueBytes: settings.maxRecordedBytes,
        maxRows: settings.maxBufferedRows,
        maxBytes: settings.maxBufferedBytes,
      },
    );
    const rows = new DefinitionStore(store);
    const pruning = new Pruning(store, settings);
    this.history = new RunHistory(store, writer, pruning);
    this.records = new JobRecords(store);
    this.statistics = new JobStatistics(store);
    this.known = new KnownDefinitions({ rows, definitions, gates: [roger.gates], log });
    this.catalog = new JobCatalog({ rows, known: this.known, cluster, jobs, definitions });
    const { lostAfterMs } = settings;
    const signs = new NodeSigns(store, cluster);
    const lostRuns = new LostRuns({ store, signs, log, lostAfterMs });
    const { globalState, buried, info } = roger;
    const decrees = new Decrees(store);
    const ofJobs = { records: this.records, writer, decrees, globalState, info };
    const hurries = new CutOffHurries(ofJobs);
    this.engine = new JobEngine({
      ...ofJobs,
      ...{ history: this.history, jobs, buried, signs, maxRecordedBytes: settings.maxRecordedBytes },
      prevention: new Prevention(ofJobs),
      liveRuns: new LiveRuns(ofJobs),
      upkeep: [() => lostRuns.look(), () => pruning.prune(), () => this.known.load(), () => hurries.sendOn()],
    });
    this.lifecycle = new EngineLifecycle({
      ...{ store, writer, recorders, definitions, rows, known: this.known, lostAfterMs, log },
      lostRuns,
      pruning,
    });
  }
}

type ServiceClass = abstract new (...args: never[]) => object;

const SERVICES: readonly { readonly service: ServiceClass; readonly of: (parts: EngineParts) => object }[] = [
  { service: RunHistory, of: (parts) => parts.history },
  { service: JobRecords, of: (parts) => parts.records },
  { service: JobStatistics, of: (parts) => parts.statistics },
  { service: JobCatalog, of: (parts) => parts.catalog },
  { service: JobEngine, of: (parts) => parts.engine },
];

/** Adds the services of one engine, each exported under its token. */
function withServices(definition: DynamicModule, { name, isGlobal }: RogerEngineExtras): DynamicModule {
  const parts: Provider = {
    provide: EngineParts,
    useFactory: (
      options: RogerEngineOptions,
      recorders: JobRecorders,
      cluster: ClusterService,
      jobs: JobQueue,
      definitions: JobDefinitions,
      gates: DefinitionGates,
      globalState: GlobalStateService,
      buried: BuriedJobs,
      info: InfoService,
    ) =>
      new EngineParts(options, name, {
        ...{ recorders, cluster, jobs, definitions, gates, globalState, buried, info },
      }),
    inject: [
      MODULE_OPTIONS_TOKEN,
      ...[
        ...[JobRecorders, ClusterService, JobQueue, JobDefinitions],
        ...[DefinitionGates, GlobalStateService, BuriedJobs, InfoService],
      ].map((service) => rogerToken(service, name)),
    ],
  };
  const lifecycle: Provider = {
    provide: EngineLifecycle,
    useFactory: (engine: EngineParts) => engine.lifecycle,
    inject: [EngineParts],
  };
  const News = catalogueNewsOf(name);
  const news: Provider = {
    provide: News,
    useFactory: (engine: EngineParts) => new News(engine.known),
    inject: [EngineParts],
  };
  const services = SERVICES.map(({ service, of }) => ({
    provide: rogerToken(service, name),
    useFactory: of,
    inject: [EngineParts],
  }));
  return {
    ...definition,
    global: isGlobal ?? true,
    providers: [...(definition.providers ?? []), parts, lifecycle, news, ...services],
    exports: services.map(({ provide }) => provide),
  };
}
