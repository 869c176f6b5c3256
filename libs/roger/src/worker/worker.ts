// The life of a delivery: decode, check whether it was cancelled, run, settle.
import type { RogerError } from '../job/errors';
import { MisroutedJobError } from '../job/errors';
import type { Job } from '../job/job';
import { decodeJob, encodeAgain } from '../job/job-codec';
import { homeLaneOf } from '../job/lanes';
import type { OutcomeReplies } from '../reports/outcome-replies';
import { isOfLedger } from '../job/keys';
import type { Delivery } from '../transport';
import type { End } from './attempts';
import { Attempts } from './attempts';
import type { AttemptsParts } from './attempts';
import { KeyedWorker } from './keyed-worker';
import type { KeyedJobs, Standing } from './keyed-worker';
import { outcomeOf } from './end-outcome';
import { endedJobOf } from './final-outcome';
import type { Run } from './run';

export interface WorkerParts extends AttemptsParts {
  readonly maxJobBytes: number;
  readonly ledgers: KeyedJobs & Standing;
  /** Who tells those that await a job how it ended. */
  readonly replies: Pick<OutcomeReplies, 'reply'>;
}

export class Worker {
  private readonly attempts: Attempts;
  private readonly keyed: KeyedWorker;

  constructor(private readonly parts: WorkerParts) {
    this.attempts = new Attempts(parts);
    this.keyed = new KeyedWorker({ ...parts, attempts: this.attempts });
  }

  /** Works a delivery through to its settlement, and tells the run of every job that has ended. Never rejects. */
  async run(delivery: Delivery, run: Run): Promise<void> {
    const { body } = delivery;
    let job: Job;
    try {
      job = this.accept(delivery, run);
    } catch (error) {
      this.settle(delivery, run, await this.attempts.bury(error as RogerError, body, run));
      return;
    }
    run.job = job;
    if (isOfLedger(job)) {
      await this.keyed.run(delivery, run, job);
      return;
    }
    const { ledgers } = this.parts;
    const cancelReason = ledgers.boardOf(job.partition)?.cancelReason(job.partition, job.id);
    if (cancelReason === undefined) {
      const end = await this.attempts.attempt(job, body, run);
      if (run.wasCancelled()) ledgers.met(job.partition, job.id);
      this.settle(delivery, run, end, job);
    } else {
      this.settle(delivery, run, await this.attempts.cancel(job, cancelReason), job);
      ledgers.met(job.partition, job.id);
    }
  }

  private reply(job: Job, end: End): void {
    const ended = endedJobOf(end);
    if (ended !== undefined) this.parts.replies.reply(job, ended);
  }

  /** @throws MalformedJobError, MisroutedJobError */
  private accept(delivery: Delivery, run: Run): Job {
    const job = decodeJob(delivery.body, this.parts.maxJobBytes);
    const { partition, queue } = run.address;
    if (job.partition !== partition || job.queue !== queue) {
      throw new MisroutedJobError(`${job.partition}/${job.queue}`, `${partition}/${queue}`);
    }
    return job;
  }

  private settle(delivery: Delivery, run: Run, end: End, job?: Job): void {
    switch (end.kind) {
      case 'done':
      case 'failed':
      case 'discarded':
      case 'cancelled':
        delivery.settle({ kind: 'done' });
        break;
      case 'retry': {
        // From the bytes, not from `job`: the handler had its args in hand and may have changed them.
        const untouched = decodeJob(delivery.body, this.parts.maxJobBytes);
        const { id } = untouched;
        const body = encodeAgain(untouched, end.changes);
        delivery.settle({
          kind: 'retry',
          id,
          afterSeconds: end.afterSeconds,
          body,
          lane: homeLaneOf(untouched),
        });
        break;
      }
      case 'bury':
        delivery.settle({ kind: 'bury', id: job?.id, reason: end.reason });
        break;
      case 'handBack':
        delivery.settle({ kind: 'handBack' });
        break;
      case 'lost':
    }
    if (job?.replyTo !== undefined) this.reply(job, end);
    run.end(outcomeOf(end));
  }
}
