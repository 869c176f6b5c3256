// How to reach RabbitMQ, as an app says it.
import type { ConnectionOptions as TlsOptions } from 'node:tls';

/** How to reach RabbitMQ. */
export interface RabbitmqConnectionOptions {
  /**
   * `amqp://` or `amqps://` URI, or several of one cluster (tried in turn). User name, password and vhost are
   * percent-encoded: `amqp://user:p%40ss@host:5672/my%2Fvhost`. Never written to a log whole.
   */
  uri: string | readonly string[];
  /**
   * Where the broker's management plugin is: `http://user:password@host:15672`. Asked by `InfoService.queueDetails` and by
   * nothing else.
   * @default none
   */
  managementUri?: string | undefined;
  /**
   * Seconds between heartbeats, 1 to 3600. A dead connection is noticed after two to three of them; a handler that
   * blocks the event loop for longer than two loses its connection.
   * @default 10
   */
  heartbeatSeconds?: number | undefined;
  /** The connection's name in RabbitMQ's management page. @default 'roger <host>:<pid>' */
  name?: string | undefined;
  /** TLS settings for `amqps://`, as Node's `tls.connect` takes them (`ca`, `cert`, `key`, `servername` …). */
  tls?: TlsOptions | undefined;
}

/** The URI without its secrets, for messages. */
export function maskUri(uri: string): string {
  if (!URL.canParse(uri)) return 'a malformed URI';
  const { protocol, host, pathname } = new URL(uri);
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
}
