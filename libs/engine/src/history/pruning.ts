// Removes what is too old, or too much, a few thousand rows at a time.
import { sql } from 'kysely';
import { FINAL_STATES } from '../records/rows';
import type { EngineStore } from '../store/engine-store';

const DAY_MS = 24 * 3_600_000;
const HOUR_MS = 3_600_000;
/** More at once would hold up the writing. */
const ROWS_AT_ONCE = 2_000;
/** What a node that is gone has left of itself. */
const NODES_KEPT_MS = 7 * DAY_MS;

export interface PruningOptions {
  readonly retentionDays: number;
  readonly maxRuns: number;
  readonly statisticsDays: number;
}

/** How many rows were removed. */
export interface Pruned {
  readonly runs: number;
  readonly jobs: number;
}

export class Pruning {
  private isClosed = false;

  constructor(
    private readonly store: EngineStore,
    private readonly options: PruningOptions,
  ) {}

  /** What is under way ends with the rows that it is at. */
  close(): void {
    this.isClosed = true;
  }

  /** Harmless on several nodes at once. @param now in ms since the epoch */
  async prune(now = Date.now()): Promise<Pruned> {
    const { retentionDays, statisticsDays } = this.options;
    const tooOld = now - retentionDays * DAY_MS;
    let runs = await this.runsBegunBefore(tooOld);
    const tooMany = await this.beginOfTooMany();
    if (tooMany !== undefined) runs += await this.runsBegunBefore(tooMany);
    const jobs =
      (await this.jobsOverBefore(Math.max(tooOld, tooMany ?? tooOld))) + (await this.stoppedBefore(tooOld));
    const { writing } = this.store;
    const firstHour = Math.floor((now - statisticsDays * DAY_MS) / HOUR_MS);
    await writing.deleteFrom('roger_counts').where('hour', '<', firstHour).execute();
    await sql`delete from roger_nodes where seen_at < ${this.store.now} - ${sql.lit(NODES_KEPT_MS)}`.execute(
      writing,
    );
    return { runs, jobs };
  }

  private runsBegunBefore(before: number): Promise<number> {
    return this.inSteps(
      () => sql`delete from roger_runs where id in (
        select id from roger_runs where started_at < ${before} and result is not null limit ${ROWS_AT_ONCE})`,
    );
  }

  /** Runs that began before are more than there may be. */
  private async beginOfTooMany(): Promise<number | undefined> {
    const last = await this.store.reading
      .selectFrom('roger_runs')
      .select('started_at')
      .orderBy('started_at', 'desc')
      .offset(this.options.maxRuns)
      .limit(1)
      .executeTakeFirst();
    return last === undefined ? undefined : Number(last.started_at) + 1;
  }

  /** All their runs had begun by then. */
  private jobsOverBefore(before: number): Promise<number> {
    return this.inSteps(
      () => sql`delete from roger_jobs where (partition, job_id) in (
        select partition, job_id from roger_jobs
        where state in (${sql.join(FINAL_STATES)}) and queued_at < ${before} and ended_at < ${before}
        limit ${ROWS_AT_ONCE})`,
    );
  }

  /** Nothing more was told of them. Not done, said once more, is what the index of those is used for. */
  private stoppedBefore(before: number): Promise<number> {
    return this.inSteps(
      () => sql`delete from roger_jobs where (partition, job_id) in (
        select partition, job_id from roger_jobs
        where state = 'stopped' and state <> 'done' and queued_at < ${before} and seq_at < ${before * 1_000}
        limit ${ROWS_AT_ONCE})`,
    );
  }

  private async inSteps(statement: () => ReturnType<typeof sql>): Promise<number> {
    let sum = 0;
    while (!this.isClosed) {
      const { numAffectedRows = 0n } = await statement().execute(this.store.writing);
      sum += Number(numAffectedRows);
      if (Number(numAffectedRows) < ROWS_AT_ONCE) break;
    }
    return sum;
  }
}
