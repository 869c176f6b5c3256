// A worker process that a rolling restart starts and ends. Started by RestartedWorker.
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { PartitionService, RogerJob, RogerModule } from 'nestjs-roger';

/** What the program is told at its start. */
export interface RestartedSettings {
  readonly uri: string;
  readonly namespace: string;
  readonly partition: string;
}

/** What it tells: that it serves, or that a job began. */
export type RestartedReport = 'serving' | { readonly began: string; readonly at: number };

export interface SteadyArgs {
  /** How long it takes, in ms. */
  readonly ms: number;
  readonly executionKey?: string | undefined;
}

@RogerJob({ name: 'steady', executionKey: ({ executionKey }: SteadyArgs) => executionKey })
export class SteadyJob implements JobHandler<SteadyArgs> {
  async perform({ ms }: SteadyArgs, { job }: JobContext): Promise<void> {
    tell({ began: job.id, at: sharedMs() });
    await sleep(ms);
  }
}

/** By a clock that all processes of this machine share. */
export function sharedMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function tell(report: RestartedReport): void {
  process.send?.(report);
}

async function main(settings: string): Promise<void> {
  const { uri, namespace, partition } = JSON.parse(settings) as RestartedSettings;
  @Module({
    imports: [
      RogerModule.forRoot({ connection: { uri }, namespace, partitions: { [partition]: { default: 20 } } }),
    ],
    providers: [SteadyJob],
  })
  class WorkerModule {}

  const app = await NestFactory.createApplicationContext(WorkerModule, { logger: ['error'] });
  app.enableShutdownHooks();
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
  const partitions = app.get(PartitionService);
  while (!partitions.isRunning(partition)) await sleep(5);
  tell('serving');
}

// The benchmark imports its job; only as a process of its own it is a worker.
const settings = process.env['ROGER_BENCH_RESTARTED'];
if (settings !== undefined) {
  main(settings).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
