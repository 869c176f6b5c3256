// Counts what has run, and knows when that is all.
import type { Span } from './rounds';
import { startSpan } from './rounds';

/** The clock runs from the first to the last of the expected, so that connecting and subscribing don't count. */
export class Tally {
  private seen = 0;
  private expected = Number.POSITIVE_INFINITY;
  private endSpan: (jobs: number) => Span = startSpan();
  private resolve: (span: Span) => void = () => undefined;
  /** Called at each one, too. */
  onCount: (() => void) | undefined;

  /** Begins anew; resolves at the last of so many. */
  expect(jobs: number): Promise<Span> {
    this.seen = 0;
    this.expected = jobs;
    return new Promise((resolve) => (this.resolve = resolve));
  }

  count(): void {
    this.onCount?.();
    if (this.seen++ === 0) this.endSpan = startSpan();
    // The first is not in the time between first and last.
    if (this.seen === this.expected) this.resolve(this.endSpan(this.expected - 1));
  }
}
