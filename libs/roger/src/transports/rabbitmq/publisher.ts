// Publishes with confirms: a bounded window in flight, the rest waiting, each with a time limit. Knows messages, not jobs.
import type { ChannelModel, ConfirmChannel, Message, Options } from 'amqplib';
import Denque from 'denque';
import {
  BrokerBlockedError,
  BrokerUnavailableError,
  EnqueueBufferFullError,
  RogerClosedError,
} from '../../job/errors';
import type { RogerLog } from '../../job/log';
import type { WhenFull } from '../../transport';
import type { BrokerConnection } from './broker-connection';
import { within } from './time-limit';
import { NOT_FOUND, replyCode } from './topology';

/** More in flight gains nothing (the broker's confirms are the limit) and costs the client's memory. */
const MAX_IN_FLIGHT = 1_000;
const MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024;
/** What a waiting message costs beside its body, about. */
const OVERHEAD_BYTES = 512;
/** Who waits for room takes up no more of the buffer than this, so that it stays open to those who can't wait. */
const SHARE_OF_THE_PATIENT = 0.5;
const SWEEP_MS = 100;
const REOPEN_MIN_MS = 50;
const REOPEN_MAX_MS = 5_000;

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

/** The broker has no queue where the message was to go. It was not kept. */
export class UnroutableError extends Error {}

/** The broker refused the message: the queue is full. It was not kept. */
export class RefusedError extends Error {}

/** The message was withdrawn before it was sent. */
export class WithdrawnError extends Error {}

interface Entry {
  readonly message: BrokerMessage;
  readonly options: Options.Publish;
  readonly bytes: number;
  /** Undefined: waits as long as it takes, until `isWithdrawn`. */
  readonly deadline: number | undefined;
  readonly isWithdrawn: (() => boolean) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  settled: boolean;
  /** In the buffer, its bytes counted; false while it waits for room there. */
  isAdmitted: boolean;
  /** Handed to a channel at least once, so that the broker may have it. */
  sent: boolean;
  returned: boolean;
}

export interface PublisherOptions {
  readonly timeoutMs: number;
  readonly maxBufferedBytes: number;
}

/**
 * Messages cut off by a lost channel are sent again under the same message id until confirmed or out of time, so a
 * confirm that got lost shows as a repeat, never as a loss.
 */
export class Publisher {
  private channel: ConfirmChannel | undefined;
  private readonly waiting = new Denque<Entry>();
  /** Those for which the buffer has no room yet; the first of them is unsettled. */
  private readonly atTheDoor = new Denque<Entry>();
  /** All unsettled ones with a deadline, oldest first; all have the same limit, so the first is the next to expire. */
  private readonly deadlines = new Denque<Entry>();
  /** Sent and not confirmed; looked through only for returns and at a lost channel. */
  private readonly inFlight = new Set<Entry>();
  private bytesInFlight = 0;
  private bytesHeld = 0;
  private sweeper: NodeJS.Timeout | undefined;
  private reopenTimer: NodeJS.Timeout | undefined;
  private reopenDelayMs = REOPEN_MIN_MS;
  private lastFailure: Error | undefined;
  /** What was logged since the last confirm: causes can alternate, and each is said once. */
  private readonly complaints = new Set<string>();
  private closing = false;
  private onIdle: (() => void) | undefined;

  constructor(
    private readonly connection: BrokerConnection,
    private readonly options: PublisherOptions,
    private readonly log: RogerLog,
    /** Called when the broker says that an exchange is missing, before the channel is opened again. */
    private readonly declareMissing: (connection: ChannelModel) => Promise<void>,
  ) {
    connection.on('up', (model) => {
      clearTimeout(this.reopenTimer);
      this.reopenDelayMs = REOPEN_MIN_MS;
      void this.openChannel(model);
    });
    connection.on('unblocked', () => {
      this.pump();
    });
  }

  /**
   * Resolves when the broker has confirmed and routed the message. What `rescue` makes of a failure takes its place.
   * With `'wait'` a message meets EnqueueBufferFullError only when the time limit is over without room for it, or when it
   * is larger than the whole buffer.
   * @throws UnroutableError, RefusedError, BrokerUnavailableError, BrokerBlockedError, EnqueueBufferFullError,
   * RogerClosedError
   */
  publish(
    message: BrokerMessage,
    whenFull: WhenFull = 'refuse',
    rescue?: (error: Error) => Promise<void>,
  ): Promise<void> {
    return new Promise((resolve, rejectAtLast) => {
      const reject = (error: Error): void => {
        if (rescue === undefined) rejectAtLast(error);
        else rescue(error).then(resolve, rejectAtLast);
      };
      if (this.closing) {
        reject(new RogerClosedError());
        return;
      }
      const bytes = message.body.length + OVERHEAD_BYTES;
      const { maxBufferedBytes } = this.options;
      const fits =
        whenFull === 'wait'
          ? !this.isFull && this.hasRoomForPatient(bytes)
          : this.bytesHeld + bytes <= maxBufferedBytes;
      if (!fits && (whenFull === 'refuse' || bytes > maxBufferedBytes)) {
        reject(new EnqueueBufferFullError(maxBufferedBytes));
        return;
      }
      const deadline = performance.now() + this.options.timeoutMs;
      const entry = this.entryOf(message, bytes, deadline, undefined, resolve, reject);
      this.deadlines.push(entry);
      this.sweeper ??= setInterval(() => {
        this.sweep();
      }, SWEEP_MS);
      if (fits) {
        this.admit(entry);
        this.submit(entry);
      } else {
        this.atTheDoor.push(entry);
      }
    });
  }

