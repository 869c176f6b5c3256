// Empties a lane of a queue message by message, showing each before it is gone.
import type { Channel, ConsumeMessage } from 'amqplib';

const BATCH = 500;
/** A batch that nothing more comes to for so long is as large as it gets: somebody else has the rest. */
const SILENCE_MS = 100;

/**
 * Removes as many messages as stand in the queue at the beginning, at most: what comes meanwhile may be as many again.
 * The channel must be the caller's own and be closed afterwards: that gives back what was not removed.
 * @returns how many were removed.
 */
export async function removeMessages(
  channel: Channel,
  queue: string,
  onRemoving: (bodies: readonly Buffer[]) => Promise<void>,
  onRemoved: (message: ConsumeMessage) => void = () => undefined,
): Promise<number> {
  const { messageCount } = await channel.checkQueue(queue);
  let removed = 0;
  while (removed < messageCount) {
    const batch = await takeBatch(channel, queue, Math.min(BATCH, messageCount - removed));
    const last = batch.at(-1);
    if (last === undefined) break;
    await onRemoving(batch.map(({ content }) => content));
    // Everything up to it: the batches before are acknowledged, and of this one all have been shown.
    channel.ack(last, true);
    batch.forEach(onRemoved);
    removed += batch.length;
  }
  return removed;
}

/**
 * A consumer takes a batch at once where single gets would each wait for their answer. It ends with the batch, so that
 * the acknowledgement brings no more: whatever is taken and given back counts against the delivery limit.
 */
export async function takeBatch(
  channel: Channel,
  queue: string,
  size: number,
  silenceMs = SILENCE_MS,
): Promise<ConsumeMessage[]> {
  const batch: ConsumeMessage[] = [];
  let onMessage = (): void => undefined;
  await channel.prefetch(size);
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message !== null) batch.push(message);
    onMessage();
  });
  await new Promise<void>((resolve) => {
    const silence = setTimeout(resolve, silenceMs);
    onMessage = () => {
      silence.refresh();
      if (batch.length < size) return;
      clearTimeout(silence);
      resolve();
    };
    if (batch.length > 0) onMessage();
  });
  await channel.cancel(consumerTag);
  return batch;
}
