// Knows which queues are there: looks for one once in a while, whoever asks.
import { NotConnectedError, QueueNotFoundError } from '../job/errors';
import type { QueueAddress } from '../job/names';
import type { Transport } from '../transport';

/** The partitions and queues that this app is meant to have; they come and go. */
export interface ConfiguredQueues {
  readonly ids: readonly string[];
  /** The only partition, where there is exactly one. */
  readonly only: string | undefined;
  has(address: QueueAddress): boolean;
}

/** How long a queue that was there is believed to be there. */
const KNOWN_MS = 30_000;

export class KnownQueues {
  /** When the queue is to be looked for again, by its address. */
  private readonly known = new Map<string, number>();
  private readonly looking = new Map<string, Promise<void>>();

  constructor(
    private readonly transport: Pick<Transport, 'exists' | 'declareQueue'>,
    /** Whether this app is meant to have the queue. */
    private readonly isConfigured: (address: QueueAddress) => boolean,
  ) {}

  has({ partition, queue }: QueueAddress): boolean {
    return (this.known.get(`${partition}-${queue}`) ?? 0) >= performance.now();
  }

  /**
   * Declares it where this app is meant to have it. While there is no connection it is taken on trust. A thousand jobs for
   * one queue look for it once.
   * @throws QueueNotFoundError
   */
  look(queue: QueueAddress): Promise<void> {
    const address = `${queue.partition}-${queue.queue}`;
    const looking =
      this.looking.get(address) ?? this.lookNow(address, queue).finally(() => this.looking.delete(address));
    this.looking.set(address, looking);
    return looking;
  }

  private async lookNow(address: string, { partition, queue }: QueueAddress): Promise<void> {
    try {
      if (!(await this.transport.exists({ partition, queue }))) {
        if (!this.isConfigured({ partition, queue })) throw new QueueNotFoundError(partition, queue);
        await this.transport.declareQueue({ partition, queue });
      }
      this.known.set(address, performance.now() + KNOWN_MS);
    } catch (error) {
      if (!(error instanceof NotConnectedError)) throw error;
    }
  }
}
