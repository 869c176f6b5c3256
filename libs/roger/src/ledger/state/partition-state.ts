// What a ledger knows of one partition.
import type { KeyedJob } from './keyed-job';
import { Line } from './line';

/** A cancel whose job the ledger doesn't know. */
export interface Cancel {
  readonly reason: string;
  /** In ms since the epoch. */
  readonly at: number;
}

export class PartitionState {
  /** By id. */
  readonly jobs = new Map<string, KeyedJob>();
  /** Who holds a queue key. */
  readonly queueKeys = new Map<string, KeyedJob>();
  /** By execution key; only those with a holder. */
  readonly lines = new Map<string, Line>();
  readonly cancelled = new Map<string, Cancel>();
  readonly paused = new Set<string>();
  /** The jobs that the broker has, by queue, those of the longest standing first. */
  readonly queued = new Map<string, Set<KeyedJob>>();

  constructor(readonly id: string) {}

  get isEmpty(): boolean {
    return this.jobs.size === 0 && this.cancelled.size === 0 && this.paused.size === 0;
  }

  lineOf(key: string): Line {
    const existing = this.lines.get(key);
    if (existing !== undefined) return existing;
    const line = new Line(key);
    this.lines.set(key, line);
    return line;
  }

  addQueued(job: KeyedJob): void {
    const queued = this.queued.get(job.queue) ?? new Set();
    this.queued.set(job.queue, queued);
    queued.add(job);
  }

  removeQueued(job: KeyedJob): void {
    const queued = this.queued.get(job.queue);
    if (queued?.delete(job) === true && queued.size === 0) this.queued.delete(job.queue);
  }
}
