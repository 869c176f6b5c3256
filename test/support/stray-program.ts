// A process of its own whose jobs, or whose app, leave rejections unhandled. Started by a test; its settings are its first argument.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { JobContext, RogerModuleOptions, WorkerCallbacks } from 'nestjs-roger';
import { JobQueue, RogerCallbacks, RogerJob, RogerModule } from 'nestjs-roger';

/** What it is to do. */
export interface StrayOrder {
  readonly unhandledRejections?: 'log' | 'leave';
  /** From whom the rejection comes; by default from a job. */
  readonly from?: 'handler' | 'app' | 'callback';
  readonly reason?: 'error' | 'undefined';
  /** Whether the app listens itself. */
  readonly doesAppListen?: boolean;
  /** Whether the app outlives what nobody catches. */
  readonly doesAppSurvive?: boolean;
}

const order = JSON.parse(process.argv[2] ?? '{}') as StrayOrder;
const reason: unknown = order.reason === 'undefined' ? undefined : new Error('nobody awaits me');

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
// eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- undefined is one of the cases
const reject = (): Promise<never> => Promise.reject(reason);

async function rejectLater(): Promise<never> {
  await pause(20);
  return reject();
}

@RogerJob({ name: 'careless' })
class Careless {
  perform(_args: unknown, { job }: JobContext): void {
    if (job.id === 'next') say('the next job has run');
    else if (order.from !== 'app' && order.from !== 'callback')
      for (const begin of [reject, rejectLater]) void begin();
  }
}

@RogerCallbacks()
class CarelessCallbacks implements WorkerCallbacks {
  afterRun(): void {
    if (order.from === 'callback') void rejectLater();
  }
}

const { unhandledRejections } = order;
const roger: RogerModuleOptions = { partitions: { acme: { default: 1 } }, unhandledRejections };

/** Two instances in one process: each knows its own jobs. */
@Module({
  imports: [RogerModule.forRoot(roger), RogerModule.forRoot({ ...roger, name: 'other' })],
  providers: [Careless, CarelessCallbacks],
})
class StrayModule {}

async function main(): Promise<void> {
  if (order.doesAppListen === true)
    process.on('unhandledRejection', () => {
      say('the app was told');
    });
  if (order.doesAppSurvive === true) {
    process.on('uncaughtException', (error, origin) => {
      say(`uncaught ${error.message} by ${origin}`);
    });
  }
  const app = await NestFactory.createApplicationContext(StrayModule);
  const jobs = app.get(JobQueue);
  await jobs.enqueue(Careless, {}, { id: 'first' });
  await pause(50);
  if (order.from === 'app') void reject();
  await pause(50);
  await jobs.enqueue(Careless, {}, { id: 'next' });
  await pause(100);
  await app.close();
  say(`${process.listenerCount('unhandledRejection')} listeners are left`);
}

void main();
