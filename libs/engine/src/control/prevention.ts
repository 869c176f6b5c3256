// Keeps jobs that have not begun from beginning: until they are released, or for good.
import type { GlobalStateService, HoldResult } from 'nestjs-roger';
import { LedgerFullError } from 'nestjs-roger';
import type { JobRecord, JobRecords } from '../history/job-records.service';
import { isFinal } from '../records/rows';
import { ArgsNotRecordedError } from './args-not-recorded.error';
import type { Decrees } from './decrees';
import { jobOfRecord } from './recorded-job';

export interface PreventionParts {
  readonly records: Pick<JobRecords, 'get'>;
  readonly decrees: Decrees;
  readonly globalState: GlobalStateService;
}

/** Why a job is held that is about to be cancelled. */
const TO_BE_CANCELLED = 'to be cancelled';
/** So long after an end its node may take to write it down. */
const LAG_MS = 1_000;
const LOOK_MS = 50;

export class Prevention {
  constructor(private readonly parts: PreventionParts) {}

  /** @throws ArgsNotRecordedError, LedgerFullError */
  async hold(record: JobRecord, why: string): Promise<'held' | 'running' | 'cancelled' | 'ended'> {
    const { outcome } = await this.parts.globalState.hold(jobOfRecord(record), { why });
    if (outcome === 'unknown') return 'ended';
    if (outcome !== 'held') return outcome;
    if (await this.parts.decrees.held(record, why)) return 'held';
    await this.giveBack(record);
    return 'ended';
  }

  /**
   * Held first, for the ledger lets a run that has begun be; a cancel would end it.
   * @returns `cancelled`: it doesn't begin any more. `running`: it has begun, and was left alone. `told to end`: it could
   * not be held, and had begun when the cancel came.
   */
  async cancel(
    record: JobRecord,
    reason: string,
  ): Promise<'cancelled' | 'running' | 'told to end' | 'ended'> {
    const { partition, id } = record;
    const held = await this.heldIfPossible(record);
    if (held?.outcome === 'unknown') return (await this.isSaidToHaveEnded(record)) ? 'ended' : 'cancelled';
    if (held !== undefined && (held.outcome === 'running' || held.met === 'running')) return 'running';
    if (held?.outcome === 'held' && !(await this.parts.decrees.held(record, TO_BE_CANCELLED))) {
      await this.giveBack(record);
      return 'ended';
    }
    const { met } = await this.parts.globalState.cancelJob(partition, id, { reason });
    return met === 'running' ? 'told to end' : 'cancelled';
  }

  private async heldIfPossible(record: JobRecord): Promise<HoldResult | undefined> {
    try {
      return await this.parts.globalState.hold(jobOfRecord(record), { why: TO_BE_CANCELLED });
    } catch (error) {
      if (error instanceof ArgsNotRecordedError || error instanceof LedgerFullError) return undefined;
      throw error;
    }
  }

  /** A ledger can't know of a job without keys that it has ended before it was held: then it would run again. */
  private async giveBack(record: JobRecord): Promise<void> {
    const { globalState } = this.parts;
    const { partition, id } = record;
    await globalState.undoHold({ partition, id, queuedAt: record.queuedAt.getTime() });
    // One that the ledger knows by itself is not over, whatever the record says.
    if (await globalState.isHeld(partition, id)) await globalState.release(partition, id);
  }

  /** The ledger knows no such job any more. Whether the record says so in a moment, too. */
  private async isSaidToHaveEnded({ id, partition, queuedAt }: JobRecord): Promise<boolean> {
    const deadline = performance.now() + LAG_MS;
    while (performance.now() < deadline) {
      const record = await this.parts.records.get(id, { partition });
      if (record === undefined || isFinal(record.state)) return true;
      if (record.queuedAt.getTime() !== queuedAt.getTime()) return true;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return false;
  }
}
