// Jobs that run too long, and what their callbacks and the log tell of it.
import { Injectable } from '@nestjs/common';
import type { AfterFailure, AfterRunEvent, CancelEvent, ErrorEvent, Job } from 'nestjs-roger';
import { RogerCallbacks, RogerJob } from 'nestjs-roger';
import type { WorkArgs } from './work';
import { Work } from './work';

/** May run 300 ms, twice. */
@RogerJob({ name: 'limited', retryable: { levels: [1] }, maxExecutionTimeSeconds: 0.3 })
export class Limited extends Work {
  override perform(args: WorkArgs, context: Parameters<Work['perform']>[1]): Promise<void> {
    return super.perform(args, context);
  }
}

/** What the callbacks of an app were told. */
@Injectable()
@RogerCallbacks()
export class Told {
  readonly errors: { readonly job: Job; readonly error: Error; readonly next: AfterFailure }[] = [];
  readonly done: string[] = [];
  readonly results: unknown[] = [];
  readonly cancelled: string[] = [];

  onError({ job, error, next }: ErrorEvent): void {
    this.errors.push({ job, error, next });
  }

  afterRun({ job, result }: AfterRunEvent): void {
    this.done.push(job.id);
    this.results.push(result);
  }

  onCancel({ job }: CancelEvent): void {
    this.cancelled.push(job.id);
  }
}
