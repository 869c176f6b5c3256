// Jobs that came back to the head of their queue, in the order in which they once were put into it.
import type { StoredJob } from './stored-job';

/** A binary heap by place: jobs come back in any order and leave in their old one. */
export class ReturnedJobs {
  private readonly heap: StoredJob[] = [];

  get length(): number {
    return this.heap.length;
  }

  add(job: StoredJob): void {
    let at = this.heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.heap[above];
      if (parent === undefined || parent.place < job.place) break;
      this.heap[at] = parent;
      at = above;
    }
    this.heap[at] = job;
  }

  /** In no order. */
  all(): readonly StoredJob[] {
    return this.heap;
  }

  /** The job with the earliest place. */
  take(): StoredJob | undefined {
    const earliest = this.heap[0];
    const last = this.heap.pop();
    if (last !== undefined && this.heap.length > 0) this.sink(last);
    return earliest;
  }

  clear(): void {
    this.heap.length = 0;
  }

  private sink(job: StoredJob): void {
    let at = 0;
    for (;;) {
      const below = 2 * at + 1;
      const left = this.heap[below];
      const right = this.heap[below + 1];
      if (left === undefined) break;
      const earlier = right !== undefined && right.place < left.place ? right : left;
      if (job.place < earlier.place) break;
      this.heap[at] = earlier;
      at = earlier === left ? below : below + 1;
    }
    this.heap[at] = job;
  }
}
