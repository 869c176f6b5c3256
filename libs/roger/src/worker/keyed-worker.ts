// The life of a delivered job with a key: claim it from its ledger, run it and those granted with it, settle, acknowledge.
import { performance } from 'node:perf_hooks';
import { LedgerFullError, RogerClosedError } from '../job/errors';
import type { Job } from '../job/job';
import { decodeJob, encodeAgainForLedger, encodeForLedger } from '../job/job-codec';
import type { RogerLog } from '../job/log';
import type { Claimed, DeliveryHolder, Grant, SettledAs } from '../ledger/ledgers';
import type { JobRecorders } from '../reports/job-recorders';
import type { OutcomeReplies } from '../reports/outcome-replies';
import type { Delivery } from '../transport';
import type { Attempts, End } from './attempts';
import { outcomeOf } from './end-outcome';
import { endedJobOf } from './final-outcome';
import type { DecidedEnd } from './record-end';
import { endedAt, recordEnd, recordEnding } from './record-end';
import type { MovedBoard } from './held-copies';
import { HOLD_AGAIN_SECONDS } from './held-copies';
import type { Run } from './run';

/** What a worker needs of the ledgers. */
export interface KeyedJobs {
  newOwner(): string;
  dropOwner(owner: string): void;
  claim(job: Job, holder: DeliveryHolder, chain: number): Promise<Claimed>;
  park(job: Job, body: Buffer): Promise<boolean>;
  settle(partition: string, id: string, fence: number, outcome: SettledAs): Promise<boolean>;
  bidFarewell(job: Job): Promise<boolean>;
}

/** What was cancelled. */
export interface Standing {
  boardOf(
    partition: string,
  ):
    | (MovedBoard & { cancelReason(partition: string, id: string, fence?: number): string | undefined })
    | undefined;
  met(partition: string, id: string): void;
}

export interface KeyedWorkerParts {
  readonly attempts: Attempts;
  readonly ledgers: KeyedJobs & Standing;
  readonly replies: Pick<OutcomeReplies, 'reply'>;
  readonly recorders?: JobRecorders | undefined;
  readonly maxJobBytes: number;
  readonly log: RogerLog;
}

/** Jobs granted together keep other work from their worker, and what is not settled would be repeated after a crash. */
const CHAIN_MS = 2_000;
const ASK_AGAIN_MS = 200;

export class KeyedWorker {
  private complaint: string | undefined;

  constructor(private readonly parts: KeyedWorkerParts) {}

  async run(delivery: Delivery, run: Run, job: Job): Promise<void> {
    const { ledgers } = this.parts;
    const owner = ledgers.newOwner();
    try {
      await this.runAs({ owner, deliveries: delivery.deliveries }, delivery, run, job);
    } finally {
      ledgers.dropOwner(owner);
    }
  }

  private async runAs(holder: DeliveryHolder, delivery: Delivery, run: Run, job: Job): Promise<void> {
    const { ledgers } = this.parts;
    run.leaveWorker();
    const claimed = await this.untilAnswered(
      () => run.abortReason !== undefined,
      () => ledgers.claim(job, holder, run.chain),
    );
    switch (claimed?.claim) {
      case undefined:
        delivery.settle({ kind: 'handBack' });
        run.end(run.wasLost() ? 'lost' : 'handedBack');
        return;
      case 'granted':
        // The ledger needs no word of it when it is given back: who gets the message next is granted it anew.
        await this.ready(delivery, run, claimed, job);
        return;
      case 'stale':
        delivery.settle({ kind: 'done' });
        run.end('stale');
        return;
      case 'wait':
        await this.tellAndEnd(delivery, run, () => ledgers.park(job, encodeForLedger(job)));
        run.end('parked');
        return;
      case 'cancelled':
        await this.endCancelled(delivery, run, job, claimed.reason);
        run.end('cancelled');
    }
  }

