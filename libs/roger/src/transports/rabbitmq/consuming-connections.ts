// The connections that jobs come over: as many as the subscriptions need, for a broker bounds the channels of each.
import type { RogerLog } from '../../job/log';
import { BrokerConnection } from './broker-connection';
import type { RabbitmqConnectionOptions } from './connection-options';

/** RabbitMQ's `channel_max` is 2047, unless its operator says less; declaring and asking take a few, too. */
const SUBSCRIPTIONS_EACH = 1_000;

export class ConsumingConnections {
  /** The first is there for good, and the one to declare and ask on. */
  readonly first: BrokerConnection;
  /** How many subscriptions each has. */
  private readonly loads = new Map<BrokerConnection, number>();
  private opened = 1;
  private isUsed = false;

  constructor(
    private readonly options: RabbitmqConnectionOptions,
    private readonly log: RogerLog,
    private readonly subscriptionsEach = SUBSCRIPTIONS_EACH,
  ) {
    this.first = new BrokerConnection('consuming', options, log);
    this.loads.set(this.first, 0);
  }

  /** Whether jobs can come, or would not be asked for. */
  get areUp(): boolean {
    return !this.isUsed || [...this.loads.keys()].every(({ current }) => current !== undefined);
  }

  /** A connection with room for one more subscription. */
  take(): BrokerConnection {
    this.isUsed = true;
    const connection = this.withRoom() ?? this.another();
    this.loads.set(connection, this.loadOf(connection) + 1);
    connection.open();
    return connection;
  }

  /** A subscription is closed. One that carries none any more is closed, too. */
  release(connection: BrokerConnection, closeTimeoutMs: number): void {
    const load = this.loadOf(connection) - 1;
    this.loads.set(connection, load);
    if (load > 0 || connection === this.first) return;
    this.loads.delete(connection);
    void connection.close(closeTimeoutMs);
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all([...this.loads.keys()].map((connection) => connection.close(timeoutMs)));
  }

  private withRoom(): BrokerConnection | undefined {
    for (const [connection, load] of this.loads) if (load < this.subscriptionsEach) return connection;
    return undefined;
  }

  private another(): BrokerConnection {
    return new BrokerConnection(`consuming ${++this.opened}`, this.options, this.log);
  }

  private loadOf(connection: BrokerConnection): number {
    return this.loads.get(connection) ?? 0;
  }
}
