// One queue in memory: who gets which job next, and what becomes of a job that is settled.
// Of node:timers, so that jobs still run in a test that fakes the global timers; retries follow the faked clock.
import { setImmediate } from 'node:timers';
import Denque from 'denque';
import { QueueFullError, show } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type { QueueAddress } from '../../job/names';
import type { QueueDepth, Settlement } from '../../transport';

import { ReturnedJobs } from './returned-jobs';
import type { RetryTimers } from './retry-timers';
import type { BuriedJob, StoredJob } from './stored-job';

/** Somebody who takes jobs of a queue. */
export interface JobTaker {
  readonly hasRoom: boolean;
  take(job: StoredJob): void;
}

/** The bounds of one queue. */
export interface QueueLimits {
  readonly maxJobs: number;
  readonly maxBuriedJobs: number;
}

/** How many jobs are handed out before other work of the process gets its turn. */
const JOBS_PER_ROUND = 1000;

/** First in, first out, to takers by turns; what is given back goes before all that waits. */
export class MemoryQueue {
  private readonly waiting = new Denque<StoredJob>();
  /** All of them come before all that wait: what was delivered once had an earlier place. */
  private readonly returned = new ReturnedJobs();
  private readonly graves = new Denque<BuriedJob>();
  private readonly takers = new Set<JobTaker>();
  /** The takers with room, in the order of their turns. */
  private readonly free = new Set<JobTaker>();
  /** Jobs that wait, are delivered, or will be retried. */
  private held = 0;
  private nextPlace = 0;
  private roundIsDue = false;

  constructor(
    private readonly address: QueueAddress,
    private readonly limits: QueueLimits,
    private readonly retries: RetryTimers,
  ) {}

  /** @throws QueueFullError */
  put(id: string, body: Buffer): void {
    if (this.held >= this.limits.maxJobs) {
      throw new QueueFullError(this.address.partition, this.address.queue);
    }
    this.held++;
    this.append(id, body);
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

  settle(job: StoredJob, settlement: Settlement, log: RogerLog): void {
    switch (settlement.kind) {
      case 'done':
        this.held--;
        return;
      case 'retry': {
        const { id, afterSeconds, body } = settlement;
        this.retries.after(afterSeconds, () => {
          this.append(id, body);
        });
        return;
      }
      case 'bury':
        this.held--;
        this.bury({ body: job.body, id: settlement.id ?? job.id, reason: settlement.reason }, log);
        return;
      case 'handBack':
        this.giveBack(job);
        return;
    }
  }

  giveBack(job: StoredJob): void {
    this.returned.add({ ...job, redelivered: true });
    this.callRound();
  }

  purge(): number {
    const purged = this.ready;
    this.waiting.clear();
    this.returned.clear();
    this.held -= purged;
    return purged;
  }

  depth(): QueueDepth {
    return { ready: this.ready, consumers: this.takers.size, buried: this.graves.length };
  }

  buried(): readonly BuriedJob[] {
    return this.graves.toArray();
  }

  private get ready(): number {
    return this.waiting.length + this.returned.length;
  }

  private append(id: string, body: Buffer): void {
    this.waiting.push({ id, body, place: this.nextPlace++, redelivered: false });
    this.callRound();
  }

  private bury(job: BuriedJob, log: RogerLog): void {
    this.graves.push(job);
    if (this.graves.length <= this.limits.maxBuriedJobs) return;
    const dropped = this.graves.shift();
    if (dropped === undefined) return;
    const { id, reason } = dropped;
    log.error(
      `Queue ${show(this.address.queue)} of partition ${show(this.address.partition)} keeps no more than ` +
        `${this.limits.maxBuriedJobs} buried jobs (maxBuriedJobs): dropped the oldest, job ${show(id)}, ` +
        `buried for ${show(reason.type)}: ${show(reason.message)}`,
    );
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
    const job = this.returned.take() ?? this.waiting.shift();
    if (job === undefined) return false;
    this.free.delete(taker);
    taker.take(job);
    this.reconsider(taker);
    return true;
  }
}
