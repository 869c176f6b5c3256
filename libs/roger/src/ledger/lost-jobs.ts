// Finds jobs whose message is gone: removed by hand, or lost with its queue. Their keys would never be free.
import type { QueueAddress } from '../job/names';
import type { LedgerState } from './ledger-state';
import type { Operation } from './operation';

/** A message may be with a node that hangs and has not been noticed yet; then it comes back, within less than this. */
const PATIENCE_MS = 40_000;
/**
 * What comes by a level may wait there for three minutes more: so long the broker waits for the confirm of a message that it
 * has passed on, and after the loss of one of its nodes some never come.
 */
const LATE_BY_LEVEL_MS = 240_000;
/** How often queues are looked at. */
export const LOOK_MS = 10_000;

export interface LostJobsParts {
  /** How many jobs stand in a queue, on both lanes; undefined: there is no such queue. */
  readonly countReady: (address: QueueAddress) => Promise<number | undefined>;
  /** Which of these deliveries somebody has in hand, or may have. */
  readonly heldAmong: (owners: readonly string[]) => Promise<ReadonlySet<string>>;
}

/** A message that should be in the queue: it was sent long ago, or whoever ran its job has it no more. */
interface Suspect {
  readonly operation: Operation & { readonly op: 'missing' };
  /** In how long it may still come back to its queue. */
  readonly patienceMs: number;
  /** Who had it last. */
  readonly owner?: string;
  /** Whether it is as it was. */
  readonly isStill: () => boolean;
}

interface SuspectQueue {
  readonly address: QueueAddress;
  readonly suspects: readonly Suspect[];
}

export class LostJobs {
  /** Of queues that were empty when last looked at: what should have been there, by dispatch, and since when. */
  private missed = new Map<number, number>();

  constructor(private readonly parts: LostJobsParts) {}

  /** @returns what the keeper has to note. @throws when the broker can't be asked */
  async look(state: LedgerState, now: number): Promise<Operation[]> {
    const missed = new Map<number, number>();
    const lost: Operation[] = [];
    const suspects: Suspect[] = [];
    for (const { address, suspects: ofQueue } of this.suspectQueues(state, now)) {
      if (((await this.parts.countReady(address)) ?? 0) === 0) suspects.push(...ofQueue);
    }
    const owners = suspects.flatMap(({ owner }) => (owner === undefined ? [] : [owner]));
    const held = await this.parts.heldAmong(owners);
    for (const { operation, patienceMs, owner, isStill } of suspects) {
      if (isStill() && (owner === undefined || !held.has(owner))) {
        const since = this.missed.get(operation.dispatch);
        if (since !== undefined && now - since >= patienceMs) lost.push(operation);
        else missed.set(operation.dispatch, since ?? now);
      }
    }
    this.missed = missed;
    return lost;
  }

  private suspectQueues(state: LedgerState, now: number): SuspectQueue[] {
    const queues = new Map<string, { address: QueueAddress; suspects: Suspect[] }>();
    const add = (address: QueueAddress, suspect: Suspect): void => {
      const name = `${address.partition}-${address.queue}`;
      const queue = queues.get(name) ?? { address, suspects: [] };
      queues.set(name, queue);
      queue.suspects.push(suspect);
    };
    for (const { id: partition, queued, paused } of state.partitions.values()) {
      for (const [queue, jobs] of queued) {
        // Of a paused queue, nodes keep for a while what they have at hand.
        if (paused.has(queue)) continue;
        for (const job of jobs) {
          const { id, dispatch } = job;
          const isByLevel = job.route?.kind === 'retry' || job.route?.kind === 'delay';
          if (job.since >= now - (isByLevel ? LATE_BY_LEVEL_MS : PATIENCE_MS)) continue;
          const operation = { op: 'missing', partition, id, dispatch } as const;
          // Sent long ago; it takes a second look only because it may be on its way to a node at the first.
          add({ partition, queue }, { operation, patienceMs: 0, isStill: () => jobs.has(job) });
        }
      }
    }
    for (const lease of state.leases.values()) {
      const [job] = lease.jobs;
      // A message given back to a paused queue can be at hand, and claimed by nobody, for as long as that lasts.
      if (job === undefined || job.partition.paused.has(job.queue)) continue;
      const { owner, dispatch } = lease;
      const partition = job.partition.id;
      const operation = { op: 'missing', partition, id: job.id, dispatch } as const;
      const isStill = (): boolean => state.leases.get(dispatch) === lease && lease.owner === owner;
      add({ partition, queue: job.queue }, { operation, patienceMs: PATIENCE_MS, owner, isStill });
    }
    return [...queues.values()];
  }
}