  private async ready(delivery: Delivery, run: Run, grant: Grant, job: Job): Promise<void> {
    run.fence = grant.fence;
    for (const { id } of grant.jobs) run.ahead.add(id);
    if (await run.takeWorker()) {
      await this.runGranted(delivery, run, job, grant);
    } else {
      delivery.settle({ kind: 'handBack' });
      run.end(run.wasLost() ? 'lost' : 'handedBack');
    }
  }

  private async endCancelled(delivery: Delivery, run: Run, job: Job, reason: string): Promise<void> {
    const { attempts, ledgers, replies } = this.parts;
    await attempts.cancel(job, reason);
    const announced = this.announce(run, job, { kind: 'cancelled', reason });
    await this.tellAndEnd(delivery, run, () => ledgers.bidFarewell(job));
    replies.reply(job, { kind: 'cancelled', reason });
    if (announced !== undefined) this.record(announced);
  }

  /** The message may only go when the ledger knows: without it the job would be forgotten, and its keys never free. */
  private async tellAndEnd(delivery: Delivery, run: Run, tell: () => Promise<boolean>): Promise<void> {
    const told = await this.untilAnswered(() => run.wasLost(), tell);
    delivery.settle({ kind: told === true ? 'done' : 'handBack' });
  }

  /** The delivered message is the pledge for all of them: it is acknowledged when the last one is settled. */
  private async runGranted(delivery: Delivery, run: Run, delivered: Job, grant: Grant): Promise<void> {
    const begunAt = performance.now();
    const settled: Promise<boolean | undefined>[] = [];
    const settle = (id: string, outcome: SettledAs): Promise<boolean | undefined> => {
      const answer = this.untilAnswered(
        () => run.wasLost(),
        () => this.settleOrPostpone(delivered.partition, id, grant.fence, outcome),
      );
      settled.push(answer);
      return answer;
    };
    let isDeliveredHandedBack = false;
    for (const [index, { id, body, cancelled }] of grant.jobs.entries()) {
      const mustStop = run.shouldYield || performance.now() - begunAt > CHAIN_MS;
      if (index > 0 && mustStop && cancelled === undefined) {
        run.ahead.delete(id);
        void settle(id, { kind: 'release' });
        continue;
      }
      const bytes = body ?? delivery.body;
      const job = body === undefined ? delivered : this.decode(body);
      const end =
        job instanceof Error
          ? await this.parts.attempts.bury(job, bytes, run)
          : await this.runOne(job, bytes, run, grant.fence, cancelled);
      run.end(outcomeOf(end));
      const known = job instanceof Error ? undefined : job;
      if (end.kind === 'lost') {
        this.record(decided(run, known, end));
        return;
      }
      if (end.kind !== 'handBack') {
        const announced = this.announce(run, known, end);
        const answer = settle(id, this.outcomeFor(end, body, delivered, delivery));
        if (announced !== undefined) this.recordWhenAnswered(answer, announced);
        if (!(job instanceof Error) && job.replyTo !== undefined) this.replyWhenAccepted(answer, job, end);
      } else {
        this.record(decided(run, known, end));
        if (body === undefined) isDeliveredHandedBack = true;
        else void settle(id, { kind: 'release' });
      }
    }
    run.freeWorker();
    const answers = await Promise.all(settled);
    // What was refused is somebody else's to end; if nobody's, it comes again.
    const isGivenBack = isDeliveredHandedBack || answers.some((answer) => answer !== true);
    delivery.settle({ kind: isGivenBack ? 'handBack' : 'done' });
  }

  /** What there is no room to hold comes back later. */
  private async settleOrPostpone(
    partition: string,
    id: string,
    fence: number,
    outcome: SettledAs,
  ): Promise<boolean> {
    const { ledgers } = this.parts;
    try {
      return await ledgers.settle(partition, id, fence, outcome);
    } catch (error) {
      if (!(error instanceof LedgerFullError) || outcome.kind !== 'hold') throw error;
      const { body } = outcome;
      return ledgers.settle(partition, id, fence, { kind: 'retry', afterSeconds: HOLD_AGAIN_SECONDS, body });
    }
  }

