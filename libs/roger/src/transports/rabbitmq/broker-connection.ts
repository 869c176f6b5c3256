// One connection to RabbitMQ that heals by itself. Knows sockets, not jobs.
import { hostname } from 'node:os';
import type { Writable } from 'node:stream';
import { EventEmitter } from 'node:events';
import { AmqpConnection } from '@golevelup/nestjs-rabbitmq';
import type { ChannelModel } from 'amqplib';
import { RogerClosedError } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type { RabbitmqConnectionOptions } from './connection-options';
import { maskUri } from './connection-options';
import { within } from './time-limit';

const DEFAULT_HEARTBEAT_SECONDS = 10;
const RECONNECT_SECONDS = 1;
const CONNECT_TIMEOUT_MS = 10_000;

interface Events {
  up: [connection: ChannelModel];
  down: [detail: string];
  /** It could not be made, for another reason than before. */
  failed: [reason: Error];
  blocked: [reason: string];
  unblocked: [];
  closed: [];
}

/** What amqplib's connection carries that its types leave out. */
interface ConnectionInternals {
  readonly serverProperties: { readonly version?: unknown };
  readonly stream: Writable;
}

/**
 * Connects, and connects again after a pause whenever the connection is lost, until closed. `up` comes with every
 * fresh connection; channels opened on an earlier one are gone. Each change of state is one line in the log.
 */
export class BrokerConnection extends EventEmitter<Events> {
  private amqp: AmqpConnection | undefined;
  private closed = false;
  private lastComplaint: string | undefined;
  /** Destroys the socket of the present connection, or of the present try to connect. */
  private socket = new AbortController();
  /** The connection that is up now. */
  current: ChannelModel | undefined;
  /** Why the broker takes no publishes now; undefined when it does. */
  blockedReason: string | undefined;
  /** The broker's version, once connected. */
  brokerVersion: string | undefined;
  /** Why the last try to connect failed; undefined while it is up. */
  lastFailure: Error | undefined;

  constructor(
    private readonly purpose:
      'publishing' | 'consuming' | `consuming ${number}` | 'doubtful queues' | 'ledger',
    private readonly options: RabbitmqConnectionOptions,
    private readonly log: RogerLog,
  ) {
    super();
    this.setMaxListeners(0);
  }

  /** Begins to connect; safe to repeat. */
  open(): void {
    if (this.amqp !== undefined || this.closed) return;
    const uris = typeof this.options.uri === 'string' ? [this.options.uri] : [...this.options.uri];
    const signalOfNextSocket = (): AbortSignal => (this.socket = new AbortController()).signal;
    const amqp = new AmqpConnection({
      uri: uris,
      name: `roger-${this.purpose}`,
      logger: SILENT,
      enableDirectReplyTo: false,
      connectionInitOptions: { wait: false },
      connectionManagerOptions: {
        heartbeatIntervalInSeconds: this.options.heartbeatSeconds ?? DEFAULT_HEARTBEAT_SECONDS,
        reconnectTimeInSeconds: RECONNECT_SECONDS,
        connectionOptions: {
          ...this.options.tls,
          // Without it a message of more than one packet waits 40 ms for the peer's delayed ack.
          noDelay: true,
          timeout: CONNECT_TIMEOUT_MS,
          // Read for every try to connect: each socket has a signal of its own.
          get signal() {
            return signalOfNextSocket();
          },
          clientProperties: {
            connection_name: `${this.options.name ?? `roger ${hostname()}:${process.pid}`} (${this.purpose})`,
          },
        },
      },
    });
    this.amqp = amqp;
    amqp.init().catch(() => undefined);
    const manager = amqp.managedConnection;
    manager.on('connect', ({ connection }) => {
      this.onConnect(connection as unknown as ChannelModel);
    });
    manager.on('connectFailed', ({ err }) => {
      this.onConnectFailed(err, uris);
    });
    manager.on('disconnect', ({ err }) => {
      this.onDisconnect(err);
    });
    manager.on('blocked', ({ reason }) => {
      this.onBlocked(typeof reason === 'string' ? reason : JSON.stringify(reason));
    });
    manager.on('unblocked', () => {
      this.onUnblocked();
    });
  }

