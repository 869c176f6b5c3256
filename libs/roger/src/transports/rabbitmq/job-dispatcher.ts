// Publishes the jobs that ledgers send: each once, for whether to repeat a doubtful one is not decided here.
import { performance } from 'node:perf_hooks';
import type { ChannelModel, ConfirmChannel, Message } from 'amqplib';
import Denque from 'denque';
import { longestLevelOf } from '../../job/delays';
import { RogerClosedError } from '../../job/errors';
import type { QueueAddress } from '../../job/names';
import type { DispatchedJob } from '../../ledger-transport';
import type { QueueLane } from '../../transport';
import { DispatchDoubtfulError } from '../../ledger-transport';
import { makeRoom } from './buried-room';
import { DelayHeaders } from './delay-headers';
import { buriedMessage, delayedMessage, queuedMessage, retryMessage } from './job-messages';
import type { BrokerMessage } from './publisher';
import { NACKED, publishOptionsOf, RefusedError, UnroutableError } from './publisher';
import type { LedgerParts } from './ledger-parts';
import { StandingChannel } from './standing-channel';
import { within } from './time-limit';
import { NOT_FOUND, replyCode } from './topology';

/** More in flight gains nothing: the broker's confirms are the limit. */
const MAX_IN_FLIGHT = 1_000;
/** How often the oldest of the buried is dropped for one. */
const TRIES_TO_BURY = 5;
/**
 * A confirm that has not come by then will not: its channel may wait for a leader of the queue that is no more, as after a
 * split of the broker's cluster.
 */
const CONFIRM_LATE_MS = 30_000;
const WATCH_MS = 5_000;
/** After a refusal. */
const PAUSE_MS = 100;

interface Dispatch {
  readonly message: BrokerMessage;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  isReturned: boolean;
  sentAt: number;
}

/** What waits goes out in its order, as soon as there is a connection that takes it. */
export class JobDispatcher {
  private readonly channel: StandingChannel<ConfirmChannel>;
  private readonly delayHeaders = new DelayHeaders();
  private readonly waiting = new Denque<Dispatch>();
  private readonly inFlight = new Set<Dispatch>();
  private readonly watch: NodeJS.Timeout;
  private isClosed = false;
  private onIdle: (() => void) | undefined;

  constructor(private readonly parts: LedgerParts) {
    const { connection } = parts;
    this.channel = new StandingChannel<ConfirmChannel>(
      connection,
      {
        purpose: 'Dispatching for ledgers',
        create: (model) => model.createConfirmChannel(),
        // A missing exchange costs the channel, and makes all doubtful that is in flight.
        prepare: (model, failure) => this.declareExchanges(model, failure),
        begin: (channel) => {
          this.begin(channel);
          return Promise.resolve();
        },
        onLost: (detail) => {
          this.onLost(detail);
        },
      },
      parts.log,
    ).open();
    connection.on('unblocked', this.pump);
    this.watch = setInterval(() => {
      this.look();
    }, WATCH_MS).unref();
  }

  /** See the port's `dispatch`. */
  async dispatch(job: DispatchedJob): Promise<void> {
    const message = this.messageOf(job);
    const { route } = job;
    await this.findTarget(job);
    try {
      await this.publish(message);
    } catch (error) {
      // A message that came back or was refused has surely not arrived.
      if (error instanceof UnroutableError) await this.declareTarget(job);
      else if (!(error instanceof RefusedError)) throw error;
      // A queue refuses for a moment while it is being made or moved, too.
      else if (route.kind !== 'bury') await pause();
      await (route.kind === 'bury' ? this.publishMakingRoom(message) : this.publish(message));
    }
  }

