// A channel that is opened anew whenever it is lost, with what belongs on it.
import type { Channel, ChannelModel } from 'amqplib';
import type { RogerLog } from '../../job/log';
import type { BrokerConnection } from './broker-connection';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** A channel that has stood for so long is lost for another reason than the one before. */
const STOOD_MS = 5_000;

export interface StandingChannelParts<C extends Channel> {
  /** What it is for, to begin a line of the log with: `Mail for this node`. */
  readonly purpose: string;
  create(model: ChannelModel): Promise<C>;
  /** Declares what the channel needs, before there is one; `failure` is why the one before was lost, if it was. */
  prepare?(model: ChannelModel, failure: Error | undefined): Promise<void>;
  /** Puts the channel to its use; it is `current` already. */
  begin?(channel: C, model: ChannelModel): Promise<void>;
  /** The channel is gone; called once for each that was `current`, but not for a {@link StandingChannel.close}. */
  onLost?(detail: string): void;
  /** It is gone, or does not come about; called each time. */
  onInterrupted?(reason: Error): void;
}

/** Stands as long as its connection does: a channel that the broker closes is followed by another after a growing pause. */
export class StandingChannel<C extends Channel> {
  /** The channel that can be used now, if there is one. */
  current: C | undefined;
  private isClosed = false;
  private retryTimer: NodeJS.Timeout | undefined;
  private retryDelayMs = RETRY_MIN_MS;
  private beganAt = 0;
  private failure: Error | undefined;
  /** What was last logged as the reason for its absence. */
  private complaint: string | undefined;

  constructor(
    private readonly connection: BrokerConnection,
    private readonly parts: StandingChannelParts<C>,
    private readonly log: RogerLog,
  ) {
    connection.on('up', this.onUp);
    connection.on('down', this.onDown);
  }

  /** Opens the first one if the connection is up; otherwise that does it when it comes up. To be called once. */
  open(): this {
    if (this.connection.current !== undefined) this.onUp(this.connection.current);
    return this;
  }

  /** Gives the channel up for a fresh one. */
  renew(detail: string, reason?: Error): void {
    const channel = this.current;
    if (channel === undefined) return;
    channel.close().catch(() => undefined);
    this.lose(channel, detail, reason);
  }

  /** Leaves the channel to who uses it, and to be closed there, and opens another at once. */
  release(): void {
    this.current = undefined;
    this.failure = undefined;
    if (this.connection.current !== undefined && !this.isClosed) void this.openOn(this.connection.current);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.retryTimer);
    this.connection.off('up', this.onUp);
    this.connection.off('down', this.onDown);
    const channel = this.current;
    this.current = undefined;
    await channel?.close().catch(() => undefined);
  }

  private readonly onUp = (model: ChannelModel): void => {
    clearTimeout(this.retryTimer);
    this.retryDelayMs = RETRY_MIN_MS;
    void this.openOn(model);
  };

  private readonly onDown = (detail: string): void => {
    clearTimeout(this.retryTimer);
    if (this.current !== undefined) this.lose(this.current, detail, undefined);
  };

  private async openOn(model: ChannelModel): Promise<void> {
    let channel: C | undefined;
    try {
      await this.parts.prepare?.(model, this.failure);
      channel = await this.parts.create(model);
      if (this.isOver(model)) {
        channel.close().catch(() => undefined);
        return;
      }
      this.watch(channel);
      this.current = channel;
      await this.parts.begin?.(channel, model);
      if (this.current === channel) this.onBegun();
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      if (channel === undefined) this.openAgain(model, failure);
      else if (this.current === channel) this.renew(failure.message, failure);
    }
  }

  private watch(channel: C): void {
    let failure = new Error('channel closed');
    channel.on('error', (error: Error) => {
      failure = error;
    });
    channel.on('close', () => {
      this.lose(channel, failure.message, failure);
    });
  }

  private lose(channel: C, detail: string, reason: Error | undefined): void {
    if (this.current !== channel) return;
    this.current = undefined;
    this.failure = reason;
    if (performance.now() - this.beganAt > STOOD_MS) this.retryDelayMs = RETRY_MIN_MS;
    this.parts.onLost?.(detail);
    const model = this.connection.current;
    if (model === undefined) return;
    // Channels fall before their connection does; a turn later it shows which of the two was lost.
    setImmediate(() => {
      this.openAgain(model, reason);
    });
  }

  private openAgain(model: ChannelModel, reason: Error | undefined): void {
    if (this.isOver(model)) return;
    if (reason !== undefined) {
      this.parts.onInterrupted?.(reason);
      this.say(reason.message);
    }
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(
      () => {
        if (!this.isOver(model)) void this.openOn(model);
      },
      // Whoever gives it up has nothing to wait for.
      reason === undefined ? RETRY_MIN_MS : this.retryDelayMs,
    );
    if (reason !== undefined) this.retryDelayMs = Math.min(this.retryDelayMs * 2, RETRY_MAX_MS);
  }

  private isOver(model: ChannelModel): boolean {
    return this.isClosed || this.connection.current !== model;
  }

  private onBegun(): void {
    this.beganAt = performance.now();
    this.failure = undefined;
    if (this.complaint !== undefined) this.log.log(`${this.parts.purpose}: goes on`);
    this.complaint = undefined;
  }

  /** One line per cause, not one per try. */
  private say(complaint: string): void {
    if (complaint === this.complaint) return;
    this.complaint = complaint;
    this.log.warn(`${this.parts.purpose}: interrupted: ${complaint}; trying on`);
  }
}