  /** Resolves when it is up. @throws RogerClosedError when it is closed first */
  untilUp(): Promise<ChannelModel> {
    if (this.closed) return Promise.reject(new RogerClosedError());
    if (this.current !== undefined) return Promise.resolve(this.current);
    return new Promise((resolve, reject) => {
      const onUp = (model: ChannelModel): void => {
        this.off('closed', onClosed);
        resolve(model);
      };
      const onClosed = (): void => {
        this.off('up', onUp);
        reject(new RogerClosedError());
      };
      this.once('up', onUp);
      this.once('closed', onClosed);
    });
  }

  /** Loses the present connection, if there is one, as if the broker had cut it; the next may lead to another node. */
  giveUp(detail: string): void {
    if (this.current === undefined) return;
    this.log.warn(`Giving up the connection to RabbitMQ (${this.purpose}): ${detail}`);
    this.socket.abort();
  }

  /** Ends the connection within the time; a socket that doesn't answer, or isn't connected yet, is destroyed. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.closed = true;
    this.emit('closed');
    if (this.amqp === undefined) return;
    const ended = this.amqp.managedConnection.close().catch(() => undefined);
    if (this.current !== undefined) await within(timeoutMs, ended);
    this.socket.abort();
    this.onDown('closed');
    this.removeAllListeners();
  }

  private onConnect(connection: ChannelModel): void {
    if (this.closed) return;
    this.current = connection;
    this.lastFailure = undefined;
    this.lastComplaint = undefined;
    const { version } = internalsOf(connection).serverProperties;
    this.brokerVersion = typeof version === 'string' ? version : 'of unknown version';
    if (!this.purpose.startsWith('consuming')) groupWrites(internalsOf(connection).stream);
    this.log.log(`Connected to RabbitMQ ${this.brokerVersion} (${this.purpose})`);
    this.emit('up', connection);
  }

  private onConnectFailed(error: Error, uris: readonly string[]): void {
    this.lastFailure = error;
    const complaint = `Can't connect to RabbitMQ at ${uris.map(maskUri).join(', ')} (${this.purpose}): ${error.message}`;
    // One line per outage and cause, not one per try.
    if (this.closed || complaint === this.lastComplaint) return;
    this.lastComplaint = complaint;
    this.log.warn(`${complaint}; trying on`);
    this.emit('failed', error);
  }

  private onDisconnect(error: Error | undefined): void {
    const detail = error?.message ?? 'connection closed';
    this.lastFailure = error ?? new Error(detail);
    if (!this.closed) {
      this.log.warn(`Lost the connection to RabbitMQ (${this.purpose}): ${detail}; reconnecting`);
    }
    // Whoever fell silent doesn't say goodbye either, and its socket would keep the process alive.
    this.socket.abort();
    this.onDown(detail);
  }

  private onDown(detail: string): void {
    if (this.current === undefined) return;
    this.current = undefined;
    this.blockedReason = undefined;
    this.emit('down', detail);
  }

  private onBlocked(reason: string): void {
    if (this.blockedReason !== undefined) return;
    this.blockedReason = reason;
    this.log.warn(`RabbitMQ blocks publishers (${this.purpose}): ${reason}`);
    this.emit('blocked', reason);
  }

  private onUnblocked(): void {
    if (this.blockedReason === undefined) return;
    this.blockedReason = undefined;
    this.log.log(`RabbitMQ takes publishes again (${this.purpose})`);
    this.emit('unblocked');
  }
}

/** amqplib writes message by message, each a call of the kernel; what is written in one turn goes out as one. */
function groupWrites(stream: Writable): void {
  let isGrouping = false;
  const write = stream.write.bind(stream) as (chunk: unknown) => boolean;
  stream.write = (chunk: unknown): boolean => {
    if (!isGrouping) {
      isGrouping = true;
      stream.cork();
      process.nextTick(() => {
        isGrouping = false;
        stream.uncork();
      });
    }
    return write(chunk);
  };
}

function internalsOf(connection: ChannelModel): ConnectionInternals {
  return connection.connection as unknown as ConnectionInternals;
}

const ignore = (): void => undefined;
/** The connection's life is logged here, a line per change; golevelup's own lines would say it twice. */
const SILENT = { log: ignore, error: ignore, warn: ignore, debug: ignore, verbose: ignore };
