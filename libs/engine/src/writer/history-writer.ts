// Records what happens to jobs: into memory at once, into the database a moment later. Never in the way of a job.
import type { HeldRelease, Job, JobEnd, JobRecorder, QueueAddress, RogerLog, RunRecord } from 'nestjs-roger';
import {
  begunJob,
  begunRun,
  endedJob,
  endedRun,
  enqueuedJob,
  EventClock,
  heldJob,
  unsettledJob,
  unsettledRun,
} from '../records/event-rows';
import { marksOf } from '../records/event-marks';
import type { FactsReader } from '../records/job-facts';
import { JsonBytes } from '../records/json-bytes';
import { jsonOf } from '../records/json-of';
import { writeRecord } from '../records/record-text';
import type { EventRows, JobFacts } from '../records/rows';
import { BegunRun, BegunRuns } from './begun-runs';
import type { Line } from './lines';
import { Lines } from './lines';
import type { Batch, BufferLimits } from './record-buffer';
import { RecordBuffer, rowsOf } from './record-buffer';
import type { Spool } from './spool';
import { SpoolReplay } from './spool-replay';
import { Sweeps } from './sweeps';
import { UnsettledEnds } from './unsettled-ends';

/** Where batches go. */
export interface BatchStore {
  /** All or nothing; a batch of a number that has been written is not written again. */
  write(batch: Batch, number: number): Promise<void>;
  /** What was queued there up to then was removed. */
  markPurged(address: QueueAddress, at: number): Promise<void>;
  /** What was held up to then waits again. */
  markReleased(release: HeldRelease, at: number): Promise<void>;
  /** Of these runs those whose end it has. */
  endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** Whether the database refused what it was given, and would again. */
  isRefusal(error: unknown): boolean;
}

export interface WriterOptions extends BufferLimits {
  readonly flushIntervalMs: number;
  /** Larger results of `perform` are not kept. */
  readonly maxValueBytes: number;
}

export interface WriterParts {
  readonly nodeId: string;
  readonly facts: FactsReader;
  readonly store: BatchStore;
  readonly log: RogerLog;
  /** Where it is kept for the case of a kill. */
  readonly spool?: Spool | undefined;
}

/** Rows of each table per transaction, and about how many bytes. */
const BATCH_ROWS = 2_000;
const BATCH_BYTES = 4 * 1024 * 1024;
const AGAIN_MIN_MS = 200;
const AGAIN_MAX_MS = 5_000;
/** An idle node says that it is there. */
const HEARTBEAT_MS = 10_000;

interface NumberedBatch {
  readonly batch: Batch;
  readonly number: number;
}

/** What can be told of the writing. */
export interface WriterStatus {
  /** Rows that wait to be written. */
  readonly buffered: number;
  /** Updates of rows that were dropped since the start, because the database was away for too long or refused them. */
  readonly dropped: number;
  /** Why nothing can be written at the moment; undefined while it can. */
  readonly trouble: Error | undefined;
}

export class HistoryWriter implements JobRecorder {
  private readonly buffer: RecordBuffer;
  private readonly clock = new EventClock();
  /** Of the runs that go on here, as they were before the handler had their args. */
  private readonly running = new Map<string, JobFacts>();
  private readonly begun = new BegunRuns();
  private readonly sweeps: Sweeps;
  private readonly unsettled: UnsettledEnds | undefined;
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;
  /** What is being written, or could not be. */
  private readonly pending: NumberedBatch[] = [];
  private lastBatch = 0;
  private isFlushing = false;
  private lastWriteAt = 0;
  private againMs = AGAIN_MIN_MS;
  private droppedBefore = 0;
  private droppedNow = 0;
  private trouble: Error | undefined;
  private isClosed = false;
  private heartbeat: NodeJS.Timeout | undefined;
  private readonly replay: SpoolReplay | undefined;
  private readonly lines: Pick<Lines, 'append'>;
  /** Of one record after the other. */
  private readonly json = new JsonBytes();

  constructor(
    private readonly parts: WriterParts,
    private readonly options: WriterOptions,
  ) {
    this.buffer = new RecordBuffer(options);
    const { spool, store, log } = parts;
    this.lines = spool ?? new Lines();
    this.sweeps = new Sweeps(
      spool,
      () => this.flushSoon(),
      () => this.dropped(1),
    );
    if (spool === undefined) return;
    this.unsettled = new UnsettledEnds(spool);
    this.replay = new SpoolReplay({
      ...{ spool, store, log },
      room: () => options.maxRows / 2 - this.buffer.rowCount,
      add: (rows, isCounted, line) => {
        this.add(rows, line, isCounted);
        this.flushSoon();
      },
      addSweep: (sweep) => this.sweeps.add(sweep),
    });
  }

  /** The database can be written to. */
  start(): void {
    this.heartbeat = setInterval(() => {
      if (performance.now() - this.lastWriteAt >= HEARTBEAT_MS) this.flushSoon(0);
    }, HEARTBEAT_MS).unref();
    this.flushSoon(0);
    this.replay?.start();
  }

