// Writes down what an operator has decided of a job: at once, and not by way of what nodes tell.
import { sql } from 'kysely';
import type { JobRecord } from '../history/job-records.service';
import { HELD } from '../records/event-rows';
import type { JobState, RunResult } from '../records/rows';
import { decreePhaseOf, RUN_DECREED, RUN_LIMITED, RUN_MISSED } from '../records/rows';
import type { EngineStore } from '../store/engine-store';

/** The reason's type of what an operator has decided. */
const BY_OPERATOR = 'Operator';
const NODE_GONE = 'NodeGone';

export interface DecreedEnd {
  readonly state: Extract<JobState, 'done' | 'failed' | 'removed'>;
  readonly reason?: string | undefined;
  /** As JSON. */
  readonly value?: string | undefined;
}

export class Decrees {
  constructor(private readonly store: EngineStore) {}

  held(record: JobRecord, why: string): Promise<void> {
    return this.now(record, 'held', { reason_type: HELD, reason_message: why });
  }

  queued(record: JobRecord): Promise<void> {
    const isDelayed = record.dueAt !== undefined && record.dueAt.getTime() > Date.now();
    return this.now(record, isDelayed ? 'delayed' : 'queued', { reason_type: null, reason_message: null });
  }

  stopped(record: JobRecord): Promise<void> {
    return this.now(record, 'stopped', { reason_type: BY_OPERATOR, reason_message: 'marked as stopped' });
  }

  /** Whatever its nodes tell later of this life of the job, it stays so. */
  async ended(record: JobRecord, { state, reason = '', value }: DecreedEnd): Promise<void> {
    const at = Date.now();
    const why = state === 'done' ? { reason_type: null, reason_message: null } : reasonOf(reason);
    await this.store.writing.transaction().execute(async (trx) => {
      await trx
        .updateTable('roger_jobs')
        .set({ state, ended_at: at, due_at: null, ...why, seq_phase: decreePhaseOf(record.attempt) })
        .where('partition', '=', record.partition)
        .where('job_id', '=', record.id)
        .where('queued_at', '=', record.queuedAt.getTime())
        .execute();
      if (record.runId === undefined || state === 'removed') return;
      const result: RunResult = state;
      await trx
        .updateTable('roger_runs')
        .set({
          ...{ result, after: 'ended', ...why, seq: RUN_DECREED },
          ...(value === undefined ? {} : { value }),
          ended_at: sql<number>`coalesce(ended_at, ${at})`,
        })
        .where('id', '=', record.runId)
        // Only the run that was ended for this.
        .where('result', '=', 'cancelled')
        .execute();
    });
  }

  /** @returns whether the run had no end before. */
  async lost(record: JobRecord): Promise<boolean> {
    const why = { reason_type: NODE_GONE, reason_message: 'an operator has given it up' };
    return this.store.writing.transaction().execute(async (trx) => {
      const runs = await trx
        .updateTable('roger_runs')
        .set({ result: 'lost', ...why, seq: RUN_MISSED })
        .where('id', '=', record.runId ?? '')
        .where('ended_at', 'is', null)
        .where('result', 'is', null)
        .where('seq', '<=', RUN_LIMITED)
        .returning(['id'])
        .execute();
      if (runs.length === 0) return false;
      await trx
        .updateTable('roger_jobs')
        .set({ state: 'queued', ...why })
        .where('partition', '=', record.partition)
        .where('job_id', '=', record.id)
        .where('state', '=', 'running')
        .where('run_id', '=', record.runId ?? '')
        .execute();
      return true;
    });
  }

  /** As if a node told it now: what comes later counts more, and what has ended has ended. */
  private async now(
    record: JobRecord,
    state: JobState,
    why: { readonly reason_type: string | null; readonly reason_message: string | null },
  ): Promise<void> {
    const seqAt = Date.now() * 1_000;
    await this.store.writing
      .updateTable('roger_jobs')
      .set({ state, ...why, seq_at: seqAt })
      .where('partition', '=', record.partition)
      .where('job_id', '=', record.id)
      .where('queued_at', '=', record.queuedAt.getTime())
      .where('ended_at', 'is', null)
      .where('seq_phase', '=', record.attempt)
      .where('seq_at', '<', seqAt)
      .execute();
  }
}

function reasonOf(reason: string): { readonly reason_type: string; readonly reason_message: string } {
  return { reason_type: BY_OPERATOR, reason_message: reason };
}
