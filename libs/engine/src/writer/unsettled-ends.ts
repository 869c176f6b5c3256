// Ends that a ledger has yet to take: only the spool has them, until they are settled or the process is killed.
import type { JobEnd } from 'nestjs-roger';
import type { EventRows } from '../records/rows';
import type { Line } from './lines';
import { bytesOf } from './lines';
import type { Spool } from './spool';
import { unsettledLine } from './spool-lines';

export class UnsettledEnds {
  private readonly lines = new Map<string, Line>();

  constructor(private readonly spool: Pick<Spool, 'append'>) {}

  get isEmpty(): boolean {
    return this.lines.size === 0;
  }

  add(end: JobEnd, rows: EventRows): void {
    this.settled(end);
    this.lines.set(keyOf(end), this.spool.append(bytesOf(unsettledLine(rows))));
  }

  /** To be called when the spool has the end that counts. */
  settled(end: JobEnd): void {
    if (this.isEmpty) return;
    const key = keyOf(end);
    const line = this.lines.get(key);
    this.lines.delete(key);
    line?.release();
  }
}

function keyOf({ run, job, address: { partition } }: JobEnd): string {
  return run?.id ?? `${partition}/${job?.id ?? ''}`;
}
