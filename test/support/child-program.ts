// What a child app runs. Started by ChildApp; its settings are its first argument.
import 'reflect-metadata';
import type { BeforeApplicationShutdown, INestApplicationContext, LoggerService } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { RogerModuleOptions } from 'nestjs-roger';
import { BuriedJobs, JobQueue, NotConnectedError, PartitionService, RogerModule } from 'nestjs-roger';
import type { EnqueueOrder, Order, Report, RetryBuriedOrder } from './child-app';
import { KEYED, KeyedWork } from './keyed-work';
import { NODE_NAME, NodeCommands } from './node-commands';
import { ResultWork } from './result-work';
import { Gate } from './signal';
import { THREADED } from './thread-jobs';
import type { Sighting } from './work';
import { Witness } from './work';

interface Settings {
  readonly node: string;
  readonly roger: RogerModuleOptions;
  readonly isStartEnough: boolean;
  readonly answersCommands: boolean;
  readonly forgetsShutdownHooks: boolean;
  readonly enablesHooksFirst: boolean;
  readonly hangsAtShutdown: boolean;
  readonly clockAheadMs: number;
}

const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;

const trueNow = Date.now;
Date.now = () => trueNow() + settings.clockAheadMs;

const held = new Gate();

class Telling extends Witness {
  readonly node = settings.node;
  override readonly released = held.opened;
  see(sighting: Sighting): void {
    tell({ kind: 'sighting', sighting });
  }
}

class Hanging implements BeforeApplicationShutdown {
  beforeApplicationShutdown(): Promise<void> {
    return new Promise(() => undefined);
  }
}

@Module({
  imports: [RogerModule.forRoot(settings.roger)],
  providers: [
    ...KEYED,
    ResultWork,
    ...(settings.answersCommands ? [NodeCommands, { provide: NODE_NAME, useValue: settings.node }] : []),
    ...(settings.roger.threads === undefined ? [] : THREADED),
    ...(settings.hangsAtShutdown ? [Hanging] : []),
    { provide: Witness, useClass: Telling },
  ],
})
class ChildModule {}

function tell(report: Report): void {
  process.send?.(report);
}

function line(level: string): (message: unknown) => void {
  return (message) => {
    tell({ kind: 'line', level, message: String(message) });
  };
}

const logger: LoggerService = { log: line('log'), warn: line('warn'), error: line('error') };

/** All at once, and tells what became of each. */
async function enqueueAll(jobs: JobQueue, { partition, queue, orders }: EnqueueOrder): Promise<void> {
  await Promise.all(
    orders.map(async ({ id, args }) => {
      try {
        const result = await jobs.enqueue(KeyedWork, args, { partition, id, ...(queue && { queue }) });
        const existingJobId = result.status === 'duplicate' ? result.existingJobId : undefined;
        tell({ kind: 'outcome', id, status: result.status, existingJobId });
      } catch (error) {
        tell({ kind: 'outcome', id, status: 'failed', error: String(error) });
      }
    }),
  );
}

async function retryBuried(buried: BuriedJobs, order: RetryBuriedOrder): Promise<void> {
  const { partition, queue } = order.retryBuried;
  try {
    await buried.retryAll(partition, queue);
  } catch (error) {
    if (!(error instanceof NotConnectedError)) throw error;
    setTimeout(() => void retryBuried(buried, order), 10);
  }
}

async function startApp(): Promise<INestApplicationContext> {
  if (!settings.enablesHooksFirst) {
    const app = await NestFactory.createApplicationContext(ChildModule, { logger });
    return settings.forgetsShutdownHooks ? app : app.enableShutdownHooks();
  }
  const app = await NestFactory.create(ChildModule, { logger });
  app.enableShutdownHooks();
  const started = app.init();
  tell({ kind: 'created' });
  return started;
}

async function main(): Promise<void> {
  const app = await startApp();
  process.on('message', (order: Order) => {
    if (order === 'release') {
      held.open();
    } else if (order === 'close') {
      void app.close().then(() => {
        tell({ kind: 'closed' });
      });
    } else if ('retryBuried' in order) {
      void retryBuried(app.get(BuriedJobs), order);
    } else {
      void enqueueAll(app.get(JobQueue), order);
    }
  });
  // The parent's end is ours; its presence alone must not keep us alive.
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
  const partitions = app.get(PartitionService);
  while (!settings.isStartEnough && !partitions.ids.every((id) => partitions.isRunning(id))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  tell({ kind: 'started' });
}

void main();
