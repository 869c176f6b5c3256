// Whether the broker has a queue.
import type { ChannelModel } from 'amqplib';

/** On a channel of its own: the broker closes one over a queue that it doesn't have. */
export async function queueIsThere(connection: ChannelModel, queue: string): Promise<boolean> {
  const asking = await connection.createChannel();
  asking.on('error', () => undefined);
  try {
    await asking.checkQueue(queue);
    await asking.close();
    return true;
  } catch {
    return false;
  }
}
