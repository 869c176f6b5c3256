// Publishes what follows a delivery: its retry, or its place among the buried. Keeps at it until it is confirmed.
import type { ChannelModel } from 'amqplib';
import type { RogerLog } from '../../job/log';
import type { QueueAddress } from '../../job/names';
import type { QueueLane, Settlement } from '../../transport';
import type { BrokerNames } from './broker-names';
import { makeRoom } from './buried-room';
import { buriedMessage, retryMessage } from './job-messages';
import type { JournalWriter } from './journal/journal-writer';
import type { BrokerMessage } from './broker-message';
import type { Publisher } from './publisher';
import { RefusedError, UnroutableError, WithdrawnError } from './publisher';
import type { Topology } from './topology';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/** The settlements after which something remains of the job. */
export type FollowUp =
  | Extract<Settlement, { kind: 'bury' }>
  /** With `deliveries`: the same job as another message, which had been delivered so often. */
  | (Omit<Extract<Settlement, { kind: 'retry' }>, 'lane'> & {
      readonly deliveries?: number;
      readonly lane?: Exclude<QueueLane, 'express'> | undefined;
    });

export interface FollowUpParts {
  readonly address: QueueAddress;
  /** From which the jobs come. */
  readonly lane: QueueLane;
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly publisher: Publisher;
  readonly journal: JournalWriter | undefined;
  /** Whether the transport is closed, and trying on would be for ever. */
  readonly isClosed: () => boolean;
  /** The connection to declare on what is missing. */
  readonly connection: () => ChannelModel | undefined;
  readonly log: RogerLog;
}

export class FollowUps {
  private complaint: string | undefined;

  constructor(private readonly parts: FollowUpParts) {}

  /** @returns whether the follow-up is safe with the broker; false when the delivery was lost meanwhile. Never rejects. */
  async carryOut(settlement: FollowUp, body: Buffer, isLost: () => boolean): Promise<boolean> {
    let delayMs = RETRY_MIN_MS;
    while (!isLost() && !this.parts.isClosed()) {
      try {
        if (settlement.kind === 'retry') await this.retry(settlement, isLost);
        else await this.bury(settlement, body, isLost);
        this.complaint = undefined;
        return true;
      } catch (error) {
        if (error instanceof WithdrawnError) return false;
        this.say(error instanceof Error ? error.message : String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
    }
    return false;
  }

  /** One line per cause, not one per job and try. */
  private say(complaint: string): void {
    if (complaint === this.complaint) return;
    this.complaint = complaint;
    this.parts.log.warn(
      `A job of ${this.queueName} can be neither retried nor buried yet: ${complaint}; trying on`,
    );
  }

  private get queueName(): string {
    return this.parts.names.queue(this.parts.address);
  }

  /** Where a job comes back that was given back too often: the express lane is for those that ledgers send. */
  get laneOfReturned(): Exclude<QueueLane, 'express'> {
    return this.parts.lane === 'express' ? 'normal' : this.parts.lane;
  }

  private async retry(
    { id, afterSeconds, body, deliveries, lane = 'normal' }: Extract<FollowUp, { kind: 'retry' }>,
    isLost: () => boolean,
  ): Promise<void> {
    const { address, names, journal, topology } = this.parts;
    const untracked = retryMessage(names, { ...address, id, body }, lane, afterSeconds, deliveries);
    const message = journal?.tracked(untracked, address, lane, afterSeconds) ?? untracked;
    if (!topology.isLaneKnown(address, lane)) {
      await this.onConnection((connection) => topology.ensureLane(connection, address, lane));
    }
    if (!this.parts.topology.isRetryLevelDeclared(afterSeconds)) await this.declareLevel(afterSeconds);
    await this.publishMending(message, isLost, () => this.declareLevel(afterSeconds));
  }

  private async bury(
    { id, reason }: Extract<Settlement, { kind: 'bury' }>,
    body: Buffer,
    isLost: () => boolean,
  ): Promise<void> {
    const message = buriedMessage(this.parts.names, this.parts.address, id, body, reason);
    await this.publishMending(message, isLost, () =>
      this.onConnection((connection) => this.parts.topology.declareQueue(connection, this.parts.address)),
    );
  }

  /** Publishes; where the target is missing it is declared, and where the buried queue is full its oldest makes room. */
  private async publishMending(
    message: BrokerMessage,
    isLost: () => boolean,
    declareTarget: () => Promise<void>,
  ): Promise<void> {
    try {
      await this.parts.publisher.publishFollowUp(message, isLost);
      return;
    } catch (error) {
      if (error instanceof UnroutableError) await declareTarget();
      else if (error instanceof RefusedError) await this.makeRoom(message.routingKey, error);
      else throw error;
    }
    await this.parts.publisher.publishFollowUp(message, isLost);
  }

  private async makeRoom(queue: string, refusal: RefusedError): Promise<void> {
    if (queue !== this.parts.names.buried(this.parts.address)) throw refusal;
    await this.onConnection((connection) => makeRoom(connection, queue, this.parts.log));
  }

  private declareLevel(seconds: number): Promise<void> {
    return this.onConnection((connection) => this.parts.topology.declareRetryLevel(connection, seconds));
  }

  private async onConnection(task: (connection: ChannelModel) => Promise<void>): Promise<void> {
    const connection = this.parts.connection();
    if (connection === undefined) throw new Error('not connected');
    await task(connection);
  }
}
