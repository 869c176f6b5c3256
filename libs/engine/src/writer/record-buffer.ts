// Holds rows until they are written: the latest of each job and run, bounded in number and size.
import type { JobRow, RunRow } from '../records/rows';
import { holdsOver } from '../records/rows';
import type { Counted } from './hourly-counts';
import { HourlyCounts } from './hourly-counts';

/** What goes to the database in one transaction. */
export interface Batch {
  readonly jobs: readonly JobRow[];
  readonly runs: readonly RunRow[];
  readonly counts: readonly Counted[];
}

export interface BufferLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** What of a row takes memory besides its fixed part. */
const ROW_BYTES = 500;

interface EnqueuedRow {
  readonly row: JobRow;
  /** By `performance.now()`. */
  readonly addedAt: number;
}

export class RecordBuffer {
  /** Jobs of which nothing is known but that they were enqueued: their next row may make this one needless. */
  private readonly enqueued = new Map<string, EnqueuedRow>();
  private readonly jobs = new Map<string, JobRow>();
  private readonly runs = new Map<string, RunRow>();
  readonly counts = new HourlyCounts();
  private bytes = 0;

  constructor(private readonly limits: BufferLimits) {}

  get rowCount(): number {
    return this.enqueued.size + this.jobs.size + this.runs.size;
  }

  /** Those that need not wait. */
  get readyCount(): number {
    return this.jobs.size + this.runs.size;
  }

  get enqueuedCount(): number {
    return this.enqueued.size;
  }

  get isEmpty(): boolean {
    return this.rowCount === 0 && this.counts.isEmpty;
  }

  /** Its row as far as it is known here. */
  jobOf(partition: string, id: string): JobRow | undefined {
    const key = `${partition}/${id}`;
    return this.jobs.get(key) ?? this.enqueued.get(key)?.row;
  }

  /** @returns how many older rows had to go. */
  addJob(row: JobRow): number {
    const key = `${row.facts.partition}/${row.facts.job_id}`;
    const other = this.jobs.get(key) ?? this.enqueued.get(key)?.row;
    if (other !== undefined) {
      if (!holdsOver(row, other)) return 0;
      this.bytes -= bytesOfJob(other);
      this.enqueued.delete(key);
    }
    if (row.state === 'queued' && other === undefined) {
      this.enqueued.set(key, { row, addedAt: performance.now() });
    } else {
      this.jobs.set(key, row);
    }
    this.bytes += bytesOfJob(row);
    return this.shrink();
  }

  /** @returns how many older rows had to go. */
  addRun(row: RunRow): number {
    const other = this.runs.get(row.id);
    if (other !== undefined) {
      if (row.seq <= other.seq) return 0;
      this.bytes -= bytesOfRun(other);
    }
    this.runs.set(row.id, row);
    this.bytes += bytesOfRun(row);
    return this.shrink();
  }

  /**
   * The oldest rows, and all that was counted.
   * @param holdMs so long jobs of which nothing is known but that they were enqueued are left
   */
  take(maxRows: number, maxBytes: number, holdMs: number): Batch {
    const jobs: JobRow[] = [];
    const runs: RunRow[] = [];
    let bytes = 0;
    for (const [key, row] of this.jobs) {
      if (jobs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfJob(row);
      jobs.push(row);
      this.jobs.delete(key);
    }
    const addedBefore = performance.now() - holdMs;
    for (const [key, { row, addedAt }] of this.enqueued) {
      if (jobs.length >= maxRows || bytes >= maxBytes || addedAt > addedBefore) break;
      bytes += bytesOfJob(row);
      jobs.push(row);
      this.enqueued.delete(key);
    }
    for (const [key, row] of this.runs) {
      if (runs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfRun(row);
      runs.push(row);
      this.runs.delete(key);
    }
    this.bytes -= bytes;
    return { jobs, runs, counts: this.counts.take() };
  }

  private shrink(): number {
    let dropped = 0;
    while (this.rowCount > this.limits.maxRows || this.bytes > this.limits.maxBytes) {
      // In turn, so that what is left tells of jobs and of runs.
      const { enqueued, jobs, runs } = this;
      if (enqueued.size >= Math.max(jobs.size, runs.size)) this.dropEnqueued();
      else if (jobs.size >= runs.size) this.dropJob();
      else this.dropRun();
      dropped++;
    }
    return dropped;
  }

  private dropEnqueued(): void {
    for (const [key, { row }] of this.enqueued) {
      this.enqueued.delete(key);
      this.bytes -= bytesOfJob(row);
      return;
    }
  }

  private dropJob(): void {
    for (const [key, row] of this.jobs) {
      this.jobs.delete(key);
      this.bytes -= bytesOfJob(row);
      return;
    }
  }

  private dropRun(): void {
    for (const [key, row] of this.runs) {
      this.runs.delete(key);
      this.bytes -= bytesOfRun(row);
      return;
    }
  }
}

function bytesOfJob({ facts: { args }, reason_message }: JobRow): number {
  return ROW_BYTES + (args?.length ?? 0) + (reason_message?.length ?? 0);
}

function bytesOfRun({ value, reason_message, reason_stack }: RunRow): number {
  return ROW_BYTES + (value?.length ?? 0) + (reason_message?.length ?? 0) + (reason_stack?.length ?? 0);
}