  /**
   * The same for what follows a delivery: it goes before waiting publishes, waits without limit, and ends with
   * WithdrawnError as soon as `isWithdrawn` says so. The caller holds few of them (at most its prefetch).
   */
  publishFollowUp(message: BrokerMessage, isWithdrawn: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closing) {
        reject(new WithdrawnError('closed'));
        return;
      }
      const bytes = message.body.length + OVERHEAD_BYTES;
      const entry = this.entryOf(message, bytes, undefined, isWithdrawn, resolve, reject);
      this.admit(entry);
      if (this.canSend()) this.send(entry);
      else this.waiting.unshift(entry);
    });
  }

  /** Takes no more publishes and waits for the confirms of the present ones; what is left after the time is rejected. */
  async close(timeoutMs: number): Promise<void> {
    this.closing = true;
    const isIdle =
      this.bytesHeld === 0 ||
      (await within(timeoutMs, new Promise<void>((resolve) => (this.onIdle = resolve)))) === 'done';
    clearInterval(this.sweeper);
    clearTimeout(this.reopenTimer);
    const left = [...this.inFlight, ...this.waiting.toArray(), ...this.atTheDoor.toArray()];
    for (const entry of left) this.fail(entry, this.unavailable(entry));
    const { channel } = this;
    this.channel = undefined;
    const closed = channel?.close().catch(() => undefined);
    // A broker that has not confirmed in time doesn't answer this either; the connection is closed next.
    if (closed !== undefined && isIdle) await within(timeoutMs, closed);
  }

  /** Takes no publish any more, not even a follow-up. */
  get isClosed(): boolean {
    return this.closing;
  }

  /** Whether messages wait for room in the buffer. */
  get isFull(): boolean {
    return !this.atTheDoor.isEmpty();
  }

  private entryOf(
    message: BrokerMessage,
    bytes: number,
    deadline: number | undefined,
    isWithdrawn: (() => boolean) | undefined,
    resolve: () => void,
    reject: (error: Error) => void,
  ): Entry {
    return {
      message,
      options: publishOptionsOf(message),
      bytes,
      deadline,
      isWithdrawn,
      resolve,
      reject,
      settled: false,
      isAdmitted: false,
      sent: false,
      returned: false,
    };
  }

  private admit(entry: Entry): void {
    entry.isAdmitted = true;
    this.bytesHeld += entry.bytes;
  }

  /** Whether there is room for one that would wait for it. Alone in the buffer it may be larger than its share. */
  private hasRoomForPatient(bytes: number): boolean {
    const { maxBufferedBytes } = this.options;
    const held = this.bytesHeld + bytes;
    return (
      held <= maxBufferedBytes * SHARE_OF_THE_PATIENT || (this.bytesHeld === 0 && held <= maxBufferedBytes)
    );
  }

  /** Lets in whom there is room for now. Sends nothing: the channel may be one that was just lost. */
  private openDoor(): void {
    for (let first = this.atTheDoor.peekFront(); first !== undefined; first = this.atTheDoor.peekFront()) {
      if (!first.settled) {
        if (!this.hasRoomForPatient(first.bytes)) return;
        this.admit(first);
        this.waiting.push(first);
      }
      this.atTheDoor.shift();
    }
  }

  private submit(entry: Entry): void {
    if (this.waiting.isEmpty() && this.canSend()) this.send(entry);
    else this.waiting.push(entry);
  }

  private canSend(): boolean {
    return (
      this.channel !== undefined &&
      this.connection.blockedReason === undefined &&
      this.inFlight.size < MAX_IN_FLIGHT &&
      this.bytesInFlight < MAX_BYTES_IN_FLIGHT
    );
  }

  private pump(): void {
    while (!this.waiting.isEmpty() && this.canSend()) {
      const entry = this.waiting.shift();
      if (entry === undefined || entry.settled) continue;
      if (entry.isWithdrawn?.() === true) this.fail(entry, new WithdrawnError('withdrawn'));
      else this.send(entry);
    }
  }

  private send(entry: Entry): void {
    const { channel } = this;
    const { exchange, routingKey, body } = entry.message;
    try {
      channel?.publish(exchange, routingKey, body, entry.options, (error: unknown) => {
        this.onConfirm(entry, error);
      });
    } catch {
      // The channel is closing; its 'close' event brings a fresh one.
      this.channel = undefined;
      this.waiting.unshift(entry);
      return;
    }
    entry.sent = true;
    entry.returned = false;
    this.inFlight.add(entry);
    this.bytesInFlight += entry.bytes;
  }

  private onConfirm(entry: Entry, error: unknown): void {
    this.inFlight.delete(entry);
    this.bytesInFlight -= entry.bytes;
    // No pumping here: the channel that was lost is still ours for a moment.
    if (error instanceof Error && error.message !== NACKED) {
      if (!entry.settled) this.sendAgain(entry);
      return;
    }
    if (entry.settled) {
      this.pump();
      return;
    }
    if (error instanceof Error) this.fail(entry, new RefusedError('the broker refused the message'));
    else if (entry.returned) this.fail(entry, new UnroutableError('no queue takes the message'));
    else this.succeed(entry);
    this.pump();
  }

  /** The channel was lost before the confirm came: whether the broker has the message is unknown, so send it again. */
  private sendAgain(entry: Entry): void {
    if (entry.isWithdrawn?.() === true) this.fail(entry, new WithdrawnError('withdrawn'));
    else this.waiting.push(entry);
  }

  private onReturn(returned: Message): void {
    const { messageId } = returned.properties as { messageId?: string };
    for (const entry of this.inFlight) {
      if (
        !entry.returned &&
        entry.message.messageId === messageId &&
        entry.message.routingKey === returned.fields.routingKey
      ) {
        entry.returned = true;
        return;
      }
    }
  }

  private succeed(entry: Entry): void {
    if (this.complaints.size > 0) this.complaints.clear();
    this.settle(entry);
    entry.message.onKept?.();
    entry.resolve();
  }

  private fail(entry: Entry, error: Error): void {
    if (entry.settled) return;
    this.settle(entry);
    entry.reject(error);
  }

  private settle(entry: Entry): void {
    entry.settled = true;
    if (entry.isAdmitted) this.bytesHeld -= entry.bytes;
    this.openDoor();
    if (this.bytesHeld === 0) this.onIdle?.();
  }

  private sweep(): void {
    const now = performance.now();
    let expired = 0;
    for (let oldest = this.deadlines.peekFront(); oldest !== undefined; oldest = this.deadlines.peekFront()) {
      if (!oldest.settled) {
        if ((oldest.deadline ?? 0) > now) break;
        const { isAdmitted } = oldest;
        this.fail(
          oldest,
          isAdmitted ? this.unavailable(oldest) : new EnqueueBufferFullError(this.options.maxBufferedBytes),
        );
        expired++;
      }
      this.deadlines.shift();
    }
    if (expired > 0) {
      this.dropSettled();
      this.pump();
    }
    if (this.deadlines.isEmpty()) {
      clearInterval(this.sweeper);
      this.sweeper = undefined;
    }
  }

  /** While the broker is away nothing leaves the queue at its front, and what has run out of time would pile up. */
  private dropSettled(): void {
    for (let left = this.waiting.length; left > 0; left--) {
      const entry = this.waiting.shift();
      if (entry?.settled === false) this.waiting.push(entry);
    }
  }

  private unavailable(entry: Entry): Error {
    const { blockedReason } = this.connection;
    if (blockedReason !== undefined) {
      return new BrokerBlockedError(this.options.timeoutMs, entry.sent, blockedReason);
    }
    return new BrokerUnavailableError(
      this.options.timeoutMs,
      entry.sent,
      this.connection.lastFailure ?? this.lastFailure,
    );
  }

  private async openChannel(model: ChannelModel): Promise<void> {
    let channel: ConfirmChannel;
    try {
      channel = await model.createConfirmChannel();
    } catch (error) {
      this.reopen(model, error);
      return;
    }
    let reason: Error | undefined;
    channel.on('error', (error: Error) => {
      reason = error;
    });
    channel.on('return', (message: Message) => {
      this.onReturn(message);
    });
    channel.on('close', () => {
      if (this.channel === channel) this.channel = undefined;
      // amqplib tells only those before the first gap in the confirms; the others would stay in flight for ever.
      for (const entry of this.inFlight) this.onConfirm(entry, new Error('channel closed'));
      this.reopen(model, reason);
    });
    this.channel = channel;
    this.pump();
  }

  private reopen(model: ChannelModel, reason: unknown): void {
    if (this.closing || this.connection.current !== model) return;
    if (reason instanceof Error) {
      if (!this.complaints.has(reason.message)) {
        this.complaints.add(reason.message);
        this.log.warn(`RabbitMQ closed the publishing channel: ${reason.message}; opening another`);
      }
      this.lastFailure = reason;
    }
    clearTimeout(this.reopenTimer);
    this.reopenTimer = setTimeout(() => {
      void this.mendAndOpen(model, replyCode(reason) === NOT_FOUND);
    }, this.reopenDelayMs);
    this.reopenDelayMs = Math.min(this.reopenDelayMs * 2, REOPEN_MAX_MS);
  }

  private async mendAndOpen(model: ChannelModel, isExchangeMissing: boolean): Promise<void> {
    if (isExchangeMissing) {
      try {
        await this.declareMissing(model);
      } catch (error) {
        this.reopen(model, error);
        return;
      }
    }
    if (this.connection.current === model && !this.closing) await this.openChannel(model);
  }
}

/** amqplib tells a negative confirm from a lost channel by this text alone. */
export const NACKED = 'message nacked';
