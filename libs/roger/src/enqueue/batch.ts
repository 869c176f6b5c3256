// Keeps count of the jobs of one `enqueueMany`: what is on its way, what came of the others.
import {
  BrokerBlockedError,
  BrokerUnavailableError,
  EnqueueBufferFullError,
  LedgerUnavailableError,
} from '../job/errors';

/** As many jobs of one `enqueueMany`, and as many bytes of them, are on their way at a time: more gains nothing. */
const MANY_IN_FLIGHT = 1_000;
const MANY_BYTES_IN_FLIGHT = 16 * 1024 * 1024;

/** What `enqueueMany` did. */
export interface EnqueueManyResult {
  /** How many are confirmed and routed. */
  readonly enqueued: number;
  /** Each one that was not enqueued because its queue key is taken. */
  readonly duplicates: readonly EnqueueDuplicate[];
  /** Each one that failed, with its place in the input (from 0). */
  readonly failures: readonly EnqueueFailure[];
}

export interface EnqueueDuplicate {
  /** Its place in the input (from 0). */
  readonly index: number;
  /** The job that has the queue key. */
  readonly existingJobId: string;
}

export interface EnqueueFailure {
  readonly index: number;
  readonly error: Error;
}

/** The jobs of one `enqueueMany` that are on their way. */
export class Batch {
  /** The failure that says the broker is away; kept to fail the rest with. */
  outage: Error | undefined;
  private index = 0;
  private enqueued = 0;
  private readonly duplicates: EnqueueDuplicate[] = [];
  private inFlight = 0;
  private bytesInFlight = 0;
  /** Of those in flight: how many wait for others to end. */
  private standingBack = 0;
  private readonly failures: EnqueueFailure[] = [];
  private onOneLess: (() => void)[] = [];

  get isEmpty(): boolean {
    return this.inFlight === 0;
  }

  get isFull(): boolean {
    return this.inFlight >= MANY_IN_FLIGHT || this.bytesInFlight >= MANY_BYTES_IN_FLIGHT;
  }

  get isAnyStandingBack(): boolean {
    return this.standingBack > 0;
  }

  /** Asked by a job of the batch: whether another may still end and make room. */
  get hasOthersUnderWay(): boolean {
    return this.inFlight - this.standingBack > 1;
  }

  /** @param job resolves to the id of the job that has its queue key; undefined: it is enqueued. */
  add(bytes: number, job: Promise<string | undefined>): void {
    const index = this.index++;
    this.inFlight++;
    this.bytesInFlight += bytes;
    job.then(
      (existingJobId) => {
        if (existingJobId === undefined) this.enqueued++;
        else this.duplicates.push({ index, existingJobId });
        this.outage = undefined;
        this.leave(bytes);
      },
      (error: unknown) => {
        this.fail(index, error as Error);
        this.leave(bytes);
      },
    );
  }

  failFast(error: Error): void {
    this.fail(this.index++, error);
  }

  /** Time for the rest of the process to have its turn, even where nothing has to be waited for. */
  get isTurnOver(): boolean {
    return this.index % MANY_IN_FLIGHT === 0;
  }

  /** Resolves when one has ended, well or not. */
  oneLess(): Promise<void> {
    return new Promise((resolve) => this.onOneLess.push(resolve));
  }

  /** The same for a job of the batch, which is not under way meanwhile. */
  async oneOtherLess(): Promise<void> {
    this.standingBack++;
    await this.oneLess();
    this.standingBack--;
  }

  async settled(): Promise<void> {
    while (!this.isEmpty) await this.oneLess();
  }

  result(): EnqueueManyResult {
    this.failures.sort((a, b) => a.index - b.index);
    this.duplicates.sort((a, b) => a.index - b.index);
    return { enqueued: this.enqueued, duplicates: this.duplicates, failures: this.failures };
  }

  private fail(index: number, error: Error): void {
    if (OUTAGES.some((outage) => error instanceof outage)) this.outage = error;
    this.failures.push({ index, error });
  }

  private leave(bytes: number): void {
    this.inFlight--;
    this.bytesInFlight -= bytes;
    if (this.onOneLess.length === 0) return;
    const waiting = this.onOneLess;
    this.onOneLess = [];
    for (const resume of waiting) resume();
  }
}

/** What a job meets that has waited for the broker in vain. */
const OUTAGES = [BrokerUnavailableError, BrokerBlockedError, LedgerUnavailableError, EnqueueBufferFullError];
