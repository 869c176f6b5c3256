// Jobs that run in worker threads and do what harms a process; they tell of themselves by their log and their result.
import { isMainThread, threadId } from 'node:worker_threads';
import { Injectable, Module } from '@nestjs/common';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { JobQueue, RogerJob, RogerModule } from 'nestjs-roger';
import { IsOptional, IsString } from 'class-validator';
import { sharedBrokerUri } from './broker';
import { RUN_TYPESCRIPT } from './run-typescript';

export class ThreadArgs {
  @IsString() does!: string;
  @IsOptional() @IsString() id?: string;
}

/** Lives once in each thread. */
@Injectable()
export class Greeter {
  private count = 0;
  greet(): string {
    return `hello ${++this.count}`;
  }
}

/** What `answers` comes to. */
export interface ThreadAnswer {
  readonly greeting: string;
  readonly isMainThread: boolean;
  readonly threadId: number;
  readonly isDto: boolean;
  readonly attempt: number;
}

@RogerJob({ name: 'threaded', args: ThreadArgs, isolation: 'thread', retryable: false })
export class Threaded implements JobHandler<ThreadArgs> {
  constructor(
    private readonly greeter: Greeter,
    private readonly jobs: JobQueue,
  ) {}

  async perform(args: ThreadArgs, context: JobContext): Promise<ThreadAnswer> {
    const { signal, logger, job, attempt } = context;
    logger.log('began');
    switch (args.does) {
      case 'spin':
        // What was logged is to get out first.
        await sleep(20);
        for (;;);
      case 'wait':
        await aborted(signal);
        logger.log(`aborted by ${(signal.reason as Error).name}: ${(signal.reason as Error).message}`);
        throw signal.reason;
      case 'sleep':
        await new Promise(() => undefined);
        break;
      case 'exit':
        process.exit(3);
        break;
      case 'hoard': {
        const hoard: unknown[] = [];
        for (;;) hoard.push(new Array(100_000).fill({}));
      }
      case 'stray':
        void Promise.reject(new Error('nobody awaits me'));
        await sleep(5_000);
        break;
      case 'stray-later':
        void sleep(200).then(() => Promise.reject(new Error('nobody awaits me')));
        break;
      case 'fail':
        throw Object.assign(new TypeError('as I said'), { code: 'E_SAID' });
      case 'enqueue':
        await this.jobs.enqueue(
          Threaded,
          { does: 'answer' },
          { partition: job.partition, id: args.id ?? '' },
        );
        break;
      case 'linger':
        await sleep(1_500);
        break;
    }
    return {
      greeting: this.greeter.greet(),
      isMainThread,
      threadId,
      isDto: args instanceof ThreadArgs,
      attempt,
    };
  }
}

/** May run 300 ms, once. */
@RogerJob({
  name: 'threaded-limited',
  args: ThreadArgs,
  isolation: 'thread',
  retryable: false,
  maxExecutionTimeSeconds: 0.3,
})
export class ThreadedLimited extends Threaded {
  override perform(args: ThreadArgs, context: JobContext): Promise<ThreadAnswer> {
    return super.perform(args, context);
  }
}

export const THREADED = [Threaded, ThreadedLimited, Greeter];

/** What boots in each thread. */
@Module({
  imports: [RogerModule.forRoot({ connection: { uri: sharedBrokerUri() }, mode: 'producer' })],
  providers: THREADED,
})
export class ThreadAppModule {}

/** The option `threads` of an app of a test. */
export const THREADS = {
  module: __filename,
  exportName: 'ThreadAppModule',
  maxThreads: 2,
  execArgv: RUN_TYPESCRIPT,
};

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
