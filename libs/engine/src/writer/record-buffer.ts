// Holds events until they are written: the latest of each job and run, bounded in number and size.
import { ENQUEUED_AT, ENQUEUED_BY, enqueuedJob } from '../records/event-rows';
import { JobEvent } from '../records/job-event';
import { jobKey, RecordedFacts } from '../records/job-facts';
import type { JobFacts, JobRow, RunRow } from '../records/rows';
import { holdsOver, phaseOf } from '../records/rows';
import type { Counted } from './hourly-counts';
import { HourlyCounts } from './hourly-counts';
import type { Segment } from './spool';
import { UNSPOOLED } from './spool';

/** What goes to the database in one transaction. */
export interface Batch {
  /** No two of one job, and no two of one run. */
  readonly events: readonly JobEvent[];
  readonly counts: readonly Counted[];
  /** How many of the rows each segment has: they are let go when the database has them. */
  readonly segments: ReadonlyMap<Segment, number>;
}

/** How many rows of the tables its events make. */
export function rowsOf({ events }: Pick<Batch, 'events'>): number {
  return events.reduce(
    (sum, { job, run }) => sum + (job === undefined ? 0 : 1) + (run === undefined ? 0 : 1),
    0,
  );
}

export interface BufferLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/**
 * Where more jobs wait than that, rows that say only that a job was enqueued wait so long for what outdoes them; but of what
 * may be kept in memory they take no more than this share.
 */
const MANY = 1_000;
const HOLD_MS = 5_000;
const HELD_SHARE = 0.5;
/** What of a row takes memory besides its fixed part. */
const ROW_BYTES = 500;

/** A job of which nothing is known but that it was enqueued: no more of it than its row takes, for there may be very many. */
class WaitingJob {
  readonly facts: JobFacts;
  private readonly attempt: number;
  private readonly dueAt: number | null;

  constructor(
    { facts, attempt, due_at }: JobRow,
    readonly segment: Segment,
    /** By `performance.now()`. */
    readonly addedAt: number,
  ) {
    this.facts = facts;
    this.attempt = attempt;
    this.dueAt = due_at;
  }

  get row(): JobRow {
    const { facts, attempt, dueAt } = this;
    const { queued_at: queuedAt } = facts;
    return enqueuedJob(facts, { attempt, queuedAt, ...(dueAt === null ? {} : { runAt: dueAt }) });
  }

  isOutdoneBy(row: JobRow): boolean {
    const { facts, attempt } = this;
    const order = { facts, seq_phase: phaseOf(attempt, false), seq_at: ENQUEUED_AT, seq_run: ENQUEUED_BY };
    return holdsOver(row, order);
  }
}

/** An event, for what it makes of a job, or of a run, or both. */
interface Held {
  readonly event: JobEvent;
  readonly segment: Segment;
  /** Whether the run counts when it is written, with its row: so it does once, whoever writes it in the end. */
  readonly isCounted: boolean;
}

export class RecordBuffer {
  /** Their next event may make their rows needless. */
  private readonly enqueued = new Map<string, WaitingJob>();
  private readonly jobs = new Map<string, Held>();
  private readonly runs = new Map<string, Held>();
  private readonly counts = new HourlyCounts();
  private bytes = 0;

  constructor(private readonly limits: BufferLimits) {}

  get rowCount(): number {
    return this.enqueued.size + this.jobs.size + this.runs.size;
  }

  /** Those that need not wait. */
  get readyCount(): number {
    return this.jobs.size + this.runs.size + Math.max(0, this.enqueued.size - this.maxHeld);
  }

  private get maxHeld(): number {
    return HELD_SHARE * this.limits.maxRows;
  }

  get isEmpty(): boolean {
    return this.rowCount === 0 && this.counts.isEmpty;
  }

  /** Those of a job that it holds a row of. */
  factsOf(partition: string, id: string): JobFacts | undefined {
    const key = jobKey(partition, id);
    return this.jobs.get(key)?.event.job?.facts ?? this.enqueued.get(key)?.facts;
  }

  /**
   * @param isCounted whether a run that has ended is to be counted
   * @returns how many older rows had to go.
   */
  add(event: JobEvent, isCounted: boolean, segment: Segment = UNSPOOLED): number {
    const held: Held = { event, segment, isCounted };
    if (event.job !== undefined) this.addJob(event.job, held);
    if (event.run !== undefined) this.addRun(event.run, held);
    return this.shrink();
  }

  private addJob(row: JobRow, held: Held): void {
    const key = keyOf(row.facts);
    const other = this.jobs.get(key);
    const waiting = other === undefined ? this.enqueued.get(key) : undefined;
    if (other?.event.job !== undefined && !holdsOver(row, other.event.job)) return;
    if (waiting?.isOutdoneBy(row) === false) return;
    held.segment.hold();
    this.bytes += bytesOfJob(row);
    if (other === undefined && waiting === undefined && isEnqueued(row)) {
      this.enqueued.set(key, new WaitingJob(row, held.segment, performance.now()));
      return;
    }
    this.jobs.set(key, held);
    if (other !== undefined) this.letGoOfJob(other);
    if (waiting !== undefined) this.letGoOfWaiting(key, waiting);
  }

  private addRun(row: RunRow, held: Held): void {
    const other = this.runs.get(row.id);
    if (other?.event.run !== undefined && row.seq <= other.event.run.seq) return;
    held.segment.hold();
    this.bytes += bytesOfRun(row);
    this.runs.set(row.id, held);
    if (other !== undefined) this.letGoOfRun(other);
  }

