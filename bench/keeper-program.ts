// What a KeeperProcess runs.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JobQueue, RogerModule } from 'nestjs-roger';
import { KeyedJob } from './jobs';
import type { KeeperSettings } from './keeper';
import { Tally } from './tally';

const { uri, namespace, partition } = JSON.parse(process.env['ROGER_BENCH_KEEPER'] ?? '') as KeeperSettings;

@Module({
  imports: [RogerModule.forRoot({ connection: { uri }, namespace, mode: 'producer' })],
  providers: [KeyedJob, { provide: Tally, useValue: new Tally() }],
})
class KeeperModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(KeeperModule, { logger: ['error'] });
  // A key that is taken: asking for it takes a seat at the ledger, and changes nothing after the first time.
  await app.get(JobQueue).enqueue(KeyedJob, { queueKey: 'seat' }, { partition });
  process.on('message', () => {
    globalThis.gc?.();
    process.send?.(process.memoryUsage().heapUsed);
  });
  process.once('disconnect', () => process.exit(0));
  process.send?.('seated');
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
