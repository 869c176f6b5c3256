// Writes down, for who wants to look into queues without touching them, what comes to them and what leaves.
import { randomBytes } from 'node:crypto';
import type { Channel, ConsumeMessage, Options } from 'amqplib';
import type { RogerLog } from '../../../job/log';
import type { QueueAddress } from '../../../job/names';
import type { QueueLane } from '../../../transport';
import type { BrokerConnection } from '../broker-connection';
import type { BrokerNames } from '../broker-names';
import type { BrokerMessage } from '../broker-message';
import { StandingChannel } from '../standing-channel';
import type { Topology } from '../topology';
import { bodyOfNote, NOTE_PROPERTIES, propertiesOfEntry, tokenOf } from './journal-records';

/** Leavings are written together, at the latest after this. A process that is killed takes them along. */
const GROUP_MS = 50;
const MAX_GROUP = 500;

export interface JournalParts {
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly connection: BrokerConnection;
  readonly log: RogerLog;
}

/**
 * No job waits for its journal, and none is lost with an entry: where nothing can be written at the moment, the journal
 * has a gap. A queue that has no journal costs the broker a message that goes nowhere.
 */
export class JournalWriter {
  private readonly channel: StandingChannel<Channel>;
  private readonly leaving = new Map<string, string[]>();
  private groupTimer: NodeJS.Timeout | undefined;
  /** Tells this process's messages from those of others. */
  private readonly prefix = randomBytes(9).toString('base64url');
  private lastToken = 0;

  constructor(private readonly parts: JournalParts) {
    const { connection, topology, log } = parts;
    this.channel = new StandingChannel<Channel>(
      connection,
      {
        purpose: 'Journals of queues',
        create: (model) => model.createChannel(),
        prepare: (model) => topology.declareJournalExchange(model),
      },
      log,
    ).open();
  }

  /** The message that will be written down once the broker has it. */
  tracked(message: BrokerMessage, address: QueueAddress, lane: QueueLane, afterSeconds = 0): BrokerMessage {
    const token = `${this.prefix}${(++this.lastToken).toString(36)}`;
    const onKept = (): void => {
      const sentAt = Date.now();
      const dueAt = afterSeconds > 0 ? sentAt + afterSeconds * 1000 : undefined;
      const properties = propertiesOfEntry({ token, lane, sentAt, dueAt });
      this.write(this.parts.names.queue(address), message.body, properties);
    };
    return { ...message, correlationId: token, onKept };
  }

  /** A delivered message is about to be acknowledged. */
  left(address: QueueAddress, { properties }: ConsumeMessage): void {
    const token = tokenOf(properties);
    if (token === undefined) return;
    const queue = this.parts.names.queue(address);
    const group = this.leaving.get(queue) ?? [];
    this.leaving.set(queue, group);
    if (group.push(token) >= MAX_GROUP) this.writeLeaving();
    else this.groupTimer ??= setTimeout(this.writeLeaving, GROUP_MS);
  }

  /** All messages that nobody has in hand were removed from the lane. */
  emptied(address: QueueAddress, lane: QueueLane): void {
    const note = { kind: 'emptied', lane, at: Date.now() } as const;
    this.write(this.parts.names.queue(address), bodyOfNote(note), NOTE_PROPERTIES);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.writeLeaving();
    await this.channel.close();
  }

  private readonly writeLeaving = (): void => {
    clearTimeout(this.groupTimer);
    this.groupTimer = undefined;
    for (const [queue, tokens] of this.leaving) {
      this.write(queue, bodyOfNote({ kind: 'left', tokens }), NOTE_PROPERTIES);
    }
    this.leaving.clear();
  };

  private write(queue: string, body: Buffer, properties: Options.Publish): void {
    const { connection, names } = this.parts;
    if (connection.blockedReason !== undefined) return;
    try {
      this.channel.current?.publish(names.journalExchange, queue, body, properties);
    } catch {
      // The channel is closing: a gap.
    }
  }
}
