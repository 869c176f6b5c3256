// Writes down what an operator has decided of a job: at once, not by way of what nodes tell, and only of one that is not over.
import { sql } from 'kysely';
import type { JobRecord } from '../history/job-records.service';
import { markLost } from '../history/mark-lost';
import { recount } from '../history/recount';
import { HELD, heldMessage } from '../records/event-rows';
import type { JobState } from '../records/rows';
import { plainText } from '../records/plain-text';
import { decreePhaseOf, FINAL_STATES, RUN_DECREED } from '../records/rows';
import type { EngineStore } from '../store/engine-store';

/** The reason's type of what an operator has decided. */
const BY_OPERATOR = 'Operator';
/** Stands before the database's time where who told a job's end stood, and is looked at by nothing but this. */
const RETRIED = '~retried ';
/** By then the row of the new life is written, or who retried it is gone. */
const RETRY_MS = 30_000;

export interface DecreedEnd {
  readonly state: Extract<JobState, 'done' | 'failed' | 'removed'>;
  readonly reason?: string | undefined;
  /** As JSON. */
  readonly value?: string | undefined;
}

export class Decrees {
  constructor(private readonly store: EngineStore) {}

  /** @returns false: it is over */
  held(record: JobRecord, why: string): Promise<boolean> {
    return this.now(record, 'held', { reason_type: HELD, reason_message: heldMessage(why) });
  }

  /** @returns false: it is over */
  stopped(record: JobRecord): Promise<boolean> {
    return this.now(record, 'stopped', { reason_type: BY_OPERATOR, reason_message: 'marked as stopped' });
  }

  /** It may have begun meanwhile: in the order of events this is still its hold, and any begin comes after it. */
  async released(record: JobRecord): Promise<void> {
    const isDelayed = record.dueAt !== undefined && record.dueAt.getTime() > Date.now();
    await this.store.writing
      .updateTable('roger_jobs')
      .set({ state: isDelayed ? 'delayed' : 'queued', reason_type: null, reason_message: null })
      .where('partition', '=', record.partition)
      .where('job_id', '=', record.id)
      .where('queued_at', '=', record.queuedAt.getTime())
      .where('state', '=', 'held')
      .execute();
  }

  /**
   * Whatever its nodes tell later of this life of the job, it stays so. A cancel that was its means is outweighed, any
   * other end is not.
   * @returns false: it is over
   */
  async ended(record: JobRecord, { state, reason = '', value }: DecreedEnd): Promise<boolean> {
    const at = Date.now();
    const why = state === 'done' ? { reason_type: null, reason_message: null } : reasonOf(reason);
    return this.store.writing.transaction().execute(async (trx) => {
      const [job] = await trx
        .updateTable('roger_jobs')
        .set({ state, ended_at: at, due_at: null, ...why, seq_phase: decreePhaseOf(record.attempt) })
        .where('partition', '=', record.partition)
        .where('job_id', '=', record.id)
        .where('queued_at', '=', record.queuedAt.getTime())
        .where('seq_phase', '<', decreePhaseOf(0))
        .where((eb) => eb.or([eb('ended_at', 'is', null), eb('state', '=', 'cancelled')]))
        .returning('run_id')
        .execute();
      if (job === undefined) return false;
      if (job.run_id === null || state === 'removed') return true;
      const runId = job.run_id;
      const changed = trx.updateTable('roger_runs').set({
        ...{ result: state, after: 'ended', ...why, seq: RUN_DECREED },
        ...(value === undefined ? {} : { value }),
        ended_at: sql<number>`coalesce(ended_at, ${at})`,
      });
      // Only the run that is still to end, or was ended for this; it may come to its end between the two.
      const goingOn = changed
        .where('id', '=', runId)
        .where('result', 'is', null)
        .where('ended_at', 'is', null);
      if ((await goingOn.returning('id').execute()).length > 0) return true;
      const cancelled = changed.where('id', '=', runId).where('result', '=', 'cancelled');
      for (const { name, ended_at } of await cancelled.returning(['name', 'ended_at']).execute()) {
        await recount(trx, { name, endedAt: Number(ended_at) }, 'cancelled', state);
      }
      return true;
    });
  }

  /** @returns whether the run had no end before. */
  async lost({ runId }: JobRecord): Promise<boolean> {
    if (runId === undefined) return false;
    return (await markLost(this.store, { runId }, 'an operator has given it up')) > 0;
  }

  /** Of several that are about to enqueue a job anew that is over, one. @returns whether it is this one */
  async claimedForRetry(record: JobRecord): Promise<boolean> {
    const { now } = this.store;
    const rows = await this.store.writing
      .updateTable('roger_jobs')
      .set({ seq_run: sql<string>`${RETRIED} || ${now}` })
      .where('partition', '=', record.partition)
      .where('job_id', '=', record.id)
      .where('queued_at', '=', record.queuedAt.getTime())
      .where('state', 'in', FINAL_STATES)
      .where((eb) =>
        eb.or([
          eb('seq_run', 'not like', `${RETRIED}%`),
          eb('seq_run', '<', sql<string>`${RETRIED} || (${now} - ${sql.lit(RETRY_MS)})`),
        ]),
      )
      .returning('job_id')
      .execute();
    return rows.length > 0;
  }

  /** It was not enqueued anew. */
  async notRetried(record: JobRecord): Promise<void> {
    await this.store.writing
      .updateTable('roger_jobs')
      .set({ seq_run: '' })
      .where('partition', '=', record.partition)
      .where('job_id', '=', record.id)
      .where('queued_at', '=', record.queuedAt.getTime())
      .where('seq_run', 'like', `${RETRIED}%`)
      .execute();
  }

  /** As if a node told it now: what comes later counts more, and what has ended has ended. */
  private async now(
    record: JobRecord,
    state: JobState,
    why: { readonly reason_type: string | null; readonly reason_message: string | null },
  ): Promise<boolean> {
    const seqAt = Date.now() * 1_000;
    const rows = await this.store.writing
      .updateTable('roger_jobs')
      .set({
        ...{ state, ...why },
        // The clock of the node that told the last may be ahead.
        seq_at: sql<number>`case when seq_at < ${seqAt} then ${seqAt} else seq_at + 1 end`,
      })
      .where('partition', '=', record.partition)
      .where('job_id', '=', record.id)
      .where('queued_at', '=', record.queuedAt.getTime())
      .where('ended_at', 'is', null)
      .returning('job_id')
      .execute();
    return rows.length > 0;
  }
}

function reasonOf(reason: string): { readonly reason_type: string; readonly reason_message: string } {
  return { reason_type: BY_OPERATOR, reason_message: plainText(reason) };
}
