// One lane of a queue in memory: who gets which job next.
// Of node:timers, so that jobs still run in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import Denque from 'denque';
import { ReturnedJobs } from './returned-jobs';
import type { StoredJob } from './stored-job';

/** Somebody who takes jobs of a lane. */
export interface JobTaker {
  /** It would take jobs if it had room, or has some. */
  readonly takesJobs: boolean;
  readonly hasRoom: boolean;
  /** What it has taken and not settled. */
  readonly inHand: readonly StoredJob[];
  take(job: StoredJob): void;
}

/** How many jobs are handed out before other work of the process gets its turn. */
const JOBS_PER_ROUND = 1000;

/** First in, first out, to takers by turns; what is given back goes before all that waits. */
export class MemoryLane {
  private readonly waiting = new Denque<StoredJob>();
  /** All of them come before all that wait: what was taken out once had an earlier place. */
  private readonly returned = new ReturnedJobs();
  private readonly takers = new Set<JobTaker>();
  /** The takers with room, in the order of their turns. */
  private readonly free = new Set<JobTaker>();
  private nextPlace = 0;
  private roundIsDue = false;

  /** How many jobs wait to be delivered. */
  get ready(): number {
    return this.waiting.length + this.returned.length;
  }

  get takerCount(): number {
    return [...this.takers].filter(({ takesJobs }) => takesJobs).length;
  }

  /** All that wait or are with a taker, in their order. */
  standing(): StoredJob[] {
    const taken = [...this.takers].flatMap(({ inHand }) => inHand);
    const returned = this.returned.all();
    return [...taken, ...returned, ...this.waiting.toArray()].sort((a, b) => a.place - b.place);
  }

  append(id: string, body: Buffer): void {
    this.waiting.push({ id, body, place: this.nextPlace++, deliveries: 0, deaths: 0 });
    this.callRound();
  }

  join(taker: JobTaker): void {
    this.takers.add(taker);
    this.reconsider(taker);
  }

  leave(taker: JobTaker): void {
    this.takers.delete(taker);
    this.free.delete(taker);
  }

  /** To be called whenever a taker's room has changed. */
  reconsider(taker: JobTaker): void {
    if (!taker.hasRoom) {
      this.free.delete(taker);
      return;
    }
    this.free.add(taker);
    this.callRound();
  }

  /** A delivered job goes back to its old place. */
  giveBack(job: StoredJob): void {
    this.putBack({ ...job, deliveries: job.deliveries + 1 });
  }

  /** A job that was taken out but not delivered goes back to its old place, as it was. */
  putBack(job: StoredJob): void {
    this.returned.add(job);
    this.callRound();
  }

  /** Takes out all that waits, in its order. */
  takeAll(): StoredJob[] {
    const all: StoredJob[] = [];
    for (let job = this.next(); job !== undefined; job = this.next()) all.push(job);
    return all;
  }

  private next(): StoredJob | undefined {
    return this.returned.take() ?? this.waiting.shift();
  }

  /** Jobs are handed out in rounds, so that nobody is given one inside a call of their own. */
  private callRound(): void {
    if (this.roundIsDue || this.free.size === 0 || this.ready === 0) return;
    this.roundIsDue = true;
    setImmediate(() => {
      this.round();
    });
  }

  private round(): void {
    try {
      for (let turns = 0; turns < JOBS_PER_ROUND && this.handOut(); turns++);
    } finally {
      this.roundIsDue = false;
      this.callRound();
    }
  }

  /** Gives the next job to the taker whose turn it is; false when there is no job or nobody for it. */
  private handOut(): boolean {
    const [taker] = this.free;
    if (taker === undefined) return false;
    const job = this.next();
    if (job === undefined) return false;
    this.free.delete(taker);
    taker.take(job);
    this.reconsider(taker);
    return true;
  }
}
