// What a delayed job without keys needs before it goes out: its queue, and that a cancel is kept until it is due.
import type { Job } from '../job/job';
import type { Ledgers } from '../ledger/ledgers';
import type { KnownQueues } from './known-queues';

const HOUR_MS = 60 * 60 * 1_000;
/** Cancels are kept for a day anyway; the rest of it is for the job to come up in its queue. */
const KEPT_ANYWAY_MS = 20 * HOUR_MS;
const DAY_MS = 24 * HOUR_MS;

export class DelayedEnqueue {
  /** Until when cancels are surely kept, by partition; in ms since the epoch. */
  private readonly kept = new Map<string, number>();
  private readonly asking = new Map<string, Promise<void>>();

  constructor(
    private readonly queues: KnownQueues,
    private readonly ledgers: Pick<Ledgers, 'keepCancels'>,
  ) {}

  /**
   * Undefined: it may go out now.
   * @throws QueueNotFoundError, and for a job of more than 20 hours LedgerUnavailableError and LedgerShardsMismatchError
   */
  prepare(job: Job, runAt: number): Promise<void> | undefined {
    const { partition } = job;
    const isKept = runAt - Date.now() <= KEPT_ANYWAY_MS || this.isKept(partition, runAt);
    if (isKept) return this.queues.has(job) ? undefined : this.queues.look(job);
    return this.queues.look(job).then(() => this.keep(partition, runAt));
  }

  private isKept(partition: string, runAt: number): boolean {
    return (this.kept.get(partition) ?? 0) >= runAt + DAY_MS;
  }

  /** One asks for all that come meanwhile, and for twice as long as needed: the next ones need not ask. */
  private async keep(partition: string, runAt: number): Promise<void> {
    while (!this.isKept(partition, runAt)) {
      const asking =
        this.asking.get(partition) ?? this.ask(partition, runAt).finally(() => this.asking.delete(partition));
      this.asking.set(partition, asking);
      await asking;
    }
  }

  private async ask(partition: string, runAt: number): Promise<void> {
    const now = Date.now();
    const until = runAt + DAY_MS + Math.max(runAt - now, DAY_MS);
    await this.ledgers.keepCancels(partition, until);
    this.kept.set(partition, until);
  }
}
