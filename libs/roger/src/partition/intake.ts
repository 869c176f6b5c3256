// What a lane takes from one of its queue's lanes: the subscription, and what is at hand and not begun.
import Denque from 'denque';
import { NotConnectedError } from '../job/errors';
import type { QueueAddress } from '../job/names';
import type { Delivery, DeliveryConsumer, QueueLane, Subscription, Transport } from '../transport';

/** Whoever runs what an intake takes. */
export interface IntakeOwner {
  deliver(delivery: Delivery, intake: Intake): void;
  lost(intake: Intake, detail: string): void;
  /** Whether jobs come, or why not, may have changed. */
  standing(): void;
}

/** A delivery that has not begun. */
export interface AtHand {
  readonly delivery: Delivery;
  /** By `performance.now()`. */
  readonly deliveredAt: number;
}

export class Intake implements DeliveryConsumer {
  /** Why no jobs come at the moment; undefined while they do, and before that is known. */
  trouble: Error | undefined;
  private isTaking = false;
  private onTaking: (() => void) | undefined;
  private readonly atHand = new Denque<AtHand>();
  private readonly subscription: Subscription;

  constructor(
    address: QueueAddress,
    private wanted: number,
    readonly lane: QueueLane,
    transport: Transport,
    private readonly owner: IntakeOwner,
  ) {
    this.subscription = transport.consume(address, wanted, this, lane);
  }

  /** Why no jobs come at the moment; undefined while they do. */
  get waitingFor(): Error | undefined {
    // A queue that gets another lane gets its other jobs as before, while that begins.
    const isAwaited = this.lane === 'normal' && !this.isTaking;
    return this.trouble ?? (isAwaited ? BEGINNING : undefined);
  }

  /** How many jobs it may have unsettled. */
  get prefetch(): number {
    return this.wanted;
  }

  get consumerCount(): number {
    return this.subscription.consumerCount;
  }

  get atHandCount(): number {
    return this.atHand.length;
  }

  /** Resolves when jobs come for the first time. */
  async untilTaking(): Promise<void> {
    if (!this.isTaking) await new Promise<void>((resolve) => (this.onTaking = resolve));
  }

  deliver(delivery: Delivery): void {
    this.owner.deliver(delivery, this);
  }

  lost(detail: string): void {
    this.atHand.clear();
    this.owner.lost(this, detail);
  }

  waiting(reason: Error | undefined): void {
    this.isTaking = reason === undefined;
    if (this.isTaking) this.onTaking?.();
    this.trouble = sureReason(reason);
    this.owner.standing();
  }

  /** To be begun later. */
  keep(delivery: Delivery): void {
    this.atHand.push({ delivery, deliveredAt: performance.now() });
  }

  next(): AtHand | undefined {
    return this.atHand.shift();
  }

  handBackAll(): void {
    for (;;) {
      const next = this.atHand.shift();
      if (next === undefined) return;
      next.delivery.settle({ kind: 'handBack' });
    }
  }

  setPrefetch(prefetch: number): void {
    this.wanted = prefetch;
    this.subscription.setPrefetch(prefetch);
  }

  applied(): Promise<void> {
    return this.subscription.applied();
  }

  stop(): Promise<void> {
    return this.subscription.stop();
  }

  close(): Promise<void> {
    return this.subscription.close();
  }
}

const BEGINNING = new NotConnectedError(new Error('its queue is about to be taken from'));

/** Who is not connected for no reason is only about to be. */
export function sureReason(reason: Error | undefined): Error | undefined {
  return reason instanceof NotConnectedError && reason.cause === undefined ? undefined : reason;
}