  get status(): WriterStatus {
    const { buffer, pending, droppedBefore, droppedNow, trouble } = this;
    const underWay = pending.reduce((sum, { batch }) => sum + rowsOf(batch), 0);
    const buffered = buffer.rowCount + this.begun.rowCount + underWay;
    return { buffered, dropped: droppedBefore + droppedNow, trouble };
  }

  // --- what Roger tells

  enqueued(job: Job, heldWhy?: string): void {
    const row = enqueuedJob(this.parts.facts.read(job), job, heldWhy);
    this.record({ job: row, run: undefined });
  }

  began(run: RunRecord): Promise<void> | undefined {
    const known = this.running.get(run.id);
    const facts = known ?? this.parts.facts.read(run.job);
    this.running.set(run.id, facts);
    const isFirst = known === undefined;
    const seqAt = isFirst ? this.clock.next(run.startedAt) : this.begun.get(run.id)?.seqAt;
    const { spool } = this.parts;
    const row = begunRun(facts, run, !isFirst);
    const job = seqAt === undefined ? undefined : begunJob(row, run.job.runAt ?? null, seqAt);
    const rows = { job, run: row };
    this.begun.add(run.id, new BegunRun(rows, spool === undefined ? undefined : this.toLine(rows)));
    this.flushSoon();
    // What the handler does next may be the end of the process.
    return spool?.untilWritten();
  }

  /** While this process lives it tells the real end itself. */
  ending(end: JobEnd): void {
    const { job } = end;
    if (job === undefined || this.unsettled === undefined) return;
    this.unsettled.add(end, this.endRows(end, job, unsettledJob, unsettledRun));
  }

  ended(end: JobEnd): void {
    const { job, run } = end;
    // What could not be read has no name to be found by; it stands among the buried.
    if (job === undefined) return;
    this.record(this.endRows(end, job, endedJob, endedRun));
    if (run !== undefined) {
      this.running.delete(run.id);
      this.begun.outdone(run.id);
    }
    this.unsettled?.settled(end);
  }

  purged(address: QueueAddress, at: number): void {
    this.sweeps.add({ kind: 'purged', address, at });
  }

  held(job: Job, why: string, at: number): void {
    const row = heldJob(this.parts.facts.read(job), job, why, at);
    this.record({ job: row, run: undefined });
  }

  released(release: HeldRelease, at: number): void {
    this.sweeps.add({ kind: 'released', release, at });
  }

  /** @param toJob and `toRun` make the rows of the end */
  private endRows(end: JobEnd, job: Job, toJob: typeof endedJob, toRun: typeof endedRun): EventRows {
    const { run, at } = end;
    const known = run === undefined ? undefined : this.running.get(run.id);
    const facts = known ?? this.parts.facts.read(job);
    const row = toJob(facts, job, end, this.parts.nodeId, this.clock.next(at));
    if (run === undefined) return { job: row, run: undefined };
    return { job: row, run: toRun(facts, run, end, this.valueOf(end.result)), waitMs: waitOf(run) };
  }

  private record(rows: EventRows): void {
    const line = this.toLine(rows);
    this.add(rows, line, true);
    line.release();
    this.flushSoon();
  }

  /** @returns its line, held once */
  private toLine(rows: EventRows): Line {
    const { json } = this;
    json.length = 0;
    writeRecord(json, rows);
    return this.lines.append(json);
  }

  private add(rows: EventRows, line: Line, isCounted: boolean): void {
    this.dropped(this.buffer.add(marksOf(rows), line, isCounted));
  }

  private valueOf(result: unknown): string | null {
    const text = jsonOf(result);
    return text === undefined || text.length > this.options.maxValueBytes ? null : text;
  }

  // --- writing

