// Waits until jobs that are to be retried come back, and delayed ones are due.
import type { LevelDepths } from '../../transport';

/** What setTimeout takes at most; a longer wait would end at once. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** One timer per job that waits. They keep the process alive only while somebody is there who could run the jobs. */
export class LaterJobs {
  private readonly pending = new Set<NodeJS.Timeout>();
  private keepsProcessAlive = false;
  private delayed = 0;
  private readonly retrying = new Map<number, number>();

  delay(seconds: number, act: () => void): void {
    this.delayed++;
    this.arm(seconds * 1000, () => {
      this.delayed--;
      act();
    });
  }

  retry(seconds: number, act: () => void): void {
    this.count(seconds, 1);
    this.arm(seconds * 1000, () => {
      this.count(seconds, -1);
      act();
    });
  }

  depths(): LevelDepths {
    return { delayed: this.delayed, retrying: new Map(this.retrying), homeless: 0 };
  }

  private count(seconds: number, change: number): void {
    const count = (this.retrying.get(seconds) ?? 0) + change;
    if (count === 0) this.retrying.delete(seconds);
    else this.retrying.set(seconds, count);
  }

  keepProcessAlive(keeps: boolean): void {
    this.keepsProcessAlive = keeps;
    for (const timer of this.pending) this.hold(timer);
  }

  private arm(ms: number, act: () => void): void {
    const stretchMs = Math.min(ms, LONGEST_TIMEOUT_MS);
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      if (ms > stretchMs) this.arm(ms - stretchMs, act);
      else act();
    }, stretchMs);
    this.pending.add(timer);
    this.hold(timer);
  }

  private hold(timer: NodeJS.Timeout): void {
    if (this.keepsProcessAlive) timer.ref();
    else timer.unref();
  }
}
