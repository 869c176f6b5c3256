// What Roger's objects are called on the broker.
import type { QueueAddress } from '../../job/names';
import type { QueueLane } from '../../transport';

/** The default exchange routes a message straight to the queue that its routing key names. */
export const DEFAULT_EXCHANGE = '';

/** The header that tells whether a message spends the time of a delay level. */
export function levelHeader(level: number): string {
  return `delay-${level}`;
}

/** Names under an optional namespace, so that several apps or stages can share a vhost. */
export class BrokerNames {
  private readonly prefix: string;
  private readonly retryLevels: string;
  private readonly delayLevels: string;
  readonly jobsExchange: string;
  /** Where the broker sends a job that was delivered too often. */
  readonly buriedExchange: string;
  /** The queue that tells of such jobs. */
  readonly buriedNotices: string;
  /** Where jobs go whose delay, or wait for a retry, is over. */
  readonly homeExchange: string;
  /** The exchange and queue of those of them whose queue is not there. */
  readonly homeless: string;
  /** What all nodes hear. */
  readonly systemExchange: string;
  /** The stream that tells which queues have lanes besides the normal one. */
  readonly lanes: string;
  /** By the name of a queue it leads to the queue's journal. */
  readonly journalExchange: string;

  constructor(namespace: string | undefined) {
    this.prefix = namespace === undefined ? '' : `${namespace}.`;
    this.retryLevels = `${this.prefix}roger.retry.`;
    this.delayLevels = `${this.prefix}roger.delay.`;
    this.jobsExchange = `${this.prefix}roger.jobs`;
    this.buriedExchange = `${this.prefix}roger.buried`;
    this.buriedNotices = `${this.buriedExchange}.notices`;
    this.homeExchange = `${this.prefix}roger.delay.home`;
    this.homeless = `${this.prefix}roger.delay.homeless`;
    this.systemExchange = `${this.prefix}roger.system`;
    this.lanes = `${this.prefix}roger.lanes`;
    this.journalExchange = `${this.prefix}roger.journal`;
  }

  queue({ partition, queue }: QueueAddress): string {
    return `${this.prefix}${partition}-${queue}`;
  }

  lane(address: QueueAddress, lane: QueueLane): string {
    return lane === 'normal' ? this.queue(address) : `${this.queue(address)}.${lane}`;
  }

  buried(address: QueueAddress): string {
    return `${this.queue(address)}.buried`;
  }

  journal(address: QueueAddress): string {
    return `${this.queue(address)}.journal`;
  }

  /** The name of a retry level's exchange and of its queue. */
  retryLevel(seconds: number): string {
    return `${this.retryLevels}${seconds}`;
  }

  /** The name of a delay level's exchange and of its queue. */
  delayLevel(level: number): string {
    return `${this.delayLevels}${level}`;
  }

  /** The queue to which a message goes that is published so: a level is an exchange with a queue of its name. */
  firstQueue(exchange: string, routingKey: string): string {
    const isLevel = exchange.startsWith(this.retryLevels) || exchange.startsWith(this.delayLevels);
    return isLevel ? exchange : routingKey;
  }

  /** The queue of a node's mail. */
  node(nodeId: string): string {
    return `${this.prefix}roger.node.${nodeId}`;
  }

  /** The queue of the requests to a ledger. */
  ledger(ledger: number): string {
    return `${this.prefix}roger.ledger.${ledger}`;
  }

  /** The queue that shows by its arguments how many ledgers there are. */
  get ledgerCount(): string {
    return `${this.prefix}roger.ledgers`;
  }

  ledgerLog(ledger: number): string {
    return `${this.ledger(ledger)}.log`;
  }
}