  /** A full queue takes a message again a moment after its oldest was dropped. */
  private async publishMakingRoom(message: BrokerMessage): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.publish(message);
        return;
      } catch (error) {
        if (!(error instanceof RefusedError) || tries === TRIES_TO_BURY) throw error;
      }
      await makeRoom(await this.connected(), message.routingKey, this.parts.log);
      await pause();
    }
  }

  /** Waits for the confirms of what is in flight; then the rest is told. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosed = true;
    clearInterval(this.watch);
    for (const { reject } of this.waiting.toArray()) reject(new RogerClosedError());
    this.waiting.clear();
    this.parts.connection.off('unblocked', this.pump);
    if (this.inFlight.size > 0) {
      await within(timeoutMs, new Promise<void>((resolve) => (this.onIdle = resolve)));
    }
    const closed = this.channel.close();
    this.onLost('closed');
    await closed;
  }

  private publish(message: BrokerMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(new RogerClosedError());
        return;
      }
      this.waiting.push({ message, resolve, reject, isReturned: false, sentAt: 0 });
      this.pump();
    });
  }

  private readonly pump = (): void => {
    while (this.inFlight.size < MAX_IN_FLIGHT && this.parts.connection.blockedReason === undefined) {
      const channel = this.channel.current;
      const next = channel === undefined ? undefined : this.waiting.peekFront();
      if (channel === undefined || next === undefined || !this.send(channel, next)) return;
      this.waiting.shift();
    }
  };

  /** All that is in flight becomes doubtful by it, and is sent again. */
  private look(): void {
    const [oldest] = this.inFlight;
    if (oldest === undefined || this.parts.connection.blockedReason !== undefined) return;
    if (performance.now() - oldest.sentAt < CONFIRM_LATE_MS) return;
    const detail = 'the broker does not confirm';
    this.channel.renew(detail, new Error(detail));
  }

  /** @returns false when the channel is closing and took nothing. */
  private send(channel: ConfirmChannel, dispatch: Dispatch): boolean {
    const { exchange, routingKey, body } = dispatch.message;
    const options = publishOptionsOf(dispatch.message);
    try {
      channel.publish(exchange, routingKey, body, options, (error: unknown) => {
        // Those of a lost channel are told by its loss.
        if (this.channel.current === channel) this.onConfirm(dispatch, error);
      });
    } catch {
      return false;
    }
    dispatch.sentAt = performance.now();
    this.inFlight.add(dispatch);
    return true;
  }

  private onConfirm(dispatch: Dispatch, error: unknown): void {
    if (!this.inFlight.has(dispatch)) return;
    if (!(error instanceof Error)) this.settle(dispatch, undefined);
    else if (error.message === NACKED) this.settle(dispatch, new RefusedError('the broker refused the job'));
    else this.settle(dispatch, new DispatchDoubtfulError(error));
    this.pump();
  }

  private settle(dispatch: Dispatch, failure: Error | undefined): void {
    this.inFlight.delete(dispatch);
    if (dispatch.isReturned) {
      dispatch.reject(new UnroutableError('no queue takes the job'));
    } else if (failure === undefined) {
      dispatch.message.onKept?.();
      dispatch.resolve();
    } else {
      dispatch.reject(failure);
    }
    if (this.inFlight.size === 0) this.onIdle?.();
  }

  private begin(channel: ConfirmChannel): void {
    channel.on('return', (message: Message) => {
      this.onReturn(message);
    });
    this.pump();
  }

  private onReturn({ fields, properties }: Message): void {
    for (const dispatch of this.inFlight) {
      const { messageId, routingKey } = dispatch.message;
      if (!dispatch.isReturned && messageId === properties.messageId && routingKey === fields.routingKey) {
        dispatch.isReturned = true;
        return;
      }
    }
  }

  private onLost(detail: string): void {
    for (const dispatch of this.inFlight) {
      this.settle(dispatch, new DispatchDoubtfulError(new Error(detail)));
    }
  }

  private messageOf(job: DispatchedJob): BrokerMessage {
    const { names } = this.parts;
    const lane = laneOf(job);
    switch (job.route.kind) {
      case 'normal':
      case 'express':
        return this.tracked(job, queuedMessage(names, job, lane), lane);
      case 'retry': {
        const { afterSeconds } = job.route;
        return this.tracked(job, retryMessage(names, job, lane, afterSeconds), lane, afterSeconds);
      }
      case 'delay': {
        const { seconds } = job.route;
        const message = delayedMessage(names, this.delayHeaders, job, lane, seconds);
        return this.tracked(job, message, lane, seconds);
      }
      case 'bury':
        return buriedMessage(names, job, job.id, job.body, job.route.reason);
    }
  }

  private tracked(
    job: DispatchedJob,
    message: BrokerMessage,
    lane: QueueLane,
    afterSeconds = 0,
  ): BrokerMessage {
    return this.parts.journal?.tracked(message, job, lane, afterSeconds) ?? message;
  }

  /** Levels are made when first needed, and so are the lanes that they lead to. */
  private async findTarget(job: DispatchedJob): Promise<void> {
    const { topology } = this.parts;
    const { route } = job;
    const lane = laneOf(job);
    if ((route.kind === 'retry' || route.kind === 'delay') && !topology.isLaneKnown(job, lane)) {
      await topology.ensureLane(await this.connected(), addressOf(job), lane);
    }
    if (route.kind === 'retry' && !topology.isRetryLevelDeclared(route.afterSeconds)) {
      await topology.declareRetryLevel(await this.connected(), route.afterSeconds);
    } else if (route.kind === 'delay' && !topology.isDelayLevelDeclared(longestLevelOf(route.seconds))) {
      await topology.ensureDelayLevels(await this.connected(), longestLevelOf(route.seconds));
    }
  }

  private async declareTarget(job: DispatchedJob): Promise<void> {
    const { topology } = this.parts;
    const model = await this.connected();
    if (job.route.kind === 'retry') await topology.declareRetryLevel(model, job.route.afterSeconds);
    else if (job.route.kind === 'delay')
      await topology.declareDelayLevels(model, longestLevelOf(job.route.seconds));
    else await topology.declareQueue(model, addressOf(job));
    const lane = laneOf(job);
    if ((job.route.kind === 'normal' || job.route.kind === 'express') && lane !== 'normal') {
      await topology.makeLane(model, addressOf(job), lane);
    }
  }

  private async declareExchanges(model: ChannelModel, failure: Error | undefined): Promise<void> {
    if (replyCode(failure) === NOT_FOUND) await this.parts.topology.redeclare(model);
    else await this.parts.topology.declareJobs(model);
  }

  private connected(): Promise<ChannelModel> {
    return this.isClosed ? Promise.reject(new RogerClosedError()) : this.parts.connection.untilUp();
  }
}

/** What is known by its queue is kept for good; the job is not. */
function addressOf({ partition, queue }: DispatchedJob): QueueAddress {
  return { partition, queue };
}

function laneOf({ lane, route }: DispatchedJob): QueueLane {
  return lane ?? (route.kind === 'express' ? 'express' : 'normal');
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
