// A message on its way to the broker.
import type { Options } from 'amqplib';

/** A message with the exchange and routing key that lead it to a queue. */
export interface BrokerMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  readonly appId: string;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string | number | boolean>>;
  readonly correlationId?: string;
  readonly body: Buffer;
  /** Called once, when the broker has confirmed that it has the message. */
  readonly onKept?: () => void;
}

/** Persistent, and told of when no queue takes it. */
export function publishOptionsOf({
  messageId,
  appId,
  contentType,
  headers,
  correlationId,
}: BrokerMessage): Options.Publish {
  return { deliveryMode: 2, mandatory: true, messageId, appId, contentType, headers, correlationId };
}

/** amqplib tells a negative confirm from a lost channel by this text alone. */
export const NACKED = 'message nacked';
