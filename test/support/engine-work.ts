// A job that traces each of its runs.
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import type { TracedStep } from './engine-node';

@Injectable()
export abstract class TraceOfJobs {
  abstract add(step: Omit<TracedStep, 'pid' | 'at'>): void;
}

export interface TracedArgs {
  readonly ms: number;
  /** How many of its attempts fail. */
  readonly failures?: number;
  /** Its execution key. */
  readonly key?: string | undefined;
}

@RogerJob({
  name: 'traced',
  retryable: { levels: [1, 1, 1] },
  executionKey: ({ key }: TracedArgs) => key,
})
export class Traced implements JobHandler<TracedArgs> {
  constructor(private readonly trace: TraceOfJobs) {}

  async perform({ ms, failures = 0 }: TracedArgs, { job: { id }, attempt }: JobContext): Promise<void> {
    this.trace.add({ what: 'began', id, attempt });
    await sleep(ms);
    const isFailing = attempt <= failures;
    this.trace.add({ what: isFailing ? 'failed' : 'ended', id, attempt });
    if (isFailing) throw new Error('as it was told to');
  }
}
