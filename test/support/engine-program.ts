// What an EngineNode runs; its settings are its first argument.
import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PartitionService, RogerModule } from 'nestjs-roger';
import { RogerEngineModule } from 'nestjs-roger-engine';
import type { EngineNodeSettings, TracedStep } from './engine-node';
import { Traced, TraceOfJobs } from './engine-work';

const { trace, roger, engine, blocksAfterTurns } = JSON.parse(process.argv[2] ?? '{}') as EngineNodeSettings;

/** By then it has been killed. */
const BLOCKED_MS = 300_000;

const steps: TraceOfJobs = {
  add: (step) => {
    const line: TracedStep = { ...step, pid: process.pid, at: Date.now() };
    appendFileSync(trace, `${JSON.stringify(line)}\n`);
    if (step.what === 'ended' && blocksAfterTurns !== undefined) blockAfter(blocksAfterTurns, step);
  },
};

function blockAfter(turns: number, step: Pick<TracedStep, 'id' | 'attempt'>): void {
  setImmediate(() => {
    if (turns > 0) {
      blockAfter(turns - 1, step);
      return;
    }
    steps.add({ ...step, what: 'blocked' });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS);
  });
}

@Module({
  imports: [RogerModule.forRoot(roger), RogerEngineModule.forRoot(engine)],
  providers: [Traced, { provide: TraceOfJobs, useValue: steps }],
})
class EngineProgramModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(EngineProgramModule, { logger: ['error'] });
  app.enableShutdownHooks();
  const partitions = app.get(PartitionService);
  const [partition = ''] = Object.keys(roger.partitions ?? {});
  while (!partitions.isRunning(partition)) await sleep(10);
  process.send?.('started');
}

process.on('disconnect', () => process.exit(1));
main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
