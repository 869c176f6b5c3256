// Holds rows until they are written: the latest of each job and run, bounded in number and size.
import type { JobRow, RunRow } from '../records/rows';
import { holdsOver } from '../records/rows';

/** How often something was counted: see {@link countKey}. */
export type Counts = Map<string, number>;

/** What goes to the database in one transaction. */
export interface Batch {
  readonly jobs: readonly JobRow[];
  readonly runs: readonly RunRow[];
  readonly counts: Counts;
}

export interface BufferLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** What of a row takes memory besides its fixed part. */
const ROW_BYTES = 500;

export class RecordBuffer {
  private readonly jobs = new Map<string, JobRow>();
  private readonly runs = new Map<string, RunRow>();
  private counts: Counts = new Map();
  private bytes = 0;

  constructor(private readonly limits: BufferLimits) {}

  get rowCount(): number {
    return this.jobs.size + this.runs.size;
  }

  get isEmpty(): boolean {
    return this.rowCount === 0 && this.counts.size === 0;
  }

  /** Its row as far as it is known here. */
  jobOf(partition: string, id: string): JobRow | undefined {
    return this.jobs.get(`${partition}/${id}`);
  }

  /** @returns how many older rows had to go. */
  addJob(row: JobRow): number {
    const key = `${row.partition}/${row.job_id}`;
    const other = this.jobs.get(key);
    if (other !== undefined) {
      if (!holdsOver(row, other)) return 0;
      this.bytes -= bytesOfJob(other);
    }
    this.jobs.set(key, row);
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

  count(key: string, by = 1): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }

  /** The oldest rows, and all that was counted. */
  take(maxRows: number, maxBytes: number): Batch {
    const jobs: JobRow[] = [];
    const runs: RunRow[] = [];
    let bytes = 0;
    for (const [key, row] of this.jobs) {
      if (jobs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfJob(row);
      jobs.push(row);
      this.jobs.delete(key);
    }
    for (const [key, row] of this.runs) {
      if (runs.length >= maxRows || bytes >= maxBytes) break;
      bytes += bytesOfRun(row);
      runs.push(row);
      this.runs.delete(key);
    }
    this.bytes -= bytes;
    const { counts } = this;
    this.counts = new Map();
    return { jobs, runs, counts };
  }

  private shrink(): number {
    let dropped = 0;
    while (this.rowCount > this.limits.maxRows || this.bytes > this.limits.maxBytes) {
      // In turn, so that what is left tells of jobs and of runs.
      if (this.jobs.size >= this.runs.size) this.dropJob();
      else this.dropRun();
      dropped++;
    }
    return dropped;
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

function bytesOfJob({ args, reason_message }: JobRow): number {
  return ROW_BYTES + (args?.length ?? 0) + (reason_message?.length ?? 0);
}

function bytesOfRun({ value, reason_message, reason_stack }: RunRow): number {
  return ROW_BYTES + (value?.length ?? 0) + (reason_message?.length ?? 0) + (reason_stack?.length ?? 0);
}

/** What is counted in one hour for jobs of one name. */
export interface Counted {
  /** In hours since the epoch. */
  readonly hour: number;
  readonly name: string;
  /** `run` and `wait`: durations by bucket; else how many runs had this result. */
  readonly measure: string;
  readonly bucket: number;
}

export function countKey({ hour, name, measure, bucket }: Counted): string {
  return `${hour} ${measure} ${bucket} ${name}`;
}

export function countedOf(key: string): Counted {
  const [hour = '', measure = '', bucket = '', ...name] = key.split(' ');
  return { hour: Number(hour), measure, bucket: Number(bucket), name: name.join(' ') };
}
