// A TCP proxy in front of a broker that a test can cut, silence and slow down.
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** `up` is from the client to the broker. */
export type Direction = 'up' | 'down';

/** Listens on loopback; close it at the end of its test or file. */
export class TcpProxy {
  /** How many connections there have been. */
  accepted = 0;
  private readonly links = new Set<Link>();
  private silent: ReadonlySet<Direction> = new Set();
  private delayMs = 0;

  private constructor(
    private readonly target: URL,
    private server: Server,
    private readonly port: number,
  ) {}

  /** @param brokerUri where the connections lead to */
  static async before(brokerUri: string): Promise<TcpProxy> {
    const server = await listen(0);
    const proxy = new TcpProxy(new URL(brokerUri), server, (server.address() as AddressInfo).port);
    server.on('connection', proxy.accept);
    return proxy;
  }

  /** The broker's URI by way of this proxy. */
  get uri(): string {
    const uri = new URL(this.target);
    uri.host = `127.0.0.1:${this.port}`;
    return uri.href.replace(/\/$/, '');
  }

  /** Ends every connection in the middle of whatever it carries. New ones are welcome. */
  cut(): void {
    for (const link of this.links) link.reset();
  }

  /** Cuts every connection and refuses new ones, as a host without a broker would, until {@link admit}. */
  async refuse(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.cut();
    await closed;
  }

  /** Takes connections again after {@link refuse}. */
  async admit(): Promise<void> {
    this.server = await listen(this.port);
    this.server.on('connection', this.accept);
  }

  /** Holds back every byte in these directions, and every goodbye, on present and future connections: a black hole. */
  silence(...directions: Direction[]): void {
    this.silent = new Set(directions);
    for (const link of this.links) link.silence(this.silent);
  }

  /** Lets everything flow again, held bytes first. */
  heal(): void {
    this.silence();
  }

  /** Every byte from the broker arrives this much later. */
  delay(delayMs: number): void {
    this.delayMs = delayMs;
  }

  /** Ends it with all its connections. */
  async close(): Promise<void> {
    if (this.server.listening) await this.refuse();
  }

  private readonly accept = (client: Socket): void => {
    const broker = connect({ host: this.target.hostname, port: Number(this.target.port), noDelay: true });
    client.setNoDelay(true);
    const link = new Link(client, broker, () => this.delayMs);
    this.accepted++;
    this.links.add(link);
    link.onEnd = () => this.links.delete(link);
    link.silence(this.silent);
  };
}

/** One connection through the proxy. */
class Link {
  onEnd: () => void = () => undefined;
  private isOver = false;

  constructor(
    private readonly client: Socket,
    private readonly broker: Socket,
    delayMs: () => number,
  ) {
    client.on('data', (bytes) => broker.write(bytes));
    broker.on('data', (bytes) => {
      const ms = delayMs();
      if (ms === 0) client.write(bytes);
      else setTimeout(() => client.write(bytes), ms);
    });
    // A silenced socket is paused, and a paused socket doesn't tell that the other side has left.
    for (const socket of [client, broker]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.end();
      });
    }
  }

  silence(directions: ReadonlySet<Direction>): void {
    pauseIf(directions.has('up'), this.client);
    pauseIf(directions.has('down'), this.broker);
  }

  reset(): void {
    // Not resetAndDestroy(): after it, Node 20 can spin for ever when the process wants to exit.
    this.client.destroy();
    this.broker.destroy();
  }

  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.client.destroy();
    this.broker.destroy();
    this.onEnd();
  }
}

function pauseIf(isPaused: boolean, socket: Socket): void {
  if (isPaused) socket.pause();
  else socket.resume();
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
