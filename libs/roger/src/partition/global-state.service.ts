// What holds for a partition on every node.
import type { Transport } from '../transport';

/** Acts on a partition cluster-wide. */
export class GlobalStateService {
  /** @internal */
  constructor(private readonly transport: Transport) {}

  /**
   * Removes all jobs that stand in a queue and are with no worker; running, retrying and buried ones stay.
   * @returns how many were removed. They are gone for good.
   * @throws QueueNotFoundError, NotConnectedError, BrokerRefusedError
   */
  purge(partition: string, queue: string): Promise<number> {
    return this.transport.purge({ partition, queue });
  }
}
