// An app with Roger and its engine for one test.
import type { ModuleMetadata } from '@nestjs/common';
import type { RogerModuleOptions } from 'nestjs-roger';
import type { RogerEngineOptions } from 'nestjs-roger-engine';
import {
  JobCatalog,
  JobEngine,
  JobRecords,
  JobStatistics,
  RogerEngineModule,
  RunHistory,
} from 'nestjs-roger-engine';
import type { TestApp } from './app';
import { served, startApp } from './app';
import { sharedBrokerUri, uniquePartition } from './broker';

export interface EngineApp extends TestApp {
  readonly partition: string;
  readonly history: RunHistory;
  readonly records: JobRecords;
  readonly statistics: JobStatistics;
  readonly catalog: JobCatalog;
  readonly engine: JobEngine;
}

export type TransportKind = 'RabbitMQ' | 'memory';
export const TRANSPORTS: readonly TransportKind[] = ['RabbitMQ', 'memory'];

/** The options of Roger for a partition of the test's own. */
export function rogerOn(transport: TransportKind, partition = uniquePartition()): RogerModuleOptions {
  return {
    ...(transport === 'memory' ? {} : { connection: { uri: sharedBrokerUri() } }),
    partitions: { [partition]: { default: 10 } },
  };
}

/** Starts it; resolves when its partition is served. */
export async function startEngine(
  roger: RogerModuleOptions,
  engine: RogerEngineOptions,
  providers: NonNullable<ModuleMetadata['providers']> = [],
): Promise<EngineApp> {
  const app = await startApp(roger, providers, { imports: [RogerEngineModule.forRoot(engine)] });
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  if (roger.mode !== 'producer') await served(app, partition);
  return {
    ...app,
    partition,
    history: app.app.get(RunHistory),
    records: app.app.get(JobRecords),
    statistics: app.app.get(JobStatistics),
    catalog: app.app.get(JobCatalog),
    engine: app.app.get(JobEngine),
  };
}
