// The jobs of one execution key: the one whose turn it is, and those behind it.
import type { KeyedJob } from './keyed-job';

export class Line {
  /** Whose turn it is: on its way, queued or running. While it is set the others wait. */
  holder: KeyedJob | undefined;
  private first: KeyedJob | undefined;
  private last: KeyedJob | undefined;

  constructor(readonly key: string) {}

  get isEmpty(): boolean {
    return this.holder === undefined && this.first === undefined;
  }

  get next(): KeyedJob | undefined {
    return this.first;
  }

  /** Puts a job into its place: a new one comes last, one that has run before may come before others. */
  insert(job: KeyedJob): void {
    let before = this.last;
    if (before !== undefined && before.place > job.place) {
      // Whoever comes back belongs near the head.
      before = undefined;
      for (let one = this.first; one !== undefined && one.place < job.place; one = one.next) before = one;
    }
    const after = before === undefined ? this.first : before.next;
    job.previous = before;
    job.next = after;
    if (before === undefined) this.first = job;
    else before.next = job;
    if (after === undefined) this.last = job;
    else after.previous = job;
  }

  remove(job: KeyedJob): void {
    if (job.previous === undefined) this.first = job.next;
    else job.previous.next = job.next;
    if (job.next === undefined) this.last = job.previous;
    else job.next.previous = job.previous;
    job.previous = undefined;
    job.next = undefined;
  }

  *waiting(): Generator<KeyedJob> {
    for (let one = this.first; one !== undefined; one = one.next) yield one;
  }
}