  /** What the ledger refuses is not the job's outcome. */
  private replyWhenAccepted(answer: Promise<boolean | undefined>, job: Job, end: End): void {
    const ended = endedJobOf(end);
    if (ended === undefined) return;
    void answer.then((isAccepted) => {
      if (isAccepted === true) this.parts.replies.reply(job, ended);
    });
  }

  /** A kill before the ledger's answer must not take along what is known. @returns undefined while nobody keeps a record. */
  private announce(run: Run, job: Job | undefined, end: End): DecidedEnd | undefined {
    const { recorders } = this.parts;
    if (recorders?.isEmpty !== false) return undefined;
    const what = decided(run, job, end);
    recordEnding(recorders, what);
    return what;
  }

  /** What the ledger refuses is not the job's outcome: that run was one too many. */
  private recordWhenAnswered(answer: Promise<boolean | undefined>, what: DecidedEnd): void {
    void answer.then((isAccepted) => {
      this.record(isAccepted === true ? what : { ...what, end: { kind: 'lost' } });
    });
  }

  private record(what: DecidedEnd): void {
    const { recorders } = this.parts;
    if (recorders?.isEmpty === false) recordEnd(recorders, what);
  }

  private runOne(
    job: Job,
    bytes: Buffer,
    run: Run,
    fence: number,
    cancelled: string | undefined,
  ): Promise<End> {
    const { attempts, ledgers } = this.parts;
    run.next(job);
    // It may have been cancelled while its grant was on its way.
    const reason = cancelled ?? ledgers.boardOf(job.partition)?.cancelReason(job.partition, job.id, fence);
    return reason === undefined ? attempts.attempt(job, bytes, run) : attempts.cancel(job, reason);
  }

  private outcomeFor(
    end: Exclude<End, { kind: 'handBack' | 'lost' }>,
    body: Buffer | undefined,
    delivered: Job,
    delivery: Delivery,
  ): SettledAs {
    switch (end.kind) {
      case 'done':
      case 'failed':
      case 'discarded':
        return { kind: 'done' };
      case 'cancelled':
        return { kind: 'cancelled' };
      case 'retry': {
        // From the bytes: the handler had the args in hand and may have changed them.
        const untouched = decodeJob(body ?? delivery.body, this.parts.maxJobBytes);
        const changed = encodeAgainForLedger(untouched, end.changes);
        return { kind: 'retry', afterSeconds: end.afterSeconds, body: changed };
      }
      case 'hold':
      case 'bury': {
        const kept = body ?? encodeForLedger(decodeJob(delivery.body, this.parts.maxJobBytes));
        return { ...end, body: kept };
      }
    }
  }

  private decode(body: Buffer): Job | Error {
    try {
      return decodeJob(body, this.parts.maxJobBytes);
    } catch (error) {
      return error as Error;
    }
  }

  /** The ledger will answer some time, and does once what it is asked twice; until then there is nothing to go by. */
  private async untilAnswered<T>(isOver: () => boolean, ask: () => Promise<T>): Promise<T | undefined> {
    for (;;) {
      try {
        const answer = await ask();
        this.complaint = undefined;
        return answer;
      } catch (error) {
        if (isOver() || error instanceof RogerClosedError) return undefined;
        const problem = error instanceof Error ? error.message : String(error);
        if (problem !== this.complaint) this.parts.log.warn(`A job with a key is held up: ${problem}`);
        this.complaint = problem;
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        if (isOver()) return undefined;
      }
    }
  }
}

function decided({ address, record, abortReason }: Run, job: Job | undefined, end: End): DecidedEnd {
  return { job, address, record, end, abortReason, at: endedAt(record) };
}
