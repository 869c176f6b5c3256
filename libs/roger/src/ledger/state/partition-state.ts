// The jobs with keys of one partition, and how they hang together: who holds a key, who waits in line, who runs.
import type { DispatchRoute } from '../../ledger-transport';
import type { DispatchToken } from '../operation';
import type { Schedule } from './schedule';

export type Phase =
  /** In line for its execution key, its bytes with the ledger. */
  | 'waiting'
  /** On its way to its queue (or level, or the buried), its bytes still with the ledger. */
  | 'dispatching'
  /** The broker has it. */
  | 'queued'
  | 'running'
  /** The broker seems to have lost it; it is taken back when it turns up. */
  | 'missing'
  /** Held back until it is released, its bytes with the ledger. */
  | 'held';

/** A job with a key, as a ledger knows it. */
export class KeyedJob {
  phase: Phase = 'waiting';
  /** The number of its latest sending; 0: none counts. */
  dispatch = 0;
  /** What names its message instead, when a state that is gone has sent it: until it is sent anew. */
  adoptedFrom: DispatchToken | undefined;
  /** Where it was last sent. */
  route: DispatchRoute | undefined;
  /** Its bytes, one per character, as long as nobody else has them. */
  body: string | undefined;
  lease: Lease | undefined;
  holdsQueueKey = false;
  /** Why it was cancelled; undefined while it was not. */
  cancelReason: string | undefined;
  /** When the broker took it over, or will have it in its queue again; in ms since the epoch. */
  since = 0;
  /** When it is due, in ms since the epoch; undefined: it was due at once. */
  runAt: number | undefined;
  /** Why it is held; undefined while it is not. */
  heldWhy: string | undefined;
  /**
   * It was enqueued without keys, at this time by its producer's clock (ms since the epoch), and taken over: copies that no
   * ledger has sent are marked by that. Undefined: there are none.
   */
  copiesQueuedAt: number | undefined;
  /** Its neighbours in line. */
  previous: KeyedJob | undefined;
  next: KeyedJob | undefined;

  constructor(
    readonly partition: PartitionState,
    readonly id: string,
    readonly queue: string,
    readonly queueKey: string | undefined,
    readonly executionKey: string | undefined,
    /** Its turn among the jobs of its execution key; it keeps it through retries. */
    public place: number,
  ) {}
}

/** The right to run jobs, bound to one delivered message: as long as that is unacknowledged, the jobs are its holder's. */
export class Lease {
  /** Those that have not ended, in the order in which they have to run. */
  readonly jobs: KeyedJob[] = [];

  constructor(
    /** The sending whose message is the pledge. */
    readonly dispatch: number,
    /** Who was granted it last. */
    public owner: string,
    public fence: number,
    /** How often the message had been delivered before its holder got it. */
    public deliveries: number,
  ) {}

  add(job: KeyedJob): void {
    this.jobs.push(job);
    job.lease = this;
    job.phase = 'running';
  }

  remove(job: KeyedJob): void {
    const index = this.jobs.indexOf(job);
    if (index >= 0) this.jobs.splice(index, 1);
    job.lease = undefined;
  }
}

/** The jobs of one execution key: the one whose turn it is, and those behind it. */
export class Line {
  /** Whose turn it is: on its way, queued or running. While it is set the others wait. */
  holder: KeyedJob | undefined;
  private first: KeyedJob | undefined;
  private last: KeyedJob | undefined;

  constructor(readonly key: string) {}

  get isEmpty(): boolean {
    return this.holder === undefined && this.first === undefined;
  }

  get next(): KeyedJob | undefined {
    return this.first;
  }

  /** Puts a job into its place: a new one comes last, one that has run before may come before others. */
  insert(job: KeyedJob): void {
    let before = this.last;
    if (before !== undefined && before.place > job.place) {
      // Whoever comes back belongs near the head.
      before = undefined;
      for (let one = this.first; one !== undefined && one.place < job.place; one = one.next) before = one;
    }
    const after = before === undefined ? this.first : before.next;
    job.previous = before;
    job.next = after;
    if (before === undefined) this.first = job;
    else before.next = job;
    if (after === undefined) this.last = job;
    else after.previous = job;
  }

  remove(job: KeyedJob): void {
    if (job.previous === undefined) this.first = job.next;
    else job.previous.next = job.next;
    if (job.next === undefined) this.last = job.previous;
    else job.next.previous = job.previous;
    job.previous = undefined;
    job.next = undefined;
  }

  *waiting(): Generator<KeyedJob> {
    for (let one = this.first; one !== undefined; one = one.next) yield one;
  }
}

/** A cancel whose job the ledger doesn't know. */
export interface Cancel {
  readonly reason: string;
  /** In ms since the epoch. */
  readonly at: number;
}

/** A job without keys has been taken over: copies of it that no ledger has sent are void. */
export interface Moved {
  readonly id: string;
  /** Of the copies, in ms since the epoch. */
  readonly queuedAt: number;
  /** In ms since the epoch. */
  readonly at: number;
  /** A copy has turned up and gone. */
  readonly isMet: boolean;
}

/** What a ledger knows of one partition. */
export class PartitionState {
  /** By id. */
  readonly jobs = new Map<string, KeyedJob>();
  /** Who holds a queue key. */
  readonly queueKeys = new Map<string, KeyedJob>();
  /** By execution key; only those with a holder. */
  readonly lines = new Map<string, Line>();
  readonly cancelled = new Map<string, Cancel>();
  /** Until when no cancel is forgotten, in ms since the epoch; 0: each goes after a day. */
  cancelsKeptUntil = 0;
  readonly paused = new Set<string>();
  /** By name. */
  readonly schedules = new Map<string, Schedule>();
  /** By the id of the job and the time of its copies; in the order of their times. */
  readonly moved = new Map<string, Moved>();
  /** The jobs that are held, by reason, in the order in which they came. */
  readonly held = new Map<string, Set<KeyedJob>>();
  /** The jobs that the broker has, by queue, those of the longest standing first. */
  readonly queued = new Map<string, Set<KeyedJob>>();

  constructor(readonly id: string) {}

  get isEmpty(): boolean {
    const { jobs, cancelled, moved, cancelsKeptUntil, paused, schedules } = this;
    return (
      jobs.size + cancelled.size + moved.size + paused.size + schedules.size === 0 && cancelsKeptUntil === 0
    );
  }

  lineOf(key: string): Line {
    const existing = this.lines.get(key);
    if (existing !== undefined) return existing;
    const line = new Line(key);
    this.lines.set(key, line);
    return line;
  }

  addHeld(job: KeyedJob): void {
    const why = job.heldWhy ?? '';
    const held = this.held.get(why) ?? new Set();
    this.held.set(why, held);
    held.add(job);
  }

  removeHeld(job: KeyedJob): void {
    const why = job.heldWhy ?? '';
    const held = this.held.get(why);
    if (held?.delete(job) === true && held.size === 0) this.held.delete(why);
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
