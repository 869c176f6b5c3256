// The jobs that the benchmarks run. None does anything but say that it ran.
import { Injectable, Scope } from '@nestjs/common';
import { IsEmail, IsInt, IsString, MaxLength, Min } from 'class-validator';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RetryJob, RogerJob } from 'nestjs-roger';
import { Tally } from './tally';

/** Makes a message of about 300 bytes. */
export const ARGS = {
  userId: 4711,
  address: 'someone@example.com',
  subject: 'Your invoice for November is ready',
  locale: 'en-GB',
  template: 'invoice-ready-v3',
};

export class Mail {
  @IsInt() @Min(1) userId!: number;
  @IsEmail() address!: string;
  @IsString() @MaxLength(200) subject!: string;
  @IsString() locale!: string;
  @IsString() template!: string;
}

@RogerJob()
export class PlainJob implements JobHandler<typeof ARGS> {
  constructor(private readonly tally: Tally) {}

  perform(_args: typeof ARGS): void {
    this.tally.count();
  }
}

/** Fails once. */
@RogerJob({ retryable: { levels: [1] } })
export class FailingJob implements JobHandler<typeof ARGS> {
  constructor(private readonly tally: Tally) {}

  perform(_args: typeof ARGS, { attempt }: JobContext): void {
    this.tally.count();
    if (attempt === 1) throw new RetryJob();
  }
}

@RogerJob({ args: Mail })
export class CheckedJob implements JobHandler<Mail> {
  constructor(private readonly tally: Tally) {}

  perform(_args: Mail): void {
    this.tally.count();
  }
}

@RogerJob()
@Injectable({ scope: Scope.REQUEST })
export class ScopedJob implements JobHandler<typeof ARGS> {
  constructor(private readonly tally: Tally) {}

  perform(_args: typeof ARGS): void {
    this.tally.count();
  }
}

/** Notes in which order jobs of which priority ran. */
@RogerJob()
export class RankedJob implements JobHandler<{ priority: number }> {
  static readonly ran: number[] = [];

  constructor(private readonly tally: Tally) {}

  perform({ priority }: { priority: number }): void {
    RankedJob.ran.push(priority);
    this.tally.count();
  }
}

/** Its keys stand beside the args of the others. */
export interface KeyedArgs extends Partial<typeof ARGS> {
  readonly queueKey?: string;
  readonly executionKey?: string;
}

@RogerJob({
  queueKey: (args: KeyedArgs) => args.queueKey,
  executionKey: (args: KeyedArgs) => args.executionKey,
})
export class KeyedJob implements JobHandler<KeyedArgs> {
  constructor(private readonly tally: Tally) {}

  perform(_args: KeyedArgs): void {
    this.tally.count();
  }
}
