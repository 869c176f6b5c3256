// Holds events until they are written: the latest of each job and run, bounded in number and size.
import type { EventMarks, JobMark, RunMark } from '../records/event-marks';
import { rowsIn, textOf } from '../records/record-text';
import type { EventRows } from '../records/rows';
import { holdsOver } from '../records/rows';
import type { Counted } from './hourly-counts';
import { HourlyCounts } from './hourly-counts';
import type { Line } from './lines';
import { linesOf } from './lines';
import { Rate } from './rate';

/** What goes to the database in one transaction. */
export interface Batch {
  /** No two of one job, and no two of one run. Their lines are held for it until the database has them. */
  readonly events: readonly LinedEvent[];
  readonly counts: readonly Counted[];
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

/** Rows that say only that a job was enqueued wait for what outdoes them, where more jobs wait than that. */
const MANY = 1_000;
/** So long they wait where jobs begin here fast enough for that, */
const HOLD_MS = 30_000;
/** and so long where it is not known that they do. */
const SHORT_HOLD_MS = 5_000;
/** But of what may be kept in memory they take no more than this share. */
const HELD_SHARE = 0.5;
/** What an event takes of memory besides its line. */
const EVENT_BYTES = 400;

/** An event, for what it makes of a job, or of a run, or both. */
export class LinedEvent implements EventMarks {
  constructor(
    readonly job: JobMark | undefined,
    readonly run: RunMark | undefined,
    readonly line: Line,
  ) {}

  /** As the line has them. */
  get rows(): EventRows {
    const { text } = this.line;
    const rows = rowsIn(text);
    if (rows === undefined) throw new Error(`the text of an event is none: ${text}`);
    return rows;
  }

  /** The event without what it makes of the run. */
  ofJob(): LinedEvent {
    return this.run === undefined ? this : this.part({ job: this.rows.job, run: undefined });
  }

  /** The event without what it makes of the job. */
  ofRun(): LinedEvent {
    return this.job === undefined ? this : this.part({ ...this.rows, job: undefined });
  }

  /** Who lets its line go lets the one go that it was made of. */
  private part(rows: EventRows): LinedEvent {
    const [line = this.line] = linesOf([textOf(rows)], () => this.line.release());
    const { job, run } = this;
    return new LinedEvent(rows.job && job, rows.run && run, line);
  }
}

class Held extends LinedEvent {
  /** In how many of the maps it is. */
  places = 0;
  /** In whole ms, by `performance.now()`. */
  readonly addedAt = Math.floor(performance.now());

  constructor(
    { job, run }: EventMarks,
    line: Line,
    /** Whether the run counts when it is written, with its row: so it does once, whoever writes it in the end. */
    readonly isCounted: boolean,
    /** How much had been added before it. */
    readonly addedBytes: number,
  ) {
    super(job, run, line);
  }

  get bytes(): number {
    return EVENT_BYTES + this.line.byteLength;
  }
}

export class RecordBuffer {
  /** Jobs of which nothing is known but that they were enqueued: their next event may make their rows needless. */
  private readonly waiting = new Map<string, Held>();
  private readonly jobs = new Map<string, Held>();
  private readonly runs = new Map<string, Held>();
  private readonly counts = new HourlyCounts();
  private readonly outdone = new Rate();
  private bytes = 0;
  /** Since the start. */
  private addedBytes = 0;

  constructor(private readonly limits: BufferLimits) {}

  get rowCount(): number {
    return this.waiting.size + this.jobs.size + this.runs.size;
  }

  /** Those that need not wait. */
  get readyCount(): number {
    return this.jobs.size + this.runs.size + Math.max(0, this.waiting.size - this.maxHeld);
  }

  private get maxHeld(): number {
    return HELD_SHARE * this.limits.maxRows;
  }

  get isEmpty(): boolean {
    return this.rowCount === 0 && this.counts.isEmpty;
  }

  /**
   * @param line that it is in; held by the buffer from now on, too, as long as a row of it is to be written
   * @param isCounted whether a run that has ended is to be counted
   * @returns how many older rows had to go.
   */
  add(marks: EventMarks, line: Line, isCounted: boolean): number {
    const held = new Held(marks, line, isCounted, this.addedBytes);
    this.addedBytes += held.bytes;
    if (marks.job !== undefined) this.addJob(marks.job, held);
    if (marks.run !== undefined) this.addRun(marks.run, held);
    return this.shrink();
  }

