// What @RogerJob, @RogerCallbacks and @InjectRoger take by their types. Nothing here runs; see enqueue.ts.
import { Injectable } from '@nestjs/common';
import type {
  AfterRunEvent,
  BeforeRunEvent,
  ErrorEvent,
  JobContext,
  JobHandler,
  RogerLog,
  WorkerCallbacks,
} from 'nestjs-roger';
import {
  BuryJob,
  DiscardJob,
  InjectRoger,
  JobQueue,
  RetryJob,
  RogerCallbacks,
  RogerJob,
  SnoozeJob,
} from 'nestjs-roger';

class Mail {
  mailbox!: string;
  userId!: number;
}

@RogerJob({ name: 'mail', queue: 'mail', args: Mail, retryable: { levels: [1, 10] } })
export class Complete implements JobHandler<Mail, number> {
  perform(args: Mail, { attempt, signal, logger, job }: JobContext): number {
    const log: RogerLog = logger;
    log.log(`${job.id} ${String(signal.aborted)} ${args.mailbox}`);
    return attempt;
  }
}

// @ts-expect-error it has no perform
@RogerJob()
export class Performless {
  run(): void {
    // Not what a job is run by.
  }
}

// @ts-expect-error perform is no method
@RogerJob()
export class Property {
  perform = 5;
}

// @ts-expect-error a static perform is nobody's
@RogerJob()
export class Static {
  static perform(): void {
    // A handler is an instance.
  }
}

// @ts-expect-error the second argument is the context
@RogerJob()
export class WrongContext {
  perform(_args: object, _callback: () => void): void {
    // Would be given a JobContext.
  }
}

export class WrongArgs implements JobHandler<Mail> {
  // @ts-expect-error perform takes what the job is said to take
  perform(_args: { shoeSize: string }): void {
    // Would be given a Mail.
  }
}

@RogerJob({ queue: (args: Mail) => args.mailbox })
export class Routed {
  perform(_args: Mail): void {
    // The queue comes from the args.
  }
}

@RogerJob<Mail>({ args: Mail, queue: (args) => args.mailbox.toLowerCase() })
export class RoutedByDto {
  perform(_args: Mail): void {
    // The queue comes from the args.
  }
}

// @ts-expect-error Mail has no such field
@RogerJob({ queue: (args: Mail) => String(args.shoeSize) })
export class RoutedByNothing {
  perform(_args: Mail): void {
    // Never run.
  }
}

// @ts-expect-error a queue is a text
@RogerJob({ queue: (args: Mail) => args.userId })
export class RoutedToANumber {
  perform(_args: Mail): void {
    // Never run.
  }
}

// @ts-expect-error a queue is known at once
@RogerJob({ queue: (args: Mail) => Promise.resolve(args.mailbox) })
export class RoutedLater {
  perform(_args: Mail): void {
    // Never run.
  }
}

// @ts-expect-error there is no such option
@RogerJob({ retriable: false })
export class Misspelt {
  perform(): void {
    // Never run.
  }
}

@RogerJob({ retryable: (error, attempt) => error instanceof TypeError || (attempt < 3 && { delayMs: 500 }) })
export class Ruled {
  perform(): void {
    throw new SnoozeJob({ delayMs: 1_000 });
  }
}

@RogerJob({ retryable: { levels: [1], jitter: true } })
export class Spread {
  perform({ busy }: { busy: boolean }): void {
    throw busy ? new RetryJob({ delayMs: 1_000, reason: 'busy' }) : new RetryJob();
  }
}

// @ts-expect-error a rule answers at once
@RogerJob({ retryable: (error: Error) => Promise.resolve(error.message === '') })
export class RuledLater {
  perform(): void {
    throw new BuryJob('broken');
  }
}

// @ts-expect-error a delay is a number of ms
@RogerJob({ retryable: () => ({ delayMs: '1s' }) })
export class RuledInText {
  perform(): void {
    // @ts-expect-error a reason is needed
    throw new DiscardJob();
  }
}

// @ts-expect-error jitter of a definition is on or off
@RogerJob({ retryable: { levels: [1], jitter: 0.5 } })
export class SpreadInPart {
  perform(): void {
    // @ts-expect-error a snooze has a length
    throw new SnoozeJob({});
  }
}

// @ts-expect-error levels are numbers of seconds
@RogerJob({ retryable: { levels: ['1s'] } })
export class LevelsAsText {
  perform(): void {
    // Never run.
  }
}

// @ts-expect-error an instance is no class
@RogerJob({ args: new Mail() })
export class ArgsAsInstance {
  perform(_args: Mail): void {
    // Never run.
  }
}

@Injectable()
export class Injecting {
  @InjectRoger(JobQueue, 'billing') readonly billing!: JobQueue;
  constructor(@InjectRoger(JobQueue) readonly jobs: JobQueue) {}
}

@RogerCallbacks()
export class Timing implements WorkerCallbacks<number> {
  beforeRun({ job, context }: BeforeRunEvent): number {
    return job.queuedAt + context.attempt;
  }
  afterRun({ state, result }: AfterRunEvent<number>): number[] {
    // @ts-expect-error a provider's state may be missing
    const known: number = state;
    // @ts-expect-error what a job returns is unknown here
    const returned: number = result;
    return [known, returned];
  }
  onError({ next }: ErrorEvent<number>): unknown {
    if (next.kind === 'retry') return next.afterSeconds.toFixed();
    // @ts-expect-error only a retry comes after some seconds
    return next.afterSeconds;
  }
}

export class WrongState implements WorkerCallbacks<number> {
  // @ts-expect-error the state is a number
  beforeRun(): string {
    return 'x';
  }
}

// @ts-expect-error no method of WorkerCallbacks
@RogerCallbacks()
export class Mute {
  whenDone(): void {
    // Nobody would call it.
  }
}
