// Makes room in a full buried queue.
import type { ChannelModel } from 'amqplib';
import { show } from '../../job/errors';
import type { RogerLog } from '../../job/log';
import { withChannel } from './topology';

/** Drops the oldest job of a buried queue, with its bytes in the log. */
export async function makeRoom(connection: ChannelModel, buriedQueue: string, log: RogerLog): Promise<void> {
  await withChannel(connection, async (channel) => {
    const oldest = await channel.get(buriedQueue, { noAck: false });
    if (oldest === false) return;
    const { messageId } = oldest.properties as { messageId?: unknown };
    log.error(
      `${buriedQueue} is full (maxBuriedQueueSize): its oldest job, ${show(String(messageId))}, is dropped to make room: ` +
        show(oldest.content.toString('utf8')),
    );
    channel.ack(oldest);
  });
}
