// Jobs with keys that tell what happens to them, and what became of them.
import { Injectable } from '@nestjs/common';
import type { BuriedEvent, CancelEvent, Job, JobContext, WorkerCallbacks } from 'nestjs-roger';
import { RogerCallbacks, RogerJob } from 'nestjs-roger';
import type { WorkArgs } from './work';
import { sharedClock, Witness, Work } from './work';

export interface KeyedArgs extends WorkArgs {
  queueKey?: string;
  executionKey?: string;
}

const keys = {
  queueKey: ({ queueKey }: KeyedArgs) => queueKey,
  executionKey: ({ executionKey }: KeyedArgs) => executionKey,
};

/** Tried again once, after {@link RETRY_MS}. What it enqueues has its execution key. */
@RogerJob({ name: 'keyed-work', retryable: { levels: [2] }, ...keys })
export class KeyedWork extends Work {
  override perform(args: KeyedArgs, context: JobContext): Promise<void> {
    return super.perform(args, context);
  }

  protected override async enqueueNext(id: string, { partition, queue, executionKey }: Job): Promise<void> {
    const args = executionKey === undefined ? {} : { executionKey };
    await this.jobs.enqueue(KeyedWork, args, { partition, queue, id });
  }
}

export const RETRY_MS = 2_000;

/** Not tried again. */
@RogerJob({ name: 'keyed-once', retryable: false, ...keys })
export class KeyedOnce extends Work {
  override perform(args: KeyedArgs, context: JobContext): Promise<void> {
    return super.perform(args, context);
  }
}

/** Tells of the ends that a job doesn't see itself. */
@Injectable()
@RogerCallbacks()
export class Ends implements WorkerCallbacks {
  constructor(private readonly witness: Witness) {}

  onCancel({ job: { id, attempt }, reason }: CancelEvent): void {
    this.witness.see({
      what: 'cancelled',
      id,
      attempt,
      reason,
      node: this.witness.node,
      at: sharedClock(),
    });
  }

  onBuried({ job }: BuriedEvent): void {
    if (job === undefined) return;
    const { id, attempt } = job;
    this.witness.see({ what: 'buried', id, attempt, node: this.witness.node, at: sharedClock() });
  }
}

/** What an app needs to run all of them. */
export const KEYED = [Work, KeyedWork, KeyedOnce, Ends];
