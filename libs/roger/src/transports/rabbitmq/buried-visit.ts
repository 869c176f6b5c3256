// Looks through a buried queue: takes its messages in parts, acknowledges those that are to go, and gives back the others.
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { BuriedMessage, BuriedReason, BuriedVisitor } from '../../transport';
import { reasonIn } from './job-messages';
import { takeBatch } from './queue-removal';
import { openChannel, withChannel } from './topology';

/** Their bodies are in memory at once. */
const BATCH = 100;
/** The first of a part may take its time; whoever else has messages of the queue in hand keeps them from us. */
const SILENCE_MS = 1_000;
const ACKS_AT_A_TIME = 16;
const TAKEN_BACK_MS = 500;
const TAKEN_BACK_POLL_MS = 10;

/** See the port's `visitBuried`. */
export async function visitMessages(
  connection: ChannelModel,
  queue: string,
  visit: BuriedVisitor,
  limit: number,
): Promise<void> {
  const { messageCount } = await withChannel(connection, (channel) => channel.checkQueue(queue));
  let left = Math.min(limit, messageCount);
  const held: (() => Promise<void>)[] = [];
  let givenBack = 0;
  try {
    while (left > 0) {
      // A part, a channel: the broker sorts what one consumer gives back by the loss of its channel, and nothing else. A
      // queue with a delivery limit, and that of the buried is practically unlimited, takes it back to its head.
      const { channel, close } = await openChannel(connection);
      held.push(close);
      const batch = await takeBatch(channel, queue, Math.min(BATCH, left), SILENCE_MS);
      if (batch.length === 0) return;
      left -= batch.length;
      givenBack += batch.length;
      const { removed, isOver } = await visitBatch(channel, queue, batch, visit);
      givenBack -= removed;
      if (isOver) return;
    }
  } finally {
    for (const close of held) await close();
    if (givenBack > 0) await standAgain(connection, queue, givenBack);
  }
}

/** The broker takes back a moment after it has closed the channel. Not waited for long: others may have taken them. */
async function standAgain(connection: ChannelModel, queue: string, count: number): Promise<void> {
  const until = performance.now() + TAKEN_BACK_MS;
  try {
    await withChannel(connection, async (channel) => {
      while ((await channel.checkQueue(queue)).messageCount < count && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, TAKEN_BACK_POLL_MS));
      }
    });
  } catch {
    // Not connected any more: they are given back all the same.
  }
}

async function visitBatch(
  channel: Channel,
  queue: string,
  batch: readonly ConsumeMessage[],
  visit: BuriedVisitor,
): Promise<{ readonly removed: number; readonly isOver: boolean }> {
  const shown = new Map(batch.map((message) => [buriedMessageOf(message), message]));
  const { removed, isOver } = await visit([...shown.keys()]);
  const messages = new Set(removed.map((one) => shown.get(one)).filter((message) => message !== undefined));
  await acknowledge(channel, queue, batch, messages);
  return { removed: messages.size, isOver };
}

/**
 * The broker's side of a channel hands few acknowledgements on at a time, and forgets the rest with its channel. So they
 * are few, with a question to the queue after each few: it is answered behind them.
 */
async function acknowledge(
  channel: Channel,
  queue: string,
  batch: readonly ConsumeMessage[],
  gone: ReadonlySet<ConsumeMessage>,
): Promise<void> {
  if (gone.size === 0) return;
  const firstKept = batch.findIndex((message) => !gone.has(message));
  const last = batch.at(firstKept === -1 ? -1 : firstKept - 1);
  if (last !== undefined && firstKept !== 0) channel.ack(last, true);
  let sent = 0;
  for (const message of firstKept === -1 ? [] : batch.slice(firstKept)) {
    if (!gone.has(message)) continue;
    channel.ack(message);
    if (++sent % ACKS_AT_A_TIME === 0) await channel.checkQueue(queue);
  }
  await channel.checkQueue(queue);
}

/** Of a job that came here twice, the later time counts: by the broker, or by a worker. */
function buriedMessageOf({ content, properties }: ConsumeMessage): BuriedMessage {
  const headers = properties.headers ?? {};
  const byWorker = reasonIn(headers);
  const deadAt = timeOfDeath(headers['x-death']);
  const isByBroker =
    headers['x-first-death-reason'] === 'delivery_limit' &&
    (byWorker === undefined || (deadAt ?? 0) > byWorker.at);
  const { messageId } = properties as { readonly messageId?: unknown };
  return {
    id: typeof messageId === 'string' ? messageId : '',
    body: content,
    reason: isByBroker ? DELIVERED_TOO_OFTEN : (byWorker?.reason ?? UNKNOWN),
    buriedAt: isByBroker ? deadAt : byWorker?.at,
  };
}

const DELIVERED_TOO_OFTEN: BuriedReason = {
  type: 'delivery_limit',
  message: 'delivered too often without an end (deliveryLimit): most likely it kills its worker',
};

const UNKNOWN: BuriedReason = { type: 'unknown', message: 'its message says nothing of a reason' };

/** In ms since the epoch; the broker counts in whole seconds. */
function timeOfDeath(deaths: unknown): number | undefined {
  const [latest] = Array.isArray(deaths) ? (deaths as unknown[]) : [];
  const { time } = (latest ?? {}) as { readonly time?: { readonly value?: unknown } };
  return typeof time?.value === 'number' ? time.value * 1000 : undefined;
}
