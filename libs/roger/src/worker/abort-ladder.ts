// How a run is brought to an end that should end early: its signal aborts, and after a grace it is left behind.
import { DeliveryLostError, JobCancelledError, JobTimeoutError } from '../job/errors';
import type { RunLimit } from './run-limits';

/** Told of a handler that goes on, with what resolves to its late end. */
export type OnLeft = (handler: Promise<unknown>) => void;

/** The ladder of one attempt. It outlives its run where the handler does. */
export class AbortLadder {
  /** Why it should end early; undefined while it should not. */
  reason: Error | undefined;
  /** The run goes on without us. */
  isLeftBehind = false;
  private isTimeOver = false;
  private hasEnded = false;
  private controller: AbortController | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  /** Starts the grace; there while the handler runs. */
  private onAbort: (() => void) | undefined;

  constructor(reason?: Error) {
    this.reason = reason;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  private get wasLost(): boolean {
    return this.reason instanceof DeliveryLostError;
  }

  /** Whether it holds for the job of the attempt only, and not for those that follow on the same delivery. */
  get isForOneJob(): boolean {
    return this.reason instanceof JobCancelledError || this.reason instanceof JobTimeoutError;
  }

  /** The first reason counts; only a lost delivery outweighs it. The signal keeps the first. */
  abort(reason: Error): void {
    if (this.reason === undefined || reason instanceof DeliveryLostError) this.reason = reason;
    this.controller?.abort(reason);
    this.onAbort?.();
  }

  /** Aborts when the time is over and the handler still runs. */
  limit({ afterMs, error }: RunLimit): void {
    if (this.hasEnded) return;
    const timer = setTimeout(() => {
      this.isTimeOver = true;
      this.abort(error());
    }, afterMs);
    this.timers.push(timer);
  }

  /**
   * As the handler ends; rejects with the reason when it has not a grace after its signal aborted. Then `onLeft` is told,
   * with what settles when the handler has ended after all. A run whose delivery was lost has nothing to settle: it keeps
   * its worker, until it ends or its time is over.
   */
  async untilEnd(handler: PromiseLike<unknown>, graceMs: number, onLeft: OnLeft): Promise<unknown> {
    try {
      return await new Promise((resolve, reject) => {
        handler.then(resolve, reject);
        let isGraceOn = false;
        this.onAbort = () => {
          if (isGraceOn || (this.wasLost && !this.isTimeOver)) return;
          isGraceOn = true;
          const leave = (): void => {
            this.isLeftBehind = true;
            onLeft(Promise.resolve(handler));
            reject(this.reason ?? new Error('aborted'));
          };
          this.timers.push(setTimeout(leave, graceMs));
        };
        if (this.reason !== undefined) this.onAbort();
      });
    } finally {
      this.hasEnded = true;
      this.onAbort = undefined;
      for (const timer of this.timers) clearTimeout(timer);
      this.timers.length = 0;
    }
  }
}
