// What a job is as a message, for each place that it can go to.
import { randomUUID } from 'node:crypto';
import { longestLevelOf } from '../../job/delays';
import { CONTENT_TYPE } from '../../job/job-codec';
import type { QueueAddress } from '../../job/names';
import type { BuriedReason, OutgoingJob, QueueLane } from '../../transport';
import type { BrokerNames } from './broker-names';
import { DEFAULT_EXCHANGE } from './broker-names';
import type { DelayHeaders } from './delay-headers';
import type { BrokerMessage } from './broker-message';

/** How often a job had been delivered as another message: the broker counts for one message only. */
export const DELIVERIES_HEADER = 'x-roger-deliveries';

/** Headers must fit a frame beside each other; the rest of a stack is in the log. */
const MAX_STACK_LENGTH = 8_192;
const MAX_MESSAGE_LENGTH = 2_048;

/** What is sent; by which lane is said beside it. */
type SentJob = Pick<OutgoingJob, 'id' | 'partition' | 'queue' | 'body'>;

/** To the end of a lane of its queue. */
export function queuedMessage(names: BrokerNames, job: SentJob, lane: QueueLane): BrokerMessage {
  return messageOf(job, lane === 'express' ? DEFAULT_EXCHANGE : names.jobsExchange, names.lane(job, lane));
}

/** To a lane of its queue, by a retry level. */
export function retryMessage(
  names: BrokerNames,
  job: SentJob,
  lane: QueueLane,
  afterSeconds: number,
  deliveries?: number,
): BrokerMessage {
  const message = messageOf(job, names.retryLevel(afterSeconds), names.lane(job, lane));
  return deliveries === undefined ? message : { ...message, headers: { [DELIVERIES_HEADER]: deliveries } };
}

/**
 * To a lane of its queue, by delay levels. The headers tell each level, from the longest on, whether it is the message's; its routing
 * key leads it home all the way.
 */
export function delayedMessage(
  names: BrokerNames,
  headers: DelayHeaders,
  job: SentJob,
  lane: QueueLane,
  seconds: number,
): BrokerMessage {
  const message = messageOf(job, names.delayLevel(longestLevelOf(seconds)), names.lane(job, lane));
  return { ...message, headers: headers.of(seconds) };
}

/** To the buried; without an id it is no job that could be read. */
export function buriedMessage(
  names: BrokerNames,
  address: QueueAddress,
  id: string | undefined,
  body: Buffer,
  reason: BuriedReason,
): BrokerMessage {
  return {
    exchange: DEFAULT_EXCHANGE,
    routingKey: names.buried(address),
    messageId: id ?? randomUUID(),
    appId: address.partition,
    contentType: id === undefined ? 'application/octet-stream' : CONTENT_TYPE,
    headers: headersOf(reason),
    body,
  };
}

function messageOf({ id, partition, body }: SentJob, exchange: string, routingKey: string): BrokerMessage {
  return { exchange, routingKey, messageId: id, appId: partition, contentType: CONTENT_TYPE, body };
}

/** Why and when a worker or a ledger has buried a message, by its headers; undefined when none has. Anyone can forge it. */
export function reasonIn(
  headers: Readonly<Record<string, unknown>>,
): { readonly reason: BuriedReason; readonly at: number } | undefined {
  const { [REASON]: type, [MESSAGE]: message, [STACK]: stack, [BURIED_AT]: at } = headers;
  if (typeof type !== 'string' || typeof message !== 'string') return undefined;
  return {
    reason: { type, message, ...(typeof stack === 'string' ? { stack } : {}) },
    at: typeof at === 'number' ? at : 0,
  };
}

const REASON = 'x-roger-reason';
const MESSAGE = 'x-roger-message';
const STACK = 'x-roger-stack';
const BURIED_AT = 'x-roger-buried-at';

function headersOf({ type, message, stack }: BuriedReason): Record<string, string | number> {
  return {
    [REASON]: type,
    [MESSAGE]: message.slice(0, MAX_MESSAGE_LENGTH),
    ...(stack === undefined ? {} : { [STACK]: stack.slice(0, MAX_STACK_LENGTH) }),
    [BURIED_AT]: Date.now(),
  };
}