  /**
   * The oldest events, and what there is to be counted of them.
   * @param maxRows of each table
   * @param isAll whether nothing is held back
   */
  take(maxRows: number, maxBytes: number, isAll: boolean): Batch {
    const batch = new BatchInMaking();
    const bytesBefore = this.bytes;
    const isFull = (rows: number): boolean => rows >= maxRows || bytesBefore - this.bytes >= maxBytes;
    for (const [key, held] of this.jobs) {
      if (isFull(batch.jobs)) break;
      this.jobs.delete(key);
      this.takeJob(held, batch);
    }
    const maxHeld = isAll || this.enqueued.size < MANY ? 0 : this.maxHeld;
    const addedBefore = performance.now() - HOLD_MS;
    for (const [key, waiting] of this.enqueued) {
      const isHeld = this.enqueued.size <= maxHeld && waiting.addedAt > addedBefore;
      if (isHeld || isFull(batch.jobs)) break;
      this.enqueued.delete(key);
      this.takeWaiting(waiting, batch);
    }
    for (const [key, held] of this.runs) {
      if (isFull(batch.runs)) break;
      this.runs.delete(key);
      this.takeRun(held, batch);
      batch.add(held.event.ofRun(), held.segment);
    }
    return { events: batch.events, counts: this.counts.take(), segments: batch.segments };
  }

  /** With its run, where that has nothing newer either. */
  private takeJob(held: Held, batch: BatchInMaking): void {
    const { event, segment } = held;
    if (event.job === undefined) return;
    this.bytes -= bytesOfJob(event.job);
    batch.jobs++;
    if (event.run === undefined || this.runs.get(event.run.id) !== held) {
      batch.add(event.ofJob(), segment);
      return;
    }
    this.runs.delete(event.run.id);
    this.takeRun(held, batch);
    batch.add(event, segment, 2);
  }

  private takeWaiting({ row, segment }: WaitingJob, batch: BatchInMaking): void {
    this.bytes -= bytesOfJob(row);
    batch.jobs++;
    batch.add(new JobEvent(row, undefined), segment);
  }

  private takeRun(held: Held, batch: BatchInMaking): void {
    if (held.event.run === undefined) return;
    this.bytes -= bytesOfRun(held.event.run);
    batch.runs++;
    this.count(held);
  }

  private count({ isCounted, event: { run, waitMs } }: Held): void {
    if (!isCounted || run === undefined || run.result === null || run.ended_at === null) return;
    this.counts.add(run.facts.name, run.ended_at, run.result, run.ended_at - run.started_at, waitMs);
  }

  private letGoOfJob({ event: { job }, segment }: Held): void {
    if (job !== undefined) this.bytes -= bytesOfJob(job);
    segment.release();
  }

  private letGoOfWaiting(key: string, { facts, segment }: WaitingJob): void {
    this.enqueued.delete(key);
    this.bytes -= bytesOfJob({ facts, reason_message: null });
    segment.release();
  }

  private letGoOfRun({ event: { run }, segment }: Held): void {
    if (run !== undefined) this.bytes -= bytesOfRun(run);
    segment.release();
  }

  private shrink(): number {
    let dropped = 0;
    while (this.rowCount > this.limits.maxRows || this.bytes > this.limits.maxBytes) {
      // In turn, so that what is left tells of jobs and of runs.
      const { enqueued, jobs, runs } = this;
      if (enqueued.size >= Math.max(jobs.size, runs.size)) this.dropWaiting();
      else if (jobs.size >= runs.size) this.dropJob();
      else this.dropRun();
      dropped++;
    }
    return dropped;
  }

  private dropWaiting(): void {
    for (const [key, waiting] of this.enqueued) {
      this.letGoOfWaiting(key, waiting);
      return;
    }
  }

  private dropJob(): void {
    for (const [key, held] of this.jobs) {
      this.jobs.delete(key);
      this.letGoOfJob(held);
      return;
    }
  }

  private dropRun(): void {
    for (const [key, held] of this.runs) {
      this.runs.delete(key);
      this.count(held);
      this.letGoOfRun(held);
      return;
    }
  }
}

/** Whether the row says that the job was enqueued, and nothing else. */
function isEnqueued({ state, seq_run }: JobRow): boolean {
  return state === 'queued' && seq_run === ENQUEUED_BY;
}

function keyOf(facts: JobFacts): string {
  return facts instanceof RecordedFacts ? facts.key : jobKey(facts.partition, facts.job_id);
}

class BatchInMaking {
  readonly events: JobEvent[] = [];
  readonly segments = new Map<Segment, number>();
  jobs = 0;
  runs = 0;

  add(event: JobEvent, segment: Segment, rows = 1): void {
    this.events.push(event);
    this.segments.set(segment, (this.segments.get(segment) ?? 0) + rows);
  }
}

function bytesOfJob({ facts: { args }, reason_message }: Pick<JobRow, 'facts' | 'reason_message'>): number {
  return ROW_BYTES + (args?.length ?? 0) + (reason_message?.length ?? 0);
}

function bytesOfRun({ value, reason_message, reason_stack }: RunRow): number {
  return ROW_BYTES + (value?.length ?? 0) + (reason_message?.length ?? 0) + (reason_stack?.length ?? 0);
}
