// Publishes the jobs that ledgers send: each once, for whether to repeat a doubtful one is not decided here.
import type { ChannelModel } from 'amqplib';
import { longestLevelOf } from '../../job/delays';
import { RogerClosedError } from '../../job/errors';
import type { QueueAddress } from '../../job/names';
import type { DispatchedJob } from '../../ledger-transport';
import type { QueueLane } from '../../transport';
import { DispatchDoubtfulError } from '../../ledger-transport';
import type { BrokerMessage } from './broker-message';
import { makeRoom } from './buried-room';
import { DelayHeaders } from './delay-headers';
import { buriedMessage, delayedMessage, queuedMessage, retryMessage } from './job-messages';
import type { LedgerParts } from './ledger-parts';
import { OutgoingMessages } from './outgoing-messages';
import type { Arrival } from './passage';
import { RefusedError, UnroutableError } from './publisher';
import { NOT_FOUND, replyCode } from './topology';

/** How often the oldest of the buried is dropped for one. */
const TRIES_TO_BURY = 5;
/** What is not confirmed by then is dispatched again, under another number. */
const GIVE_UP_MS = { first: 5_000, most: 30_000 };
/** After a refusal. */
const PAUSE_MS = 100;

/** What waits for a queue goes out in its order, as soon as there is a connection that takes it. */
export class JobDispatcher {
  private readonly outgoing: OutgoingMessages;
  private readonly delayHeaders = new DelayHeaders();
  private isClosed = false;

  constructor(private readonly parts: LedgerParts) {
    const { connection, names, log } = parts;
    this.outgoing = new OutgoingMessages({
      connection,
      names,
      log,
      purpose: 'Dispatching for ledgers',
      giveUpMs: GIVE_UP_MS,
      // A missing exchange costs the channel, and makes all doubtful that is in flight.
      prepare: (model, failure) => this.declareExchanges(model, failure),
    });
  }

  /** See the port's `dispatch`. */
  async dispatch(job: DispatchedJob): Promise<void> {
    const message = this.messageOf(job);
    const { route } = job;
    await this.findTarget(job);
    try {
      await this.publish(message, () => this.declareTarget(job));
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
    for (const outgoing of this.outgoing.withdraw()) outgoing.onEnd(new RogerClosedError());
    await this.outgoing.close(timeoutMs);
  }

  /** With `declare`, which is called once, what finds no queue is sent again. */
  private publish(message: BrokerMessage, declare?: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(new RogerClosedError());
        return;
      }
      let isMended = declare === undefined;
      let failure: Error | undefined;
      this.outgoing.submit({
        message,
        isWanted: () => true,
        mend: async () => {
          if (isMended) return false;
          isMended = true;
          await declare?.().catch((error: unknown) => {
            failure = error instanceof Error ? error : new Error(String(error));
          });
          return failure === undefined;
        },
        onEnd: (arrival) => {
          if (arrival === 'kept') resolve();
          else reject(failure ?? failureOf(arrival));
        },
      });
    });
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

function failureOf(arrival: Exclude<Arrival, 'kept'>): Error {
  if (arrival === 'returned') return new UnroutableError('no queue takes the job');
  if (arrival === 'refused') return new RefusedError('the broker refused the job');
  return arrival instanceof RogerClosedError ? arrival : new DispatchDoubtfulError(arrival);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
