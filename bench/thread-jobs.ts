// Jobs in worker threads, beside the same job in the process. What boots in each thread.
import { Module } from '@nestjs/common';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob, RogerModule } from 'nestjs-roger';

@RogerJob({ isolation: 'thread' })
export class ThreadJob implements JobHandler<object> {
  perform(): void {
    // The way there and back is what is measured.
  }
}

/** Says when its signal aborted, by the clock that all threads share. */
@RogerJob({ isolation: 'thread', retryable: false })
export class CancelledThreadJob implements JobHandler<object> {
  async perform(_args: object, { signal }: JobContext): Promise<bigint> {
    await untilAborted(signal);
    return process.hrtime.bigint();
  }
}

@RogerJob({ retryable: false })
export class CancelledJob implements JobHandler<object> {
  async perform(_args: object, { signal }: JobContext): Promise<bigint> {
    await untilAborted(signal);
    return process.hrtime.bigint();
  }
}

@RogerJob()
export class InProcessJob implements JobHandler<object> {
  perform(): void {
    // The same, without the way.
  }
}

export const ISOLATION_JOBS = [ThreadJob, CancelledThreadJob, CancelledJob, InProcessJob];

@Module({ imports: [RogerModule.forRoot({})], providers: ISOLATION_JOBS })
export class ThreadModule {}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
