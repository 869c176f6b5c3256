// Runs that have begun and of which no row is made yet: most are over before one would be written.
import type { EventRows } from '../records/rows';
import type { Line } from './lines';

export class BegunRun {
  constructor(
    readonly rows: EventRows,
    /** In a spool, which has to have it before the handler is called. */
    readonly line: Line | undefined,
  ) {}

  /** Its place in the order; undefined: that of its job had been told before. */
  get seqAt(): number | undefined {
    return this.rows.job?.seq_at;
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
    this.waiting.get(runId)?.line?.release();
    this.waiting.set(runId, begun);
  }

  /** What it has come to is recorded. */
  outdone(runId: string): void {
    const begun = this.waiting.get(runId);
    if (begun === undefined) return;
    this.waiting.delete(runId);
    begun.line?.release();
  }

  /** Those that go on have rows now. @param toLine for those that have none */
  take(toLine: (rows: EventRows) => Line, record: (rows: EventRows, line: Line) => void): void {
    for (const { rows, line = toLine(rows) } of this.waiting.values()) {
      record(rows, line);
      line.release();
    }
    this.waiting.clear();
  }
}
