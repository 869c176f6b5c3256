// Asks the ledgers to hold single jobs, and to let them go.
import { LedgerFullError } from '../job/errors';
import type { Job } from '../job/job';
import { isOfLedger } from '../job/keys';
import type { Answer, MakeOperation } from './ledger-client';
import type { CancelMet, HeldJobRow, HeldReason, HoldReply } from './operation';

/** What a hold came to. */
export interface HoldAnswer {
  /** `unknown`: there is no such job, or another one goes by its id. */
  readonly outcome: 'held' | 'running' | 'cancelled' | 'unknown';
  /** Where the job was. */
  readonly met: CancelMet;
  /** Nodes that did not say that they have heard. */
  readonly missing: readonly string[];
}

export interface JobHoldsParts {
  readonly ask: (partition: string, make: MakeOperation, bytes?: number) => Promise<Answer>;
  /** Undefined: the ledger was never used. */
  readonly askLedger: (ledger: number, make: MakeOperation) => Promise<Answer | undefined>;
  readonly ledgerShards: number;
}

/** So many at a time: each has to be sent. */
const RELEASE_STEP = 500;

export class JobHolds {
  constructor(private readonly parts: JobHoldsParts) {}

  /** @param body the job's bytes, without a token. @throws LedgerFullError, LedgerUnavailableError, RogerClosedError */
  async hold(job: Job, body: Buffer, why: string): Promise<HoldAnswer> {
    const { missing, isRunning, ...reply } = await this.askToHold(job, body, why, false);
    const { met, cancelled = false, refused = false } = reply;
    if (isRunning === true) {
      // A copy runs that nobody can void any more: the job is not held, and must not be there twice.
      await this.undo(job);
      return { outcome: 'running', met: 'running', missing };
    }
    const outcome = cancelled ? 'cancelled' : refused ? 'unknown' : met === 'running' ? met : 'held';
    return { outcome, met, missing };
  }

  /**
   * Hands in a delivered job without keys: the ledger has it from then on.
   * @returns false when another job has its id; the delivery must not be acknowledged then.
   * @throws LedgerFullError, LedgerUnavailableError, RogerClosedError
   */
  async takeOver(job: Job, body: Buffer, why: string): Promise<boolean> {
    const { refused } = await this.askToHold(job, body, why, true);
    return refused !== true;
  }

  /** A copy that no ledger has sent runs, or has run: if its job was taken over meanwhile, that is undone. */
  async undo({ partition, id, queuedAt }: Pick<Job, 'partition' | 'id' | 'queuedAt'>): Promise<true> {
    await this.parts.ask(partition, () => ({ op: 'undo hold', partition, id, queuedAt }));
    return true;
  }

  /** Whether a copy that no ledger has sent is void. */
  async isMoved({ partition, id, queuedAt }: Job): Promise<boolean> {
    const { reply } = await this.parts.ask(partition, () => ({ op: 'is moved', partition, id, queuedAt }));
    return reply['yes'] === true;
  }

  /** A void copy has gone. When this gets lost, what is noted of it goes after a day. */
  met({ partition, id, queuedAt }: Job): void {
    this.parts.ask(partition, () => ({ op: 'met moved', partition, id, queuedAt })).catch(() => undefined);
  }

  /** @returns where the job was; it is released if it was held. */
  async release(partition: string, id: string, isNow: boolean): Promise<CancelMet> {
    const { reply } = await this.parts.ask(partition, () => ({ op: 'release', partition, id, isNow }));
    return (reply as { met?: CancelMet }).met ?? 'unseen';
  }

  /** @returns how many are released. Those that come to be held meanwhile may stay. */
  async releaseAll(partition: string, why: string): Promise<number> {
    let released = 0;
    for (let total = Infinity; released < total;) {
      const count = Math.min(RELEASE_STEP, total - released);
      const { reply } = await this.parts.ask(partition, () => ({ op: 'release all', partition, why, count }));
      const step = reply as { released?: number; left?: number };
      if (step.released === undefined || step.released === 0) break;
      released += step.released;
      // Or two that hold and release against each other would go on for ever.
      if (total === Infinity) total = released + (step.left ?? 0);
    }
    return released;
  }

  async heldWhy(partition: string, id: string): Promise<string | undefined> {
    const { reply } = await this.parts.ask(partition, () => ({ op: 'is held', partition, id }));
    return reply['why'] as string | undefined;
  }

  async held(partition: string, why: string | undefined, count: number): Promise<readonly HeldJobRow[]> {
    const { reply } = await this.parts.ask(partition, () => ({ op: 'held jobs', partition, why, count }));
    return (reply as { jobs?: readonly HeldJobRow[] }).jobs ?? [];
  }

  /** Why jobs are held, in all partitions. @throws LedgerUnavailableError, RogerClosedError */
  async reasons(): Promise<readonly HeldReason[]> {
    const ledgers = Array.from({ length: this.parts.ledgerShards }, (_, ledger) => ledger);
    const answers = await Promise.all(
      ledgers.map((ledger) => this.parts.askLedger(ledger, () => ({ op: 'held reasons' }))),
    );
    return answers.flatMap(
      (answer) => (answer?.reply as { reasons?: HeldReason[] } | undefined)?.reasons ?? [],
    );
  }

  private async askToHold(
    job: Job,
    body: Buffer,
    why: string,
    isDelivered: boolean,
  ): Promise<HoldReply & { readonly missing: readonly string[]; readonly isRunning?: boolean }> {
    const { partition, id, queue, queuedAt, runAt } = job;
    const text = body.toString('latin1');
    const hasKeys = isOfLedger(job);
    const { reply } = await this.parts.ask(
      partition,
      (add) => ({
        ...{ op: 'hold', partition, id, queue, queuedAt, runAt, hasKeys, isDelivered },
        ...{ why, body: add(text) },
      }),
      body.length,
    );
    const answer = reply as unknown as HoldReply & { missing?: readonly string[]; isRunning?: boolean };
    if (answer.full !== undefined) throw new LedgerFullError(partition, answer.full);
    return { ...answer, missing: answer.missing ?? [] };
  }
}
