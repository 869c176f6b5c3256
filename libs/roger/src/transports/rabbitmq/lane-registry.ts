// Knows which queues have lanes besides the normal one: each is written to a stream before it is made, and every node reads that.
import type { Channel, ConsumeMessage } from 'amqplib';
import type { RogerLog } from '../../job/log';
import type { QueueLane } from '../../job/lanes';
import type { QueueAddress } from '../../job/names';
import type { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import type { LaneRecord } from './lane-records';
import { laneIn } from './lane-records';
import { StandingChannel } from './standing-channel';
import { within } from './time-limit';
import type { LaneOfQueue, Topology } from './topology';

/** In memory at once; each is small. */
const PREFETCH = 500;
/** After so long without a record, and so many times what a busy broker takes for an answer, all that were there have come. */
const QUIET_MS = 25;
const QUIET_ANSWERS = 3;
/** Who wants to know goes on without after so long. */
const PATIENCE_MS = 3_000;
/** How often the stream is asked for its last record again: a consumer that the broker has forgotten gets none. */
const LOOK_MS = 5_000;
/** After so many looks with nothing new before them, the stream has told all that it has. */
const QUIET_LOOKS = 2;

/** One that is about to be made is there by then, or its maker has died. */
const MAKING_MS = 2_000;

export interface LaneRegistryParts {
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly connection: BrokerConnection;
  readonly log: RogerLog;
}

export type LaneFollower = (address: QueueAddress, lane: QueueLane) => void;

export class LaneRegistry {
  private readonly channel: StandingChannel<Channel>;
  /** By the name of the queue. */
  private readonly lanes = new Map<
    string,
    { readonly address: QueueAddress; readonly its: Set<QueueLane> }
  >();
  /** Known, but not told again since the stream is read from its beginning, by the names of the lanes. */
  private readonly untold = new Map<string, LaneOfQueue>();
  /** Those that are about to be made, by their names: nobody takes from them yet. */
  private readonly inMaking = new Map<string, NodeJS.Timeout>();
  private readonly watch: NodeJS.Timeout;
  private follower: LaneFollower | undefined;
  private lastOffset: number | undefined;
  private consumerTag: string | undefined;
  /** Whether anything has come since the stream was last asked. */
  private hasAnswered = false;
  /** How often the stream was looked at since something new came. */
  private quietLooks = 0;
  private hasComplained = false;
  private quietTimer: NodeJS.Timeout | undefined;
  private isRead = false;
  private onRead: (() => void)[] = [];

  constructor(private readonly parts: LaneRegistryParts) {
    const { connection, topology, log } = parts;
    this.channel = new StandingChannel<Channel>(
      connection,
      {
        purpose: 'Lanes of queues',
        create: (model) => model.createChannel(),
        // One that was deleted is written anew by whoever knows.
        prepare: (model) => topology.ensureLaneRecords(model, () => this.whenMissing()),
        begin: (channel) => this.begin(channel),
        onLost: () => {
          this.isRead = false;
          this.consumerTag = undefined;
          this.stopWaiting();
        },
      },
      log,
    ).open();
    this.watch = setInterval(() => {
      void this.look();
    }, LOOK_MS).unref();
  }

  /** Tells of all that are known, and of each that becomes known. */
  follow(follower: LaneFollower): void {
    this.follower = follower;
    for (const known of this.all()) {
      if (!this.inMaking.has(this.nameOf(known))) follower(known.address, known.lane);
    }
  }

  /** Undefined while it can't be known. */
  async lanesOf(address: QueueAddress): Promise<ReadonlySet<QueueLane> | undefined> {
    if (!this.isRead && this.parts.connection.current !== undefined) {
      await within(PATIENCE_MS, new Promise<void>((resolve) => this.onRead.push(resolve)));
    }
    return this.isRead ? (this.lanes.get(this.parts.names.queue(address))?.its ?? NONE) : undefined;
  }

  async close(): Promise<void> {
    clearInterval(this.watch);
    this.stopWaiting();
    await this.channel.close();
    // None is told of any more.
    for (const timer of this.inMaking.values()) clearTimeout(timer);
  }

  private *all(): Generator<LaneOfQueue> {
    for (const { address, its } of this.lanes.values()) for (const lane of its) yield { address, lane };
  }

  private async begin(channel: Channel): Promise<void> {
    await channel.prefetch(PREFETCH);
    // It may be another stream than before, which begins to count anew and doesn't have what that had.
    this.lastOffset = undefined;
    this.quietLooks = 0;
    for (const known of this.all()) this.untold.set(this.nameOf(known), known);
    await this.consume(channel, 'first');
    this.waitForQuiet(channel);
  }

  private async consume(channel: Channel, offset: number | 'first'): Promise<void> {
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message === null) this.channel.renew('the broker cancelled the consumer');
      else this.take(channel, message);
    };
    const { consumerTag } = await channel.consume(this.parts.names.lanes, onMessage, {
      arguments: { 'x-stream-offset': offset },
    });
    this.consumerTag = consumerTag;
  }

  private take(channel: Channel, message: ConsumeMessage): void {
    this.hasAnswered = true;
    const offset: unknown = message.properties.headers?.['x-stream-offset'];
    if (typeof offset === 'number' && offset > (this.lastOffset ?? -1)) {
      this.lastOffset = offset;
      this.quietLooks = 0;
    }
    try {
      channel.ack(message);
    } catch {
      // The channel is closing; its successor begins anew.
    }
    if (!this.isRead) this.waitForQuiet(channel);
    const record = laneIn(message.content);
    if (record === undefined) this.complain(offset);
    else this.note(record);
  }

  private note({ address, lane, isMade }: LaneRecord): void {
    const laneName = this.nameOf({ address, lane });
    this.untold.delete(laneName);
    const name = this.parts.names.queue(address);
    const known = this.lanes.get(name) ?? { address, its: new Set() };
    this.lanes.set(name, known);
    const isNew = !known.its.has(lane);
    known.its.add(lane);
    if (isMade) {
      if (isNew || this.inMaking.has(laneName)) this.tellOf({ address, lane });
    } else if (isNew) {
      const timer = setTimeout(() => this.tellOf({ address, lane }), MAKING_MS).unref();
      this.inMaking.set(laneName, timer);
    }
  }

  private tellOf({ address, lane }: LaneOfQueue): void {
    const laneName = this.nameOf({ address, lane });
    clearTimeout(this.inMaking.get(laneName));
    this.inMaking.delete(laneName);
    this.follower?.(address, lane);
  }

  private nameOf({ address, lane }: LaneOfQueue): string {
    return this.parts.names.lane(address, lane);
  }

  /** Once, for the same comes again with each reading. */
  private complain(offset: unknown): void {
    if (this.hasComplained) return;
    this.hasComplained = true;
    const { names, log } = this.parts;
    log.warn(
      `The stream ${names.lanes} holds what is no record of a lane, the first at offset ${String(offset)}; such messages are passed over`,
    );
  }

  private waitForQuiet(channel: Channel): void {
    clearTimeout(this.quietTimer);
    const timer = setTimeout(() => {
      // One that is lost brings another, which is waited for anew.
      this.waitForAnswers(channel, timer).catch(() => undefined);
    }, QUIET_MS);
    this.quietTimer = timer;
  }

  private stopWaiting(): void {
    clearTimeout(this.quietTimer);
    this.quietTimer = undefined;
  }

  /** @param timer another one in its place: a record has come meanwhile, or the channel is lost */
  private async waitForAnswers(channel: Channel, timer: NodeJS.Timeout): Promise<void> {
    const askedAt = performance.now();
    await channel.prefetch(PREFETCH);
    if (this.quietTimer !== timer) return;
    this.quietTimer = setTimeout(
      () => {
        this.becomeRead();
      },
      QUIET_ANSWERS * (performance.now() - askedAt),
    );
  }

  /** Where there is no stream, there are no lanes but those that are known here. */
  private whenMissing(): ReturnType<LaneRegistry['all']> {
    this.becomeRead();
    return this.all();
  }

  private becomeRead(): void {
    this.isRead = true;
    for (const resolve of this.onRead.splice(0)) resolve();
  }

  /** Where there are records the last one comes again, or the consumer is one that nobody remembers. */
  private async look(): Promise<void> {
    const { consumerTag, lastOffset } = this;
    const channel = this.channel.current;
    if (channel === undefined || consumerTag === undefined || !this.isRead) return;
    if (lastOffset !== undefined && !this.hasAnswered) {
      this.lastOffset = undefined;
      const detail = 'the broker does not say which lanes there are';
      this.channel.renew(detail, new Error(detail));
      return;
    }
    this.hasAnswered = false;
    this.consumerTag = undefined;
    if (++this.quietLooks >= QUIET_LOOKS) this.tellAgain();
    try {
      await channel.cancel(consumerTag);
      await this.consume(channel, lastOffset ?? 'first');
    } catch {
      // The channel is lost, and another comes.
    }
  }

  /** Somebody else has made a stream in place of the one that told of them: who starts later must find them there. */
  private tellAgain(): void {
    const model = this.parts.connection.current;
    if (model === undefined || this.untold.size === 0) return;
    // What fails is tried at the next look.
    this.parts.topology.recordLanesAgain(model, [...this.untold.values()]).catch(() => undefined);
  }
}

const NONE: ReadonlySet<QueueLane> = new Set();
