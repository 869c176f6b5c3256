// Decides how many jobs a lane holds beyond the running ones, from how long its jobs take. Knows times, not brokers.

/** A buffer is worth this much work, so that a crash repeats, and an idle node misses, no more than that. */
const BUFFERED_WORK_MS = 75;
const MAX_BUFFER = 125;
/** Jobs that take longer than this are left in the queue for whichever node is free. */
const LONG_JOB_MS = 100;
/** Jobs that take about that long would renew the consumer again and again, were the way back not a longer one. */
const SURELY_LONG_JOB_MS = 1.25 * LONG_JOB_MS;
/** How many jobs must have been seen before (again) deciding. */
const SAMPLES = 32;
const SMOOTHING = 1 / SAMPLES;
/** The broker's consumer has to be renewed for another size, so small differences aren't worth it. */
const SIZES = [0, 8, 16, 32, 64, MAX_BUFFER];

/**
 * Quick jobs need a buffer, or every one waits a round trip to the broker: at prefetch 10 a consumer gets a tenth of
 * what it gets at 250. Slow jobs need none.
 */
export class PrefetchPolicy {
  /** How long jobs take, about; undefined before the first has ended. */
  meanMs: number | undefined;
  private samples = 0;
  private bufferSize = 0;

  constructor(private workers: number) {}

  get maxWorkers(): number {
    return this.workers;
  }

  setMaxWorkers(maxWorkers: number): void {
    this.workers = maxWorkers;
    // A store for many would be a hoard for few.
    if (this.meanMs !== undefined) this.bufferSize = Math.min(this.bufferSize, this.wanted(this.meanMs));
  }

  /** How many deliveries to hold unsettled. */
  get prefetch(): number {
    return this.maxWorkers + this.bufferSize;
  }

  /** Takes note of a finished run. @returns true when {@link prefetch} has changed. */
  record(durationMs: number): boolean {
    this.meanMs =
      this.meanMs === undefined ? durationMs : this.meanMs + (durationMs - this.meanMs) * SMOOTHING;
    if (++this.samples < SAMPLES) return false;
    this.samples = 0;
    return this.resize(this.wanted(this.meanMs));
  }

  /** Nothing has left the buffer for so long that its jobs must have become slow. @returns true when the prefetch has changed. */
  recordStall(durationMs: number): boolean {
    this.meanMs = Math.max(this.meanMs ?? 0, durationMs);
    this.samples = 0;
    return this.resize(0);
  }

  private wanted(meanMs: number): number {
    if (meanMs > (this.bufferSize === 0 ? LONG_JOB_MS : SURELY_LONG_JOB_MS)) return 0;
    const jobs = (this.maxWorkers * BUFFERED_WORK_MS) / Math.max(meanMs, 0.01);
    return SIZES.findLast((size) => size <= jobs) ?? 0;
  }

  private resize(wanted: number): boolean {
    // One step up or down is within the noise of a mean.
    const isNear = Math.abs(SIZES.indexOf(wanted) - SIZES.indexOf(this.bufferSize)) <= 1;
    if (wanted === this.bufferSize || (isNear && wanted !== 0)) return false;
    this.bufferSize = wanted;
    return true;
  }
}
