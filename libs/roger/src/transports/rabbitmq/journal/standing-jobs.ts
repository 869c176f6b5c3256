// Finds out from a journal, read backwards, which jobs stand in the queue.
import { LANES } from '../../../job/lanes';
import type { QueueLane } from '../../../transport';
import type { JournalEntry, JournalRecord } from './journal-records';

interface StandingJob {
  readonly lane: QueueLane;
  /** When it came to the queue, in ms since the epoch. */
  readonly cameAt: number;
  /** Undefined for one that is too far behind to be asked for. */
  body: Buffer | undefined;
}

export class StandingJobs {
  private readonly left = new Set<string>();
  /** When it was last emptied. */
  private readonly emptiedAt = new Map<QueueLane, number>();
  /** The oldest first, as far as they have been found. */
  private standing: StandingJob[] = [];
  private delayedCount = 0;

  constructor(
    private readonly now: number,
    /** How many jobs from the head are asked for. */
    private readonly wanted: number,
  ) {}

  /** How many have been found. */
  get count(): number {
    return this.standing.length;
  }

  /** Those that are not due yet. */
  get delayed(): number {
    return this.delayedCount;
  }

  /** The records of a stretch of the journal, in its order; each call is for the stretch before that of the last one. */
  readBack(records: readonly JournalRecord[]): void {
    const found: StandingJob[] = [];
    for (const record of records.toReversed()) {
      switch (record.kind) {
        case 'left':
          for (const token of record.tokens) this.left.add(token);
          break;
        case 'emptied':
          if (!this.emptiedAt.has(record.lane)) this.emptiedAt.set(record.lane, record.at);
          break;
        case 'entered':
          this.meet(record, found);
          break;
        case 'mark':
      }
    }
    // Sorting is stable: those that came in the same millisecond stay in the order of the journal.
    this.standing = [...found.reverse(), ...this.standing].sort((a, b) => a.cameAt - b.cameAt);
    this.forgetBodies();
  }

  /**
   * The bodies of the first jobs, lane by lane.
   * @param expected how many there are by the broker's count: of more, the oldest have left without a note.
   */
  first(expected: number): Buffer[] {
    const standing = this.standing.slice(Math.max(0, this.standing.length - expected));
    const byLane = (lane: QueueLane): StandingJob[] => standing.filter((job) => job.lane === lane);
    return LANES.flatMap(byLane)
      .slice(0, this.wanted)
      .flatMap(({ body }) => (body === undefined ? [] : [body]));
  }

  private meet({ token, lane, sentAt, dueAt, body }: JournalEntry, found: StandingJob[]): void {
    if (this.left.has(token)) return;
    if (dueAt !== undefined && dueAt > this.now) {
      this.delayedCount++;
      return;
    }
    // The journal can hold a job twice, as the queue can: the second sending of one message.
    this.left.add(token);
    const cameAt = dueAt ?? sentAt;
    if (cameAt > (this.emptiedAt.get(lane) ?? -1)) found.push({ lane, cameAt, body });
  }

  /** A long queue would fill the memory with jobs that nobody asks for. */
  private forgetBodies(): void {
    const room = this.wanted + MARGIN;
    const seen = new Map<QueueLane, number>();
    for (const job of this.standing) {
      const count = (seen.get(job.lane) ?? 0) + 1;
      seen.set(job.lane, count);
      if (count > room) job.body = undefined;
    }
  }
}

/** So many of the oldest may turn out to have left without a note. */
const MARGIN = 1_000;
