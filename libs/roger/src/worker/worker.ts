// The life of a delivery: decode, check whether it was cancelled, run, settle.
import type { RogerError } from '../job/errors';
import { MisroutedJobError } from '../job/errors';
import type { Job } from '../job/job';
import { decodeJob, encodeAgain } from '../job/job-codec';
import { homeLaneOf } from '../job/lanes';
import type { OutcomeReplies } from '../reports/outcome-replies';
import { isOfLedger } from '../job/keys';
import type { Delivery } from '../transport';
import type { End, EndOf } from './attempts';
import { Attempts } from './attempts';
import type { AttemptsParts } from './attempts';
import type { HeldCopiesParts } from './held-copies';
import { HeldCopies, HOLD_AGAIN_SECONDS } from './held-copies';
import { KeyedWorker } from './keyed-worker';
import type { KeyedJobs, Standing } from './keyed-worker';
import { outcomeOf } from './end-outcome';
import { endedJobOf } from './final-outcome';
import { endedAt, recordEnd } from './record-end';
import type { Run } from './run';

export interface WorkerParts extends AttemptsParts {
  readonly maxJobBytes: number;
  readonly ledgers: KeyedJobs & Standing & { readonly holds: HeldCopiesParts['holds'] };
  /** Who tells those that await a job how it ended. */
  readonly replies: Pick<OutcomeReplies, 'reply'>;
}

export class Worker {
  private readonly attempts: Attempts;
  private readonly keyed: KeyedWorker;
  private readonly copies: HeldCopies;

  constructor(private readonly parts: WorkerParts) {
    this.attempts = new Attempts(parts);
    this.keyed = new KeyedWorker({ ...parts, attempts: this.attempts });
    const { ledgers, log } = parts;
    this.copies = new HeldCopies({
      holds: ledgers.holds,
      boardOf: (partition) => ledgers.boardOf(partition),
      log,
    });
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
    if (this.copies.isSuspect(job) && !(await this.mayRun(job, delivery, run))) return;
    const { ledgers } = this.parts;
    const cancelReason = ledgers.boardOf(job.partition)?.cancelReason(job.partition, job.id);
    if (cancelReason === undefined) {
      const end = await this.attempts.attempt(job, body, run);
      if (end.kind === 'hold') {
        await this.handIn(delivery, run, end);
        return;
      }
      if (end.kind !== 'lost' && end.kind !== 'handBack') await this.copies.hasRun(job, run);
      if (run.wasCancelled()) ledgers.met(job.partition, job.id);
      this.settle(delivery, run, end, job);
    } else {
      this.settle(delivery, run, await this.attempts.cancel(job, cancelReason), job);
      ledgers.met(job.partition, job.id);
    }
  }

  /** A copy of a job that may have been taken over by the ledger. */
  private async mayRun(job: Job, delivery: Delivery, run: Run): Promise<boolean> {
    switch (await this.copies.judge(job, run)) {
      case 'run':
        return true;
      case 'drop':
        delivery.settle({ kind: 'done' });
        run.end('stale');
        this.copies.dropped(job);
        return false;
      case 'handBack':
        delivery.settle({ kind: 'handBack' });
        run.end(run.wasLost() ? 'lost' : 'handedBack');
        return false;
    }
  }

  /** To the ledger, which keeps it. A crash between leads to a redelivery that finds it there. */
  private async handIn(delivery: Delivery, run: Run, end: EndOf<'hold'>): Promise<void> {
    const untouched = decodeJob(delivery.body, this.parts.maxJobBytes);
    if (await this.copies.takeOver(untouched, end.why, run)) {
      delivery.settle({ kind: 'done' });
      this.record(run, end, untouched);
      run.end('held');
    } else if (run.abortReason !== undefined) {
      delivery.settle({ kind: 'handBack' });
      run.end(run.wasLost() ? 'lost' : 'handedBack');
    } else {
      const { id } = untouched;
      const body = encodeAgain(untouched, {});
      const lane = homeLaneOf(untouched);
      delivery.settle({ kind: 'retry', id, afterSeconds: HOLD_AGAIN_SECONDS, body, lane });
      run.end('handedBack');
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

  private settle(delivery: Delivery, run: Run, end: Exclude<End, EndOf<'hold'>>, job?: Job): void {
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
    this.record(run, end, job);
    run.end(outcomeOf(end));
  }

  private record({ address, record, abortReason }: Run, end: End, job: Job | undefined): void {
    const { recorders } = this.parts;
    if (recorders?.isEmpty === false)
      recordEnd(recorders, { job, address, record, end, abortReason, at: endedAt(record) });
  }
}
