// One run of one job: what it is about, since when, and whether it should end early.
import type { QueueAddress } from '../job/names';
import { DeliveryLostError } from '../job/errors';
import type { Job } from '../job/job';

/** Held by the lane while a delivery is worked on. */
export class Run {
  /** Set once the message has been understood. */
  job: Job | undefined;
  /** Why it should end early; undefined while it should not. */
  abortReason: Error | undefined;
  private controller: AbortController | undefined;

  constructor(
    readonly address: QueueAddress,
    /** In ms since the epoch. */
    readonly startedAt: number,
  ) {}

  /** The outcome no longer counts: the broker has taken the job back. */
  wasLost(): boolean {
    return this.abortReason instanceof DeliveryLostError;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.abortReason !== undefined) this.controller.abort(this.abortReason);
    }
    return this.controller.signal;
  }

  /** A lost delivery outweighs an earlier reason; the signal keeps the first. */
  abort(reason: Error): void {
    this.abortReason = reason;
    this.controller?.abort(reason);
  }
}
