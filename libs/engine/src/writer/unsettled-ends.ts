// Ends that a ledger has yet to take: only the spool has them, until they are settled or the process is killed.
import type { JobEnd } from 'nestjs-roger';
import type { JobEvent } from '../records/job-event';
import type { Segment, Spool } from './spool';
import { unsettledLine } from './spool-lines';

export class UnsettledEnds {
  private readonly segments = new Map<string, Segment>();

  constructor(private readonly spool: Pick<Spool, 'append'>) {}

  get isEmpty(): boolean {
    return this.segments.size === 0;
  }

  add(end: JobEnd, event: JobEvent): void {
    this.settled(end);
    const segment = this.spool.append(unsettledLine(event));
    segment.hold();
    this.segments.set(keyOf(end), segment);
  }

  /** To be called when the spool has the end that counts. */
  settled(end: JobEnd): void {
    if (this.isEmpty) return;
    const key = keyOf(end);
    const segment = this.segments.get(key);
    this.segments.delete(key);
    segment?.release();
  }
}

function keyOf({ run, job, address: { partition } }: JobEnd): string {
  return run?.id ?? `${partition}/${job?.id ?? ''}`;
}
