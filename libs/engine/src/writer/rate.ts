// How often something happened of late, by spans of about a second.
const SPAN_MS = 1_000;

export class Rate {
  private count = 0;
  private since = performance.now();
  private last = 0;

  add(): void {
    this.count++;
  }

  /** Over the last span that is over. @param now by `performance.now()` */
  perMsAt(now: number): number {
    const ms = now - this.since;
    if (ms >= SPAN_MS) {
      this.last = this.count / ms;
      this.count = 0;
      this.since = now;
    }
    return this.last;
  }
}