  /** Writes all that there is, as far as that goes in this time. @returns whether all is written. */
  async flush(withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    this.isFlushing = true;
    while (!this.isIdle && performance.now() < deadline) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.flushing ??= this.write();
      await endOf(this.flushing, deadline - performance.now());
      if (this.trouble !== undefined) await pause(Math.min(AGAIN_MIN_MS, deadline - performance.now()));
    }
    this.isFlushing = false;
    return this.isIdle;
  }

  /** Takes and writes no more. */
  close(): void {
    this.isClosed = true;
    this.replay?.close();
    this.sweeps.close();
    clearTimeout(this.timer);
    clearInterval(this.heartbeat);
    const { buffered, dropped } = this.status;
    const { spool } = this.parts;
    const isAllTold = this.unsettled?.isEmpty !== false && this.sweeps.isOver;
    spool?.close(buffered === 0 && isAllTold && this.replay?.isBusy !== true);
    if (dropped === 0 && (buffered === 0 || spool !== undefined)) return;
    this.parts.log.warn(
      `The job history of this process has gaps: ${dropped} updates of rows were dropped, and ${buffered} were not written when it ended`,
    );
  }

  private get isIdle(): boolean {
    const isNothingLeft = !this.hasRows && this.pending.length === 0 && this.sweeps.isEmpty;
    return isNothingLeft && this.flushing === undefined;
  }

  private get hasRows(): boolean {
    return !this.buffer.isEmpty || this.begun.rowCount > 0;
  }

  private flushSoon(afterMs = this.options.flushIntervalMs): void {
    if (this.isClosed || this.flushing !== undefined) return;
    if (this.timer === undefined) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.flushing ??= this.write();
      }, afterMs).unref();
    } else if (this.trouble === undefined && this.buffer.readyCount >= BATCH_ROWS) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.flushing = this.write();
    }
  }

  private async write(): Promise<void> {
    // A turn later, so that what flushes is not what recorded.
    await Promise.resolve();
    let isWell = await this.writeBatch();
    while (isWell && this.buffer.readyCount >= BATCH_ROWS) isWell = await this.writeBatch();
    isWell &&= await this.writeSweeps();
    this.flushing = undefined;
    this.againMs = isWell ? AGAIN_MIN_MS : Math.min(this.againMs * 2, AGAIN_MAX_MS);
    if (!isWell) this.flushSoon(this.againMs);
    else if (this.hasRows || !this.sweeps.isEmpty) this.flushSoon();
  }

  private async writeBatch(): Promise<boolean> {
    if (this.pending.length === 0) {
      this.begun.take(
        (rows) => this.toLine(rows),
        (rows, line) => this.add(rows, line, true),
      );
      this.pending.push({
        batch: this.buffer.take(BATCH_ROWS, BATCH_BYTES, this.isFlushing),
        number: ++this.lastBatch,
      });
    }
    for (;;) {
      const [next] = this.pending;
      if (next === undefined) break;
      try {
        await this.parts.store.write(next.batch, next.number);
        this.pending.shift();
        release(next.batch);
      } catch (error) {
        if (!this.parts.store.isRefusal(error)) {
          // Again as it is and under its number: it may have been written, and only the answer was lost.
          this.failed(error);
          return false;
        }
        this.split(next, error);
      }
    }
    this.lastWriteAt = performance.now();
    this.worked();
    return true;
  }

  /** A row that the database can't take must not keep all others from it. */
  private split({ batch }: NumberedBatch, error: unknown): void {
    const rows = rowsOf(batch);
    const halves = rows > 1 ? halvesOf(batch) : [];
    this.pending.splice(0, 1, ...halves.map((half) => ({ batch: half, number: ++this.lastBatch })));
    if (halves.length > 0) return;
    release(batch);
    this.droppedNow += rows;
    this.parts.log.error(`The database refuses a row of the job history: ${messageOf(error)}`);
  }

  private async writeSweeps(): Promise<boolean> {
    try {
      const { store } = this.parts;
      await this.sweeps.writeBy((sweep) =>
        sweep.kind === 'purged'
          ? store.markPurged(sweep.address, sweep.at)
          : store.markReleased(sweep.release, sweep.at),
      );
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  private dropped(rows: number): void {
    if (rows === 0) return;
    if (this.droppedNow === 0) {
      this.parts.log.error(
        `The job history can't be written fast enough, or at all (${this.trouble === undefined ? 'the database is slow' : messageOf(this.trouble)}): ` +
          `its oldest rows are dropped until it can; the jobs go on`,
      );
    }
    this.droppedNow += rows;
  }

  private failed(error: unknown): void {
    const trouble = error instanceof Error ? error : new Error(String(error));
    if (this.trouble === undefined) {
      this.parts.log.warn(`The job history can't be written, and is kept in memory: ${messageOf(trouble)}`);
    }
    this.trouble = trouble;
  }

  private worked(): void {
    if (this.trouble === undefined && this.droppedNow === 0) return;
    const gap =
      this.droppedNow === 0 ? 'nothing is missing' : `${this.droppedNow} updates of rows are missing`;
    if (this.trouble !== undefined || this.buffer.rowCount < BATCH_ROWS) {
      this.parts.log.log(`The job history is written again; ${gap}`);
      this.droppedBefore += this.droppedNow;
      this.droppedNow = 0;
    }
    this.trouble = undefined;
  }
}

function halvesOf({ events, counts }: Batch): readonly [Batch, Batch] {
  const [only] = events;
  const isOne = events.length === 1 && only !== undefined;
  if (isOne) {
    // Each lets go of the line for itself.
    only.line.hold();
    return [
      { events: [only.ofJob()], counts },
      { events: [only.ofRun()], counts: [] },
    ];
  }
  const middle = Math.ceil(events.length / 2);
  return [
    { events: events.slice(0, middle), counts },
    { events: events.slice(middle), counts: [] },
  ];
}

function release({ events }: Batch): void {
  for (const { line } of events) line.release();
}

/** Of a later attempt it is not known on this node since when it waited. */
function waitOf({ job, startedAt }: RunRecord): number | undefined {
  return job.attempt > 1 ? undefined : startedAt - Math.max(job.queuedAt, job.runAt ?? 0);
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ');
}

/** Or of the time. */
async function endOf(work: Promise<void>, withinMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeIsOver = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(0, withinMs))));
  await Promise.race([work, timeIsOver]);
  clearTimeout(timer);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
