// A consumer that remembers what it was told, and lets a test wait for it.
import type { Delivery, DeliveryConsumer } from '../../libs/roger/src/transport';
import { PATIENCE_MS, within } from './within';

/**
 * Settles nothing by itself; what the test does with each delivery, at once, it gives to the constructor.
 *
 * @example
 * ```ts
 * const consumer = new RecordingConsumer();
 * transport.consume(address, 10, consumer);
 * const third = await consumer.delivery(3);
 * third.settle({ kind: 'done' });
 * ```
 */
export class RecordingConsumer implements DeliveryConsumer {
  /** In the order in which they came. */
  readonly deliveries: Delivery[] = [];
  /** The details of the losses. */
  readonly losses: string[] = [];
  /** Why no jobs can be taken; false before the first word about it. */
  private refusal: Error | undefined | false = false;
  private readonly checks = new Set<() => void>();

  constructor(private readonly onDelivery: (delivery: Delivery) => void = () => undefined) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
    this.check();
  }

  lost(detail: string): void {
    this.losses.push(detail);
    this.check();
  }

  waiting(reason: Error | undefined): void {
    this.refusal = reason;
    this.check();
  }

  /** The bodies that came so far, as text. */
  get texts(): string[] {
    return textsOf(this.deliveries);
  }

  /** Resolves to the n-th delivery, counted from 1, when it comes or came. */
  delivery(n: number): Promise<Delivery> {
    return this.until(`delivery ${n}`, () => this.deliveries[n - 1]);
  }

  /** Resolves to the first so many deliveries when they are there. */
  first(count: number): Promise<readonly Delivery[]> {
    return this.until(`${count} deliveries`, () =>
      this.deliveries.length >= count ? this.deliveries.slice(0, count) : undefined,
    );
  }

  /** Resolves to the detail of the n-th loss, counted from 1. */
  loss(n = 1): Promise<string> {
    return this.until(`loss ${n}`, () => this.losses[n - 1]);
  }

  /** Resolves when jobs are being taken. */
  taking(): Promise<true> {
    return this.until('jobs to be taken', () => (this.refusal === undefined ? true : undefined));
  }

  /** Resolves when jobs can't be taken, to the reason. */
  refused(): Promise<Error> {
    return this.until('a reason for waiting', () => (this.refusal === false ? undefined : this.refusal));
  }

  /** Resolves to what the probe finds, asked now and after every word from the transport. */
  until<T>(what: string, probe: () => T | undefined, limitMs = PATIENCE_MS): Promise<T> {
    let check: () => void = () => undefined;
    const found = new Promise<T>((resolve) => {
      check = () => {
        const value = probe();
        if (value !== undefined) resolve(value);
      };
      this.checks.add(check);
      check();
    });
    return within(what, found, () => this.standing(), limitMs).finally(() => this.checks.delete(check));
  }

  private check(): void {
    for (const check of this.checks) check();
  }

  private standing(): string {
    const shown = this.texts.slice(0, 20).map((text) => text.slice(0, 40));
    const waiting =
      this.refusal === undefined
        ? ''
        : `, waiting: ${this.refusal === false ? 'no word' : this.refusal.message}`;
    return `${this.deliveries.length} deliveries came (${shown.join(', ')}), ${this.losses.length} losses${waiting}`;
  }
}

/** The bodies of deliveries as text. */
export function textsOf(deliveries: readonly Delivery[]): string[] {
  return deliveries.map(({ body }) => body.toString());
}
