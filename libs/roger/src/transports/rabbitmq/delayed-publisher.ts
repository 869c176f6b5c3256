// Publishes jobs that are not due yet: to delay levels, which are made when first needed.
import type { ChannelModel } from 'amqplib';
import { longestLevelOf } from '../../job/delays';
import {
  BrokerUnavailableError,
  EnqueueBufferFullError,
  NotConnectedError,
  QueueFullError,
} from '../../job/errors';
import type { OutgoingJob, WhenFull } from '../../transport';
import type { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import { DelayHeaders } from './delay-headers';
import { delayedMessage } from './job-messages';
import type { JournalWriter } from './journal/journal-writer';
import type { BrokerMessage } from './broker-message';
import type { Publisher } from './publisher';
import { RefusedError, UnroutableError } from './publisher';
import { within } from './time-limit';
import type { Topology } from './topology';

export interface DelayedPublisherParts {
  readonly names: BrokerNames;
  readonly topology: Topology;
  readonly journal: JournalWriter | undefined;
  readonly publisher: Publisher;
  readonly connection: BrokerConnection;
  readonly enqueueTimeoutMs: number;
  readonly maxBufferedBytes: number;
  /** Runs a task where things are declared. @throws NotConnectedError */
  readonly onControlConnection: (task: (connection: ChannelModel) => Promise<void>) => Promise<void>;
}

export class DelayedPublisher {
  private readonly headers = new DelayHeaders();
  /** Of jobs that wait until their levels are there. */
  private bytesWaiting = 0;
  private up: Promise<unknown> | undefined;

  constructor(private readonly parts: DelayedPublisherParts) {}

  /** See the port's `publish`. */
  publish(job: OutgoingJob, seconds: number, whenFull: WhenFull): Promise<void> {
    const { lane = 'normal' } = job;
    const message = this.messageOf(job, seconds);
    const longest = longestLevelOf(seconds);
    const publish = (): Promise<void> =>
      this.parts.publisher.publish(message, whenFull, (error) =>
        this.publishAgain(job, seconds, whenFull, error),
      );
    const { topology } = this.parts;
    return topology.isDelayLevelDeclared(longest) && topology.isLaneKnown(job, lane)
      ? publish()
      : this.untilThere(longest, job).then(publish);
  }

  private messageOf(job: OutgoingJob, seconds: number): BrokerMessage {
    const { lane = 'normal' } = job;
    const message = delayedMessage(this.parts.names, this.headers, job, lane, seconds);
    return this.parts.journal?.tracked(message, job, lane, seconds) ?? message;
  }

  private async untilThere(longest: number, job: OutgoingJob): Promise<void> {
    const { length: bytes } = job.body;
    const { partition, queue, lane = 'normal' } = job;
    const { connection, enqueueTimeoutMs, maxBufferedBytes, topology } = this.parts;
    if (this.bytesWaiting + bytes > maxBufferedBytes) throw new EnqueueBufferFullError(maxBufferedBytes);
    this.bytesWaiting += bytes;
    try {
      this.up ??= connection.untilUp().finally(() => (this.up = undefined));
      if ((await within(enqueueTimeoutMs, this.up)) === 'late') throw this.unavailable();
      await this.parts.onControlConnection(async (model) => {
        await topology.ensureLane(model, { partition, queue }, lane);
        await topology.ensureDelayLevels(model, longest);
      });
    } catch (error) {
      throw error instanceof NotConnectedError ? this.unavailable(error) : error;
    } finally {
      this.bytesWaiting -= bytes;
    }
  }

  private unavailable(cause: unknown = this.parts.connection.lastFailure): BrokerUnavailableError {
    return new BrokerUnavailableError(this.parts.enqueueTimeoutMs, false, cause);
  }

  /** A level can have been deleted. One that refuses has just been, too. */
  private async publishAgain(
    job: OutgoingJob,
    seconds: number,
    whenFull: WhenFull,
    failure: Error,
  ): Promise<void> {
    const { topology, publisher, onControlConnection } = this.parts;
    if (failure instanceof UnroutableError) {
      await onControlConnection((model) => topology.declareDelayLevels(model, longestLevelOf(seconds)));
    } else if (!(failure instanceof RefusedError)) {
      throw failure;
    }
    await publisher.publish(this.messageOf(job, seconds), whenFull).catch((error: unknown) => {
      throw error instanceof RefusedError ? new QueueFullError(job.partition, job.queue) : error;
    });
  }
}
