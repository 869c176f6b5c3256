// Acknowledges the deliveries of one channel: what is done in one turn of the event loop goes out in as few acks as can be.
import type { Channel, ConsumeMessage } from 'amqplib';
import { Acknowledgements } from './acknowledgements';

export class GroupedAcks {
  private readonly acknowledgements = new Acknowledgements();
  private isFlushDue = false;

  constructor(
    private readonly channel: Channel,
    /** The channel is gone, and the broker redelivers what it was not told of. */
    private readonly isOver: () => boolean,
    /** amqplib throws on a channel that is closing. */
    private readonly onBroken: (error: Error) => void,
    private readonly onSent: (acks: number) => void = () => undefined,
  ) {}

  add(message: ConsumeMessage): void {
    this.acknowledgements.add(message.fields.deliveryTag);
    if (this.isFlushDue) return;
    this.isFlushDue = true;
    setImmediate(() => {
      this.flush();
    });
  }

  /** The delivery was closed by other means (a nack), which the caller has sent. */
  close(message: ConsumeMessage): void {
    this.acknowledgements.close(message.fields.deliveryTag);
  }

  flush(): void {
    this.isFlushDue = false;
    if (this.isOver()) return;
    try {
      const acks = this.acknowledgements.take();
      for (const { tag, multiple } of acks) {
        this.channel.ack({ fields: { deliveryTag: tag } } as ConsumeMessage, multiple);
      }
      this.onSent(acks.length);
    } catch (error) {
      this.onBroken(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
