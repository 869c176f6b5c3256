// Publishes with confirms: a bounded window in flight, the rest waiting, each with a time limit. Knows messages, not jobs.
import type { ChannelModel } from 'amqplib';
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
import type { BrokerMessage } from './broker-message';
import type { BrokerNames } from './broker-names';
import { OutgoingMessages, UnconfirmedError } from './outgoing-messages';
import type { Arrival, Outgoing } from './passage';
import { within } from './time-limit';
import { NOT_FOUND, replyCode } from './topology';

/** What a waiting message costs beside its body, about. */
const OVERHEAD_BYTES = 512;
/** Who waits for room takes up no more of the buffer than this, so that it stays open to those who can't wait. */
const SHARE_OF_THE_PATIENT = 0.5;
const SWEEP_MS = 100;
/** What follows a delivery is sent again when it is not confirmed by then, and may arrive twice. */
const GIVE_UP_MS = { first: 60_000, most: 60_000 };

/** The broker has no queue where the message was to go. It was not kept. */
export class UnroutableError extends Error {}

/** The broker refused the message: the queue is full. It was not kept. */
export class RefusedError extends Error {}

/** The message was withdrawn before it was sent. */
export class WithdrawnError extends Error {}

interface Entry extends Outgoing {
  readonly message: BrokerMessage;
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
}

export interface PublisherOptions {
  readonly names: BrokerNames;
  readonly timeoutMs: number;
  readonly maxBufferedBytes: number;
}

/**
 * Messages cut off by a lost channel are sent again under the same message id until confirmed or out of time, so a
 * confirm that got lost shows as a repeat, never as a loss.
 */
export class Publisher {
  private readonly outgoing: OutgoingMessages;
  /** Those for which the buffer has no room yet; the first of them is unsettled. */
  private readonly atTheDoor = new Denque<Entry>();
  /** All unsettled ones with a deadline, oldest first; all have the same limit, so the first is the next to expire. */
  private readonly deadlines = new Denque<Entry>();
  private bytesHeld = 0;
  private sweeper: NodeJS.Timeout | undefined;
  private lastFailure: Error | undefined;
  private closing = false;
  /** What is not confirmed now never will be. */
  private isOver = false;
  private onIdle: (() => void) | undefined;

  constructor(
    private readonly connection: BrokerConnection,
    private readonly options: PublisherOptions,
    log: RogerLog,
    /** Called when the broker says that an exchange is missing, before the channel is opened again. */
    declareMissing: (connection: ChannelModel) => Promise<void>,
  ) {
    this.outgoing = new OutgoingMessages({
      connection,
      names: options.names,
      log,
      purpose: 'Publishing',
      giveUpMs: GIVE_UP_MS,
      prepare: async (model, failure) => {
        if (replyCode(failure) === NOT_FOUND) await declareMissing(model);
      },
      onInterrupted: (reason) => (this.lastFailure = reason),
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
        this.outgoing.submit(entry);
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
      this.outgoing.submit(entry);
    });
  }

  /** Takes no more publishes and waits for the confirms of the present ones; what is left after the time is rejected. */
  async close(timeoutMs: number): Promise<void> {
    this.closing = true;
    const deadline = performance.now() + timeoutMs;
    if (this.bytesHeld > 0) {
      await within(timeoutMs, new Promise<void>((resolve) => (this.onIdle = resolve)));
    }
    this.isOver = true;
    clearInterval(this.sweeper);
    for (const outgoing of this.outgoing.withdraw()) outgoing.onEnd(new Error('closed'));
    for (const entry of this.deadlines.toArray()) this.fail(entry, this.unavailable(entry));
    await this.outgoing.close(this.bytesHeld > 0 ? 0 : Math.max(0, deadline - performance.now()));
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
    const entry: Entry = {
      message,
      isUrgent: isWithdrawn !== undefined,
      bytes,
      deadline,
      isWithdrawn,
      resolve,
      reject,
      settled: false,
      isAdmitted: false,
      sent: false,
      isWanted: () => this.isWanted(entry),
      onSent: () => (entry.sent = true),
      onEnd: (arrival) => {
        this.onEnd(entry, arrival);
      },
    };
    return entry;
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

  /** Lets in whom there is room for now. */
  private openDoor(): void {
    for (let first = this.atTheDoor.peekFront(); first !== undefined; first = this.atTheDoor.peekFront()) {
      if (!first.settled) {
        if (!this.hasRoomForPatient(first.bytes)) return;
        this.admit(first);
        this.outgoing.submit(first);
      }
      this.atTheDoor.shift();
    }
  }

  private isWanted(entry: Entry): boolean {
    if (entry.isWithdrawn?.() === true) this.fail(entry, new WithdrawnError('withdrawn'));
    return !entry.settled;
  }

  private onEnd(entry: Entry, arrival: Arrival): void {
    if (entry.settled) return;
    if (arrival === 'kept') this.succeed(entry);
    else if (arrival === 'returned') this.fail(entry, new UnroutableError('no queue takes the message'));
    else if (arrival === 'refused') this.fail(entry, new RefusedError('the broker refused the message'));
    else if (this.isOver) this.fail(entry, this.unavailable(entry));
    // A queue that does not confirm may have it: its time limit tells.
    else if (!(arrival instanceof UnconfirmedError) || entry.deadline === undefined) this.sendAgain(entry);
  }

  /** The channel was lost before the confirm came: whether the broker has the message is unknown, so send it again. */
  private sendAgain(entry: Entry): void {
    if (this.isWanted(entry)) this.outgoing.submit(entry);
  }

  private succeed(entry: Entry): void {
    this.settle(entry);
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
    // While the broker is away nothing leaves, and what has run out of time would pile up.
    if (expired > 0) this.outgoing.dropUnwanted();
    if (this.deadlines.isEmpty()) {
      clearInterval(this.sweeper);
      this.sweeper = undefined;
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
}
