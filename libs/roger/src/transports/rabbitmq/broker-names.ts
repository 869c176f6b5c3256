// What Roger's objects are called on the broker.
import type { QueueAddress } from '../../job/names';

/** The default exchange routes a message straight to the queue that its routing key names. */
export const DEFAULT_EXCHANGE = '';

/** Names under an optional namespace, so that several apps or stages can share a vhost. */
export class BrokerNames {
  private readonly prefix: string;
  readonly jobsExchange: string;

  constructor(namespace: string | undefined) {
    this.prefix = namespace === undefined ? '' : `${namespace}.`;
    this.jobsExchange = `${this.prefix}roger.jobs`;
  }

  queue({ partition, queue }: QueueAddress): string {
    return `${this.prefix}${partition}-${queue}`;
  }

  buried(address: QueueAddress): string {
    return `${this.queue(address)}.buried`;
  }

  /** The name of a retry level's exchange and of its queue. */
  retryLevel(seconds: number): string {
    return `${this.prefix}roger.retry.${seconds}`;
  }
}
