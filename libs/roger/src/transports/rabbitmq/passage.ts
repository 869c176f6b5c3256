// A channel that confirms, with the messages that are under way on it.
import type { ConfirmChannel, Message } from 'amqplib';
import type { BrokerMessage } from './broker-message';
import { NACKED, publishOptionsOf } from './broker-message';

/** What became of a message. An error: the channel was given up first, and whether the broker has it is unknown. */
export type Arrival = 'kept' | 'returned' | 'refused' | Error;

/** A message on its way to the broker, for somebody who wants to know how it ends. */
export interface Outgoing {
  readonly message: BrokerMessage;
  /** It goes before all that waits and is not. @default false */
  readonly isUrgent?: boolean;
  /** Whether it is still to be sent; asked just before. What is not wanted is dropped without a word. */
  isWanted(): boolean;
  /** It was handed to a channel, so that the broker may have it. */
  onSent?(): void;
  /** Makes the queue that was missing. Resolves to whether to send it once more, before what waits; else it ends. */
  mend?(): Promise<boolean>;
  /** Called once for each time that it was sent. */
  onEnd(arrival: Arrival): void;
}

export interface Flight {
  readonly outgoing: Outgoing;
  /** The queue of the broker's where it goes. */
  readonly queue: string;
  /** Counts what is sent on the channel. */
  readonly number: number;
  readonly sentAt: number;
  isReturned: boolean;
}

export class Passage {
  /** What their bodies take, in all. */
  bytes = 0;
  private readonly flights = new Set<Flight>();
  private sentCount = 0;

  constructor(
    readonly channel: ConfirmChannel,
    /** Called for each flight, once. */
    private readonly onLanded: (flight: Flight, arrival: Arrival, passage: Passage) => void,
  ) {
    channel.on('return', (message: Message) => {
      this.onReturn(message);
    });
    channel.on('close', () => {
      this.end(new Error('channel closed'));
    });
  }

  get isEmpty(): boolean {
    return this.flights.size === 0;
  }

  get size(): number {
    return this.flights.size;
  }

  get oldest(): Flight | undefined {
    return this.flights.values().next().value;
  }

  /** How many were sent since the oldest that is under way, itself included. */
  get span(): number {
    const { oldest } = this;
    return oldest === undefined ? 0 : this.sentCount - oldest.number;
  }

  /** @returns false when the channel is closing and took nothing. */
  send(outgoing: Outgoing, queue: string): boolean {
    const { exchange, routingKey, body } = outgoing.message;
    const flight: Flight = {
      outgoing,
      queue,
      number: this.sentCount,
      sentAt: performance.now(),
      isReturned: false,
    };
    try {
      this.channel.publish(
        exchange,
        routingKey,
        body,
        publishOptionsOf(outgoing.message),
        (error: unknown) => {
          // Those of a lost channel are told by its loss: amqplib tells only those before the first gap in the confirms.
          if (error instanceof Error && error.message !== NACKED) return;
          this.land(flight, arrivalOf(flight, error));
        },
      );
    } catch {
      return false;
    }
    this.sentCount++;
    this.flights.add(flight);
    this.bytes += body.length;
    outgoing.onSent?.();
    return true;
  }

  /** Nothing is heard of its flights any more. Safe to repeat. */
  end(reason: Error): void {
    for (const flight of this.flights) this.land(flight, reason);
  }

  private land(flight: Flight, arrival: Arrival): void {
    if (!this.flights.delete(flight)) return;
    const { message } = flight.outgoing;
    this.bytes -= message.body.length;
    if (arrival === 'kept') message.onKept?.();
    this.onLanded(flight, arrival, this);
  }

  private onReturn({ fields, properties }: Message): void {
    for (const flight of this.flights) {
      const { messageId, routingKey } = flight.outgoing.message;
      if (!flight.isReturned && messageId === properties.messageId && routingKey === fields.routingKey) {
        flight.isReturned = true;
        return;
      }
    }
  }
}

function arrivalOf(flight: Flight, error: unknown): Arrival {
  if (error instanceof Error) return 'refused';
  return flight.isReturned ? 'returned' : 'kept';
}