  private addJob(job: JobMark, held: Held): void {
    const { key } = job;
    const map = this.jobs.has(key) ? this.jobs : this.waiting;
    const other = map.get(key);
    if (other?.job !== undefined && !holdsOver(job, other.job)) return;
    this.put(other === undefined && job.isOfEnqueueing ? this.waiting : this.jobs, key, held);
    if (other === undefined) return;
    if (map === this.waiting) {
      map.delete(key);
      this.outdone.add();
    }
    this.letGo(other);
  }

  private addRun({ id, seq }: RunMark, held: Held): void {
    const other = this.runs.get(id);
    if (other?.run !== undefined && seq <= other.run.seq) return;
    this.put(this.runs, id, held);
    if (other !== undefined) this.letGo(other);
  }

  private put(map: Map<string, Held>, key: string, held: Held): void {
    map.set(key, held);
    if (held.places++ > 0) return;
    held.line.hold();
    this.bytes += held.bytes;
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
    const maxHeld = isAll || this.waiting.size < MANY ? 0 : this.maxHeld;
    const now = performance.now();
    const addedBefore = now - this.holdMsAt(now);
    // What follows a line in its segment stays in memory, too.
    const bytesBeforeHeld = this.addedBytes - HELD_SHARE * this.limits.maxBytes;
    for (const [key, held] of this.waiting) {
      const isRecent = held.addedAt > addedBefore && held.addedBytes >= bytesBeforeHeld;
      const isHeld = isRecent && this.waiting.size <= maxHeld;
      if (isHeld || isFull(batch.jobs)) break;
      this.waiting.delete(key);
      this.takeJob(held, batch);
    }
    for (const [id, held] of this.runs) {
      if (isFull(batch.runs)) break;
      this.runs.delete(id);
      this.count(held);
      batch.runs++;
      this.takeRun(held, batch);
    }
    return { events: batch.events, counts: this.counts.take() };
  }

  private holdMsAt(now: number): number {
    return this.outdone.perMsAt(now) * HOLD_MS > this.waiting.size ? HOLD_MS : SHORT_HOLD_MS;
  }

  /** With its run, where that has nothing newer either. */
  private takeJob(held: Held, batch: BatchInMaking): void {
    const { run } = held;
    batch.jobs++;
    const isWhole = run !== undefined && this.runs.get(run.id) === held;
    if (isWhole) {
      this.runs.delete(run.id);
      this.count(held);
      batch.runs++;
    }
    this.taken(held, isWhole ? held : held.ofJob(), batch);
  }

  private takeRun(held: Held, batch: BatchInMaking): void {
    if (held.places === 1) {
      this.taken(held, held.ofRun(), batch);
      return;
    }
    // The row of its job waits on.
    held.places--;
    held.line.hold();
    batch.events.push(held.ofRun());
  }

  /** It is in none of the maps any more; its line is held by the batch now. */
  private taken(held: Held, event: LinedEvent, batch: BatchInMaking): void {
    held.places = 0;
    this.bytes -= held.bytes;
    batch.events.push(event);
  }

  private count({ isCounted, run }: Held): void {
    if (!isCounted || run === undefined || run.result === null || run.endedAt === null) return;
    this.counts.add(run.name, run.endedAt, run.result, run.ranMs, run.waitMs);
  }

  /** It is in one of the maps less. */
  private letGo(held: Held): void {
    if (--held.places > 0) return;
    held.line.release();
    this.bytes -= held.bytes;
  }

  private shrink(): number {
    let dropped = 0;
    while (this.rowCount > this.limits.maxRows || this.bytes > this.limits.maxBytes) {
      // In turn, so that what is left tells of jobs and of runs.
      const { waiting, jobs, runs } = this;
      if (waiting.size >= Math.max(jobs.size, runs.size)) this.dropOldest(waiting);
      else if (jobs.size >= runs.size) this.dropOldest(jobs);
      else this.count(this.dropOldest(runs));
      dropped++;
    }
    return dropped;
  }

  private dropOldest(map: Map<string, Held>): Held {
    const [oldest] = map;
    if (oldest === undefined) throw new Error('the buffer is over its limits, and empty');
    const [key, held] = oldest;
    map.delete(key);
    this.letGo(held);
    return held;
  }
}

class BatchInMaking {
  readonly events: LinedEvent[] = [];
  jobs = 0;
  runs = 0;
}
