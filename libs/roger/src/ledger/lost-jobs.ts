// Finds jobs that the broker should have and has not: removed by hand, or lost with their queue. Their keys would never be free.
import type { QueueAddress } from '../job/names';
import type { LedgerState } from './ledger-state';
import type { Operation } from './operation';
import type { KeyedJob } from './state/keyed-job';

/** A message may be with a node that hangs and has not been noticed yet; then it comes back, within less than this. */
const PATIENCE_MS = 40_000;
/** The jobs of an empty queue are looked for this long after, too. */
export const LOOK_MS = 10_000;

/** How many jobs stand in a queue, on both lanes; undefined: there is no such queue. */
export type CountReady = (address: QueueAddress) => Promise<number | undefined>;

export class LostJobs {
  /** Of queues that were empty when last looked at: the jobs that should have been there. */
  private suspects = new Map<string, ReadonlySet<KeyedJob>>();

  constructor(private readonly countReady: CountReady) {}

  /** @returns what the keeper has to note. @throws when the broker can't be asked */
  async look(state: LedgerState, now: number): Promise<Operation[]> {
    const suspects = new Map<string, ReadonlySet<KeyedJob>>();
    const lost: Operation[] = [];
    for (const partition of [...state.partitions.values()]) {
      for (const [queue, jobs] of [...partition.queued]) {
        // Of a paused queue, nodes keep for a while what they have at hand.
        if (partition.paused.has(queue)) continue;
        const overdue = new Set([...jobs].filter(({ since }) => since < now - PATIENCE_MS));
        if (overdue.size === 0) continue;
        if (((await this.countReady({ partition: partition.id, queue })) ?? 0) > 0) continue;
        const address = `${partition.id}-${queue}`;
        suspects.set(address, overdue);
        const before = this.suspects.get(address);
        for (const job of overdue) {
          if (before?.has(job) !== true || job.phase !== 'queued' || !jobs.has(job)) continue;
          lost.push({ op: 'missing', partition: partition.id, id: job.id, dispatch: job.dispatch });
        }
      }
    }
    this.suspects = suspects;
    return lost;
  }
}
