// A job that does nothing but tell what happens to it, for tests that count runs.
import { Injectable } from '@nestjs/common';
import type { Job, JobContext, JobHandler } from 'nestjs-roger';
import { JobCancelledError, JobQueue, RogerJob } from 'nestjs-roger';

export interface WorkArgs {
  /** How long it takes, in ms. */
  ms?: number;
  /** Works, after its time, until the test releases it: see `Sightings.release`. */
  isHeld?: boolean;
  /** Goes on working when its signal says to end. */
  isStubborn?: boolean;
  /** How many of its attempts fail. */
  failures?: number;
  /** On the node of this name it leaves a rejection unhandled, and works on until the test releases it. */
  rejectsOn?: string;
  /** The ids of the jobs that it enqueues, as quick ones, when it has worked. */
  enqueues?: string[];
}

/** What happened to a job, and on which node. */
export interface Sighting {
  readonly what: 'began' | 'ended' | 'failed' | 'aborted' | 'enqueued' | 'cancelled' | 'buried';
  readonly id: string;
  readonly attempt: number;
  readonly node: string;
  /** In ms, by a clock that all processes of this machine share. */
  readonly at: number;
  readonly fence?: number;
  /** Why it was cancelled. */
  readonly reason?: string;
}

/** The present moment for a sighting. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Gets all sightings of a node. */
@Injectable()
export abstract class Witness {
  abstract readonly node: string;
  /** Resolves when the jobs that are held may end. */
  readonly released: Promise<void> = new Promise(() => undefined);
  abstract see(sighting: Sighting): void;
}

@RogerJob({ name: 'work', retryable: { levels: [1] } })
export class Work implements JobHandler<WorkArgs> {
  constructor(
    private readonly witness: Witness,
    protected readonly jobs: JobQueue,
  ) {}

  async perform(args: WorkArgs, { job, attempt, signal, fence }: JobContext): Promise<void> {
    const see = (what: Sighting['what'], id = job.id): void => {
      const reason = signal.reason instanceof JobCancelledError ? signal.reason.reason : undefined;
      this.witness.see({
        what,
        id,
        attempt,
        node: this.witness.node,
        at: sharedClock(),
        ...(fence === undefined ? {} : { fence }),
        ...(reason === undefined ? {} : { reason }),
      });
    };
    see('began');
    const heeded = args.isStubborn === true ? undefined : signal;
    await work(args.ms ?? 0, heeded);
    const isCareless = args.rejectsOn === this.witness.node;
    if (isCareless) void Promise.reject(new Error(`left by ${job.id}`));
    if (args.isHeld === true || isCareless) await Promise.race([this.witness.released, end(heeded)]);
    if (signal.aborted) {
      see('aborted');
      if (args.isStubborn !== true) throw signal.reason;
    }
    for (const id of args.enqueues ?? []) {
      await this.enqueueNext(id, job);
      see('enqueued', id);
    }
    if (attempt <= (args.failures ?? 0)) {
      see('failed');
      throw new Error(`failure ${attempt} of ${args.failures ?? 0}`);
    }
    see('ended');
  }

  protected async enqueueNext(id: string, { partition, queue }: Job): Promise<void> {
    await this.jobs.enqueue(Work, {}, { partition, queue, id });
  }
}

/** Resolves after the time, or at once when the signal says to end. */
function work(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}

/** Resolves when the signal says to end. */
function end(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve();
    signal?.addEventListener('abort', () => {
      resolve();
    });
  });
}
