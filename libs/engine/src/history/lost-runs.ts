// Finds runs whose node has gone without a word, marks them as lost, and links each to the run that followed.
import { sql } from 'kysely';
import type { RogerLog } from 'nestjs-roger';
import type { EngineStore } from '../store/engine-store';
import { markLost } from './mark-lost';
import type { NodeSigns } from './node-signs';

const REASON = 'its node has not been heard of any more; whether it did its work is unknown';
/** A lost run that has not been followed by then isn't looked at any more. */
const LINK_WITHIN_MS = 7 * 24 * 3_600_000;

export interface LostRunsParts {
  readonly store: EngineStore;
  readonly signs: NodeSigns;
  readonly log: RogerLog;
  /** How long a node has to be away. */
  readonly lostAfterMs: number;
}

export class LostRuns {
  /** Nodes that have runs and are not there, since when by `performance.now()`. */
  private readonly missing = new Map<string, number>();

  constructor(private readonly parts: LostRunsParts) {}

  /** To be called every few seconds, on every node: marking twice is as good as once. @returns how many were marked */
  async look(): Promise<number> {
    const { store, signs, lostAfterMs } = this.parts;
    const present = signs.present();
    if (present === undefined) {
      this.missing.clear();
      return 0;
    }
    const rows = await store.reading
      .selectFrom('roger_runs')
      .select('node')
      .distinct()
      .where('ended_at', 'is', null)
      .where('result', 'is', null)
      .execute();
    const absent = rows.map(({ node }) => node).filter((node) => !present.has(node));
    for (const node of [...this.missing.keys()]) if (!absent.includes(node)) this.missing.delete(node);
    const now = performance.now();
    let marked = 0;
    for (const node of absent) {
      const since = this.missing.get(node) ?? now;
      this.missing.set(node, since);
      if (now - since >= lostAfterMs) marked += await this.mark(node);
    }
    await this.link();
    return marked;
  }

  /** Unless the node still writes. */
  private async mark(node: string): Promise<number> {
    const { store, signs, log, lostAfterMs } = this.parts;
    if (await signs.hasWrittenWithin(node, lostAfterMs)) return 0;
    const lost = await markLost(store, { node }, REASON);
    if (lost > 0) log.warn(`${lost} runs of node ${node}, which has gone without a word, are marked as lost`);
    return lost;
  }

  /** The first run of the same life of the job that began later, in the same attempt or the next. */
  private async link(): Promise<void> {
    const since = Date.now() - LINK_WITHIN_MS;
    await sql`
      update roger_runs set rerun_id = (
        select later.id from roger_runs as later
        where later.partition = roger_runs.partition and later.job_id = roger_runs.job_id
          and later.queued_at = roger_runs.queued_at and later.id <> roger_runs.id
          and later.attempt >= roger_runs.attempt and later.started_at >= roger_runs.started_at
        order by later.started_at, later.id limit 1)
      where result = 'lost' and result <> 'done' and rerun_id is null and started_at >= ${since}
        and exists (
        select 1 from roger_runs as later
        where later.partition = roger_runs.partition and later.job_id = roger_runs.job_id
          and later.queued_at = roger_runs.queued_at and later.id <> roger_runs.id
          and later.attempt >= roger_runs.attempt and later.started_at >= roger_runs.started_at)`.execute(
      this.parts.store.writing,
    );
  }
}
