// Measures how late the event loop is, from the first time that somebody asks.
import type { IntervalHistogram } from 'node:perf_hooks';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';

const RESOLUTION_MS = 20;
/** What several ask for in one second is the same for all. */
const WINDOW_MS = 1_000;

export class EventLoopLag {
  private histogram: IntervalHistogram | undefined;
  private windowBeganAt = 0;
  private lastWindowMs = 0;

  /** By how many ms a timer was late at worst, in the last one to two windows in which somebody asked. */
  async worstMs(): Promise<number> {
    this.histogram ??= this.begin();
    // What held up the loop until now is measured when timers are looked at next: at the latest in the second turn.
    await turn();
    await turn();
    const current = Math.max(0, this.histogram.max / 1e6 - RESOLUTION_MS);
    const worst = this.histogram.count === 0 ? this.lastWindowMs : Math.max(current, this.lastWindowMs);
    if (performance.now() - this.windowBeganAt >= WINDOW_MS) {
      this.lastWindowMs = this.histogram.count === 0 ? 0 : current;
      this.windowBeganAt = performance.now();
      this.histogram.reset();
    }
    return Math.round(worst);
  }

  close(): void {
    this.histogram?.disable();
  }

  private begin(): IntervalHistogram {
    const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    histogram.enable();
    this.windowBeganAt = performance.now();
    return histogram;
  }
}
