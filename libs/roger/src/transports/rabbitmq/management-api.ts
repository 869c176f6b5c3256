// Asks the broker's management plugin, where there is one, what AMQP doesn't tell of a queue.
import { ManagementUnavailableError } from '../../job/errors';
import { fieldsOf } from '../../job/fields-of';
import type { QueueDetails } from '../../transport';

const TIMEOUT_MS = 5_000;
const NOT_FOUND = 404;

export class ManagementApi {
  private readonly base: URL;
  private readonly authorization: string | undefined;

  /**
   * @param uri `http://user:password@host:15672`
   * @param vhost that of the broker's connection
   */
  constructor(
    uri: string,
    private readonly vhost: string,
  ) {
    this.base = new URL(uri.endsWith('/') ? uri : `${uri}/`);
    const { username, password } = this.base;
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    this.authorization = username === '' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
    this.base.username = '';
    this.base.password = '';
  }

  /** Undefined when the broker has no such queue. @throws ManagementUnavailableError */
  async queue(name: string): Promise<QueueDetails | undefined> {
    const path = `api/queues/${encodeURIComponent(this.vhost)}/${encodeURIComponent(name)}`;
    let response: Response;
    try {
      response = await fetch(new URL(path, this.base), {
        headers: this.authorization === undefined ? {} : { authorization: this.authorization },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (response.status === NOT_FOUND) return undefined;
      if (response.ok) return detailsIn(await response.json());
    } catch (error) {
      throw new ManagementUnavailableError('it did not answer', { cause: error });
    }
    throw new ManagementUnavailableError(`it answered with status ${response.status}`);
  }
}

/** Newer and older brokers leave out what nothing has happened to yet. */
function detailsIn(answer: unknown): QueueDetails {
  const queue = fieldsOf(answer);
  const stats = fieldsOf(queue['message_stats']);
  const rateOf = (what: string): number => countOf(fieldsOf(stats[`${what}_details`])['rate']);
  return {
    ready: countOf(queue['messages_ready']),
    unsettled: countOf(queue['messages_unacknowledged']),
    consumers: countOf(queue['consumers']),
    bytes: countOf(queue['message_bytes']),
    memoryBytes: countOf(queue['memory']),
    publishedPerSecond: rateOf('publish'),
    deliveredPerSecond: rateOf('deliver_get'),
    acknowledgedPerSecond: rateOf('ack'),
  };
}

function countOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
