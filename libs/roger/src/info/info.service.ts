// What the broker knows of the jobs, for an operator.
import type { QueueDepth, Transport, TransportState } from '../transport';

/** What holds for the whole cluster, as the broker tells it. */
export class InfoService {
  /** @internal */
  constructor(private readonly transport: Transport) {}

  /** What carries the jobs (`RabbitMQ 3.10.8`, `memory`) and how it stands with the connection. */
  transportInfo(): { readonly transport: string; readonly state: TransportState } {
    return { transport: this.transport.describe(), state: this.transport.state };
  }

  /**
   * How many jobs of a queue are ready, how many consumers it has on all nodes, and how many jobs are buried; undefined
   * when no worker has ever declared it. Asks the broker; disturbs nothing.
   * @throws NotConnectedError
   */
  queueDepth(partition: string, queue: string): Promise<QueueDepth | undefined> {
    return this.transport.depth({ partition, queue });
  }
}
