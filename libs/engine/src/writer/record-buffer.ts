// Holds rows until they are written: the latest of each job and run, bounded in number and size.
import type { JobRow, RunRow } from '../records/rows';
import { holdsOver } from '../records/rows';
import type { Counted } from './hourly-counts';
import { HourlyCounts } from './hourly-counts';
import type { Segment } from './spool';
import { UNSPOOLED } from './spool';

/** What goes to the database in one transaction. */
export interface Batch {
  readonly jobs: readonly JobRow[];
  readonly runs: readonly RunRow[];
  readonly counts: readonly Counted[];
  /** How many of the rows each segment has: they are let go when the database has them. */
  readonly segments: ReadonlyMap<Segment, number>;
}

export interface BufferLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** What of a row takes memory besides its fixed part. */
const ROW_BYTES = 500;

interface Held<Row> {
  readonly row: Row;
  readonly segment: Segment;
}

interface EnqueuedRow extends Held<JobRow> {
  /** By `performance.now()`. */
  readonly addedAt: number;
}

interface HeldRun extends Held<RunRow> {
  /** Whether the run counts when it is written, with its row: so it does once, whoever writes it in the end. */
  readonly counts: boolean;
  readonly waitMs: number | undefined;
}

/** Of a run that has ended. */
export interface Counting {
  /** undefined: not known */
  readonly waitMs: number | undefined;
}

export class RecordBuffer {
  /** Jobs of which nothing is known but that they were enqueued: their next row may make this one needless. */
  private readonly enqueued = new Map<string, EnqueuedRow>();
  private readonly jobs = new Map<string, Held<JobRow>>();
  private readonly runs = new Map<string, HeldRun>();
  private readonly counts = new HourlyCounts();
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
    return this.heldOf(`${partition}/${id}`)?.row;
  }

  private heldOf(key: string): Held<JobRow> | undefined {
    return this.jobs.get(key) ?? this.enqueued.get(key);
  }

  /** @returns how many older rows had to go. */
  addJob(row: JobRow, segment = UNSPOOLED): number {
    const key = `${row.facts.partition}/${row.facts.job_id}`;
    const other = this.heldOf(key);
    if (other !== undefined && !holdsOver(row, other.row)) return 0;
    segment.hold();
    if (row.state === 'queued' && other === undefined) {
      this.enqueued.set(key, { row, segment, addedAt: performance.now() });
    } else {
      this.enqueued.delete(key);
      this.jobs.set(key, { row, segment });
    }
    this.bytes += bytesOfJob(row);
    if (other !== undefined) this.outdoneJob(other);
    return this.shrink();
  }

  /**
   * @param counting for one that is to be counted
   * @returns how many older rows had to go.
   */
  addRun(row: RunRow, counting: Counting | undefined, segment = UNSPOOLED): number {
    const other = this.runs.get(row.id);
    if (other !== undefined && row.seq <= other.row.seq) return 0;
    segment.hold();
    this.runs.set(row.id, { row, segment, counts: counting !== undefined, waitMs: counting?.waitMs });
    this.bytes += bytesOfRun(row);
    if (other !== undefined) this.outdoneRun(other);
    return this.shrink();
  }

  /**
   * The oldest rows, and what there is to be counted of them.
   * @param holdMs so long jobs of which nothing is known but that they were enqueued are left
   */
  take(maxRows: number, maxBytes: number, holdMs: number): Batch {
    const jobs: JobRow[] = [];
    const runs: RunRow[] = [];
    const segments = new Map<Segment, number>();
    let bytes = 0;
    for (const [key, { row, segment }] of this.jobs) {
      if (jobs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfJob(row);
      jobs.push(row);
      addOne(segments, segment);
      this.jobs.delete(key);
    }
    const addedBefore = performance.now() - holdMs;
    for (const [key, { row, segment, addedAt }] of this.enqueued) {
      if (jobs.length >= maxRows || bytes >= maxBytes || addedAt > addedBefore) break;
      bytes += bytesOfJob(row);
      jobs.push(row);
      addOne(segments, segment);
      this.enqueued.delete(key);
    }
    for (const [key, held] of this.runs) {
      if (runs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfRun(held.row);
      runs.push(held.row);
      addOne(segments, held.segment);
      this.count(held);
      this.runs.delete(key);
    }
    this.bytes -= bytes;
    return { jobs, runs, counts: this.counts.take(), segments };
  }

  private count({ counts, row, waitMs }: HeldRun): void {
    if (!counts || row.result === null || row.ended_at === null) return;
    this.counts.add(row.facts.name, row.ended_at, row.result, row.ended_at - row.started_at, waitMs);
  }

  private outdoneJob({ row, segment }: Held<JobRow>): void {
    this.bytes -= bytesOfJob(row);
    segment.release();
  }

  private outdoneRun({ row, segment }: HeldRun): void {
    this.bytes -= bytesOfRun(row);
    segment.release();
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
    for (const [key, held] of this.enqueued) {
      this.enqueued.delete(key);
      this.outdoneJob(held);
      return;
    }
  }

  private dropJob(): void {
    for (const [key, held] of this.jobs) {
      this.jobs.delete(key);
      this.outdoneJob(held);
      return;
    }
  }

  private dropRun(): void {
    for (const [key, held] of this.runs) {
      this.runs.delete(key);
      this.count(held);
      this.outdoneRun(held);
      return;
    }
  }
}

function addOne(segments: Map<Segment, number>, segment: Segment): void {
  segments.set(segment, (segments.get(segment) ?? 0) + 1);
}

function bytesOfJob({ facts: { args }, reason_message }: JobRow): number {
  return ROW_BYTES + (args?.length ?? 0) + (reason_message?.length ?? 0);
}

function bytesOfRun({ value, reason_message, reason_stack }: RunRow): number {
  return ROW_BYTES + (value?.length ?? 0) + (reason_message?.length ?? 0) + (reason_stack?.length ?? 0);
}
