// Enqueues jobs with keys: by the ledger of their partition, to queues that exist.
import { NotConnectedError, QueueNotFoundError } from '../job/errors';
import type { Job } from '../job/job';
import type { QueueAddress } from '../job/names';
import type { Ledgers } from '../ledger/ledgers';
import type { Transport } from '../transport';

/** How long a queue that was there is believed to be there. */
const KNOWN_MS = 30_000;

export class KeyedEnqueue {
  /** When the queue is to be looked for again, by its address. */
  private readonly known = new Map<string, number>();
  private readonly looking = new Map<string, Promise<void>>();
  /** Jobs that wait for the look at their queue, or behind one that does. */
  private inLine = 0;
  private lastTurn: Promise<void> = Promise.resolve();

  constructor(
    private readonly transport: Pick<Transport, 'depth' | 'declareQueue'>,
    private readonly ledgers: Pick<Ledgers, 'enqueue'>,
    /** Whether this app is meant to have the queue. */
    private readonly isConfigured: (address: QueueAddress) => boolean,
  ) {}

  /**
   * @returns the id of the job that has the queue key; undefined: it is enqueued.
   * @throws QueueNotFoundError, LedgerFullError, LedgerUnavailableError, EnqueueBufferFullError, RogerClosedError
   */
  async enqueue(job: Job, body: Buffer): Promise<string | undefined> {
    const address = `${job.partition}-${job.queue}`;
    const isKnown = (this.known.get(address) ?? 0) >= performance.now();
    if (isKnown && this.inLine === 0) return (await this.ledgers.enqueue(job, body)).duplicate;
    // The ledger gets them in the order in which they came here, however long the look for each one's queue takes.
    const looked = isKnown ? undefined : this.lookOnce(address, job);
    const turn = this.lastTurn.then(() => looked);
    this.lastTurn = turn.catch(() => undefined);
    this.inLine++;
    try {
      await turn;
    } catch (error) {
      this.inLine--;
      throw error;
    }
    const reply = this.ledgers.enqueue(job, body);
    this.inLine--;
    return (await reply).duplicate;
  }

  /** A thousand jobs for one queue look for it once. */
  private lookOnce(address: string, job: Job): Promise<void> {
    const looking =
      this.looking.get(address) ?? this.look(address, job).finally(() => this.looking.delete(address));
    this.looking.set(address, looking);
    return looking;
  }

  private async look(address: string, { partition, queue }: QueueAddress): Promise<void> {
    try {
      if ((await this.transport.depth({ partition, queue })) === undefined) {
        if (!this.isConfigured({ partition, queue })) throw new QueueNotFoundError(partition, queue);
        await this.transport.declareQueue({ partition, queue });
      }
      this.known.set(address, performance.now() + KNOWN_MS);
    } catch (error) {
      // The ledger waits for the broker, and its keeper for the queue.
      if (!(error instanceof NotConnectedError)) throw error;
    }
  }
}
