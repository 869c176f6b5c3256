// Enqueues jobs with keys, and those that are held from the beginning: by the ledger of their partition, to queues that exist.
import type { Job } from '../job/job';
import type { Ledgers } from '../ledger/ledgers';
import type { KnownQueues } from './known-queues';

export class KeyedEnqueue {
  /** Jobs that wait for the look at their queue, or behind one that does. */
  private inLine = 0;
  private lastTurn: Promise<void> = Promise.resolve();

  constructor(
    private readonly queues: KnownQueues,
    private readonly ledgers: Pick<Ledgers, 'enqueue'>,
  ) {}

  /**
   * @param heldWhy it is held from the beginning, for this reason
   * @returns the id of the job that has the queue key; undefined: it is enqueued.
   * @throws QueueNotFoundError, LedgerFullError, LedgerUnavailableError, EnqueueBufferFullError, RogerClosedError
   */
  async enqueue(job: Job, body: Buffer, heldWhy?: string): Promise<string | undefined> {
    const isKnown = this.queues.has(job);
    if (isKnown && this.inLine === 0) return (await this.ledgers.enqueue(job, body, heldWhy)).duplicate;
    // The ledger gets them in the order in which they came here, however long the look for each one's queue takes.
    const looked = isKnown ? undefined : this.queues.look(job);
    const turn = this.lastTurn.then(() => looked);
    this.lastTurn = turn.catch(() => undefined);
    this.inLine++;
    try {
      await turn;
    } catch (error) {
      this.inLine--;
      throw error;
    }
    const reply = this.ledgers.enqueue(job, body, heldWhy);
    this.inLine--;
    return (await reply).duplicate;
  }
}
