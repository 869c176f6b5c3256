// Runs that have begun and of which no row is made yet: most are over before one would be written.
import { JobEvent } from '../records/job-event';
import { textOf } from '../records/record-text';
import type { EventRows } from '../records/rows';
import type { Segment, Spool } from './spool';
import { UNSPOOLED } from './spool';

export class BegunRun {
  /** In a spool, which has to have it before the handler is called. */
  readonly segment: Segment;

  constructor(
    private readonly rows: EventRows,
    spool: Pick<Spool, 'append'> | undefined,
  ) {
    this.segment = spool === undefined ? UNSPOOLED : spool.append(textOf(rows));
    this.segment.hold();
  }

  /** Its place in the order; undefined: that of its job had been told before. */
  get seqAt(): number | undefined {
    return this.rows.job?.seq_at;
  }

  get event(): JobEvent {
    return JobEvent.of(this.rows);
  }
}

export class BegunRuns {
  private readonly waiting = new Map<string, BegunRun>();

  /** Rows that they will make. */
  get rowCount(): number {
    return 2 * this.waiting.size;
  }

  get(runId: string): BegunRun | undefined {
    return this.waiting.get(runId);
  }

  add(runId: string, begun: BegunRun): void {
    this.waiting.get(runId)?.segment.release();
    this.waiting.set(runId, begun);
  }

  /** What it has come to is recorded. */
  outdone(runId: string): void {
    const begun = this.waiting.get(runId);
    if (begun === undefined) return;
    this.waiting.delete(runId);
    begun.segment.release();
  }

  /** Those that go on have rows now. */
  take(record: (begun: BegunRun) => void): void {
    for (const begun of this.waiting.values()) {
      record(begun);
      begun.segment.release();
    }
    this.waiting.clear();
  }
}
