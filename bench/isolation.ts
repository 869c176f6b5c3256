// How long a cancel takes to be seen by a running job, and what it costs to run a job in a thread.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AfterRunEvent, BeforeRunEvent, JobClass, WorkerCallbacks } from 'nestjs-roger';
import { GlobalStateService, JobQueue, RogerCallbacks, RogerModule } from 'nestjs-roger';
import type { Benchmark, Conditions, Result } from './benchmark';
import { median, quantile } from './rounds';
import { CancelledJob, CancelledThreadJob, InProcessJob, ISOLATION_JOBS, ThreadJob } from './thread-jobs';

const ROUNDS = 300;
const QUICK_ROUNDS = 20;
const WARM_UP = 10;
/** A job that is cancelled on its way to its thread never sees its signal. */
const REACH_THREAD_MS = 20;
const PARTITION = 'bench';

@Module({})
class BenchModule {}

/** Told of one job at a time. */
@Injectable()
@RogerCallbacks()
class Ends implements WorkerCallbacks<bigint> {
  onBegin: () => void = () => undefined;
  onEnd: (result: unknown, tookMs: number) => void = () => undefined;

  beforeRun(_event: BeforeRunEvent): bigint {
    // The handler is invoked after this.
    setImmediate(() => {
      this.onBegin();
    });
    return process.hrtime.bigint();
  }

  afterRun({ result, state }: AfterRunEvent<bigint>): void {
    this.onEnd(result, msSince(state ?? 0n));
  }
}

export const isolation: Benchmark = async (conditions) => {
  const app = await NestFactory.createApplicationContext(
    {
      module: BenchModule,
      imports: [
        RogerModule.forRoot({
          connection: { uri: conditions.uri },
          namespace: `bench-${randomBytes(4).toString('hex')}`,
          partitions: { [PARTITION]: { default: 1 } },
          threads: { module: require.resolve('./thread-jobs'), exportName: 'ThreadModule', maxThreads: 1 },
        }),
      ],
      providers: [...ISOLATION_JOBS, Ends],
    },
    { logger: ['error'] },
  );
  try {
    return await measure(app.get(JobQueue), app.get(GlobalStateService), app.get(Ends), conditions);
  } finally {
    await app.close();
  }
};

async function measure(
  jobs: JobQueue,
  globalState: GlobalStateService,
  ends: Ends,
  { isQuick }: Conditions,
): Promise<Result> {
  const rounds = WARM_UP + (isQuick ? QUICK_ROUNDS : ROUNDS);
  const runMs = async (job: JobClass): Promise<number> => {
    const ended = new Promise<number>(
      (resolve) =>
        (ends.onEnd = (_result, tookMs) => {
          resolve(tookMs);
        }),
    );
    await jobs.enqueue(job, {});
    return ended;
  };
  const cancelMs = async (job: JobClass): Promise<number> => {
    const begun = new Promise<void>((resolve) => (ends.onBegin = resolve));
    const ended = new Promise<bigint>(
      (resolve) =>
        (ends.onEnd = (result) => {
          resolve(result as bigint);
        }),
    );
    const { job: enqueued } = await jobs.enqueue(job, {}).then((result) => {
      if (result.status !== 'enqueued') throw new Error(result.status);
      return result;
    });
    await begun;
    await sleep(REACH_THREAD_MS);
    const cancelledAt = process.hrtime.bigint();
    await globalState.cancelJob(PARTITION, enqueued.id);
    return Number((await ended) - cancelledAt) / 1e6;
  };
  const figures = {
    process: [] as number[],
    thread: [] as number[],
    cancel: [] as number[],
    cancelThread: [] as number[],
  };
  for (let round = 0; round < rounds; round++) {
    figures.process.push(await runMs(InProcessJob));
    figures.thread.push(await runMs(ThreadJob));
    figures.cancel.push(await cancelMs(CancelledJob));
    figures.cancelThread.push(await cancelMs(CancelledThreadJob));
  }
  const warm = (values: readonly number[]): readonly number[] => values.slice(WARM_UP);
  const overheadMs = median(warm(figures.thread)) - median(warm(figures.process));
  const cancelP99 = quantile(warm(figures.cancel), 0.99);
  const cancelThreadP99 = quantile(warm(figures.cancelThread), 0.99);
  return {
    rows: [
      { name: 'cancel of a running job p99', unit: 'ms', roger: cancelP99 },
      { name: 'cancel of one in a thread p99', unit: 'ms', roger: cancelThreadP99 },
      { name: 'a thread, there and back', unit: 'ms', roger: overheadMs },
    ],
    fields: {
      cancel_running_ms_p99: cancelP99,
      cancel_running_thread_ms_p99: cancelThreadP99,
      thread_roundtrip_overhead_ms: overheadMs,
    },
  };
}

function msSince(begin: bigint): number {
  return Number(process.hrtime.bigint() - begin) / 1e6;
}
