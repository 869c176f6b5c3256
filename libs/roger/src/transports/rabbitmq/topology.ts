// Declares Roger's queues and exchanges on the broker, each target before what points to it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { secondsOfLevel } from '../../job/delays';
import {
  BrokerRefusedError,
  LedgerShardsMismatchError,
  RogerError,
  TopologyMismatchError,
} from '../../job/errors';
import type { QueueAddress } from '../../job/names';
import type { QueueLane } from '../../transport';
import type { BrokerNames } from './broker-names';
import { levelHeader } from './broker-names';
import { bodyOfLane } from './lane-records';

/** Where the limit must not bite: RabbitMQ 4 puts 20 on queues that say nothing, and 3.10 takes no "unlimited". */
const PRACTICALLY_UNLIMITED_DELIVERIES = 1_000_000_000;
/** A request older than this has long been sent again. */
const REQUEST_TTL_MS = 30_000;
/** Notices of buried jobs that nobody takes; the jobs themselves are kept elsewhere. */
const MAX_NOTICES = 100_000;
/** A queue that was deleted is there again within this, if anybody serves it. */
const HOMELESS_SECONDS = 10;
/** So long after the start of a broker its queues may not be there yet, and so often they are asked for again. */
const COMING_UP_MS = 5_000;
const COMING_UP_AGAIN_MS = 100;
const MAX_SEGMENT_BYTES = 50 * 1024 * 1024;
const PRECONDITION_FAILED = 406;
export const ACCESS_REFUSED = 403;
export const NOT_FOUND = 404;
export const INTERNAL_ERROR = 541;

export interface TopologyOptions {
  readonly deliveryLimit: number;
  readonly maxBuriedQueueSize: number;
  readonly ledgerShards: number;
  /** Of the queues' journals; undefined: they have none. */
  readonly journal: JournalLimits | undefined;
}

export interface LaneOfQueue {
  readonly address: QueueAddress;
  readonly lane: QueueLane;
}

/** How much a queue's journal keeps. */
export interface JournalLimits {
  readonly maxAgeSeconds: number;
  readonly maxBytes: number;
}

/**
 * Everything that holds jobs is durable and quorum, and dead-letters at least once: without that, a broker node that
 * dies at the wrong moment drops what is on its way between two queues.
 */
export class Topology {
  private readonly queues = new Map<string, LaneOfQueue>();
  /** Lanes that others have made, by name. */
  private readonly seenLanes = new Set<string>();
  private readonly retryLevels = new Set<number>();
  /** All levels up to this one are there; -1: none is known to be. */
  private longestDelayLevel = -1;
  /** On which connections what all queues share has been declared, and not been found missing since. */
  private readonly shared = new WeakSet<ChannelModel>();
  /** By connection: what waits on one that is half-open must not hold up another. */
  private readonly underWay = new WeakMap<ChannelModel, Map<string, Promise<unknown>>>();

  constructor(
    private readonly names: BrokerNames,
    private readonly options: TopologyOptions,
  ) {}

  /** How often the broker delivers a job again before it buries it. */
  get deliveryLimit(): number {
    return this.options.deliveryLimit;
  }

  /** @throws TopologyMismatchError, BrokerRefusedError */
  declareQueue(connection: ChannelModel, address: QueueAddress, lane: QueueLane = 'normal'): Promise<void> {
    return this.once(connection, `declare ${this.names.lane(address, lane)}`, () =>
      this.declareQueueNow(connection, address, lane),
    );
  }

  private async declareQueueNow(
    connection: ChannelModel,
    address: QueueAddress,
    lane: QueueLane,
  ): Promise<void> {
    const declare = (): Promise<void> =>
      withChannel(connection, (channel) => this.declareQueueOn(connection, channel, address, lane));
    try {
      await declare();
    } catch (error) {
      if (replyCode(error) !== NOT_FOUND) throw error;
      // What all queues share was there, and has been deleted.
      await declare();
    }
  }

  /**
   * The same on a channel of the caller's, which is lost when the broker refuses. Where it says that something is missing
   * (NOT_FOUND), it works on another channel.
   */
  async declareQueueOn(
    connection: ChannelModel,
    channel: Channel,
    address: QueueAddress,
    lane: QueueLane,
  ): Promise<void> {
    const name = this.names.lane(address, lane);
    const buried = this.names.buried(address);
    try {
      await this.declareShared(connection, channel);
      await declareQuorumQueue(channel, buried, this.buriedArguments());
      // What the broker buries goes to its queue, and a copy to whoever watches.
      for (const queue of [buried, this.names.buriedNotices]) {
        await bind(channel, queue, this.names.buriedExchange, buried);
      }
      await declareQuorumQueue(channel, name, this.jobArguments(buried));
      // The default exchange leads to an express lane, and nothing comes home to it.
      if (lane !== 'express') {
        await bind(channel, name, this.names.jobsExchange, name);
        await bind(channel, name, this.names.homeExchange, name);
      }
    } catch (error) {
      this.shared.delete(connection);
      throw error;
    }
    if (lane === 'normal' && this.options.journal !== undefined) {
      await this.declareJournal(connection, address, this.options.journal);
    }
    this.queues.set(name, { address, lane });
  }

  /**
   * Makes a lane of a queue that is there: it is written down first, so that one that can be reached is one that all know,
   * and once more after it: to take from a queue that another connection is declaring can cost one's own.
   * @throws TopologyMismatchError, BrokerRefusedError
   */
  makeLane(connection: ChannelModel, address: QueueAddress, lane: QueueLane): Promise<void> {
    return this.once(connection, `make ${this.names.lane(address, lane)}`, async () => {
      await this.declareLaneRecords(connection);
      await this.recordLanes(connection, [{ address, lane }], false);
      await this.declareQueueNow(connection, address, lane);
      // Without it workers wait for a moment, and then take from it all the same.
      await this.recordLanes(connection, [{ address, lane }], true).catch(() => undefined);
    });
  }

  /**
   * Makes sure of a lane to which something comes later, by a level: nobody tells then that it is missing.
   * @throws TopologyMismatchError, BrokerRefusedError
   */
  async ensureLane(connection: ChannelModel, address: QueueAddress, lane: QueueLane): Promise<void> {
    const name = this.names.lane(address, lane);
    if (this.isLaneKnown(address, lane)) return;
    try {
      await withChannel(connection, (channel) => channel.checkQueue(name));
    } catch (error) {
      if (replyCode(error) !== NOT_FOUND) throw error;
      await this.makeLane(connection, address, lane);
    }
    this.seenLanes.add(name);
  }

  /** Whether this process has declared or found it. The normal one is its worker's to declare. */
  isLaneKnown(address: QueueAddress, lane: QueueLane): boolean {
    const name = this.names.lane(address, lane);
    return lane === 'normal' || this.queues.has(name) || this.seenLanes.has(name);
  }

  /**
   * Makes sure of the stream that tells which lanes there are. A new one is told of those that are known here.
   * @throws TopologyMismatchError, BrokerRefusedError
   */
  ensureLaneRecords(connection: ChannelModel, whenMissing: () => Iterable<LaneOfQueue>): Promise<void> {
    return this.once(connection, 'declare lanes', async () => {
      try {
        await withChannel(connection, (channel) => channel.checkQueue(this.names.lanes));
      } catch (error) {
        if (replyCode(error) !== NOT_FOUND) throw error;
        const lanes = [...whenMissing()];
        await this.declareLaneRecords(connection);
        await this.recordLanes(connection, lanes, true);
      }
    });
  }

  /** Writes down lanes that the stream tells of no more. @throws TopologyMismatchError, BrokerRefusedError */
  recordLanesAgain(connection: ChannelModel, lanes: readonly LaneOfQueue[]): Promise<void> {
    return this.once(connection, 'record lanes again', async () => {
      await this.declareLaneRecords(connection);
      await this.recordLanes(connection, lanes, true);
    });
  }

  /** By the jobs exchange, so that who may enqueue may write there. */
  private async declareLaneRecords(connection: ChannelModel): Promise<void> {
    const { lanes, jobsExchange } = this.names;
    const declare = (): Promise<void> =>
      withChannel(connection, async (channel) => {
        await this.declareJobsExchange(channel);
        const args = { 'x-queue-type': 'stream' };
        await naming(`queue ${lanes}`, channel.assertQueue(lanes, { durable: true, arguments: args }));
        await bind(channel, lanes, jobsExchange, lanes);
      });
    const deadline = performance.now() + COMING_UP_MS;
    for (;;) {
      try {
        await declare();
        return;
      } catch (error) {
        // A broker that has just started says that the home of a queue is down: until its leader has been found.
        if (replyCode(error) !== NOT_FOUND || performance.now() > deadline) throw error;
        await sleep(COMING_UP_AGAIN_MS);
      }
    }
  }

  private async recordLanes(
    connection: ChannelModel,
    lanes: readonly LaneOfQueue[],
    isMade: boolean,
  ): Promise<void> {
    if (lanes.length === 0) return;
    const channel: ConfirmChannel = await connection.createConfirmChannel();
    let failure: Error | undefined;
    channel.on('error', (error: Error) => {
      failure = error;
    });
    channel.on('return', () => {
      failure = new Error(`the stream ${this.names.lanes} takes nothing`);
    });
    try {
      for (const { address, lane } of lanes) {
        const options = { persistent: true, mandatory: true };
        channel.publish(
          this.names.jobsExchange,
          this.names.lanes,
          bodyOfLane({ address, lane, isMade }),
          options,
        );
      }
      await channel.waitForConfirms();
    } catch (error) {
      throw failure ?? error;
    } finally {
      channel.close().catch(() => undefined);
    }
    if (failure !== undefined) throw failure;
  }

  /** An aid for people: one that is there with other limits is taken as it is. */
  private async declareJournal(
    connection: ChannelModel,
    address: QueueAddress,
    { maxAgeSeconds, maxBytes }: JournalLimits,
  ): Promise<void> {
    const name = this.names.journal(address);
    const isThere = await withChannel(connection, (channel) => channel.checkQueue(name)).then(
      () => true,
      (error: unknown) => {
        if (replyCode(error) === NOT_FOUND) return false;
        throw error;
      },
    );
    await withChannel(connection, async (channel) => {
      if (!isThere) {
        const args = {
          'x-queue-type': 'stream',
          'x-max-age': `${maxAgeSeconds}s`,
          'x-max-length-bytes': maxBytes,
          // A stream forgets a whole segment at a time.
          'x-stream-max-segment-size-bytes': Math.min(MAX_SEGMENT_BYTES, Math.ceil(maxBytes / 8)),
        };
        await naming(`queue ${name}`, channel.assertQueue(name, { durable: true, arguments: args }));
      }
      await declareExchange(channel, this.names.journalExchange, 'direct');
      await bind(channel, name, this.names.journalExchange, this.names.queue(address));
    });
  }

  /** @throws TopologyMismatchError, BrokerRefusedError */
  declareJournalExchange(connection: ChannelModel): Promise<void> {
    return this.once(connection, 'declare journal', () =>
      withChannel(connection, (channel) => declareExchange(channel, this.names.journalExchange, 'direct')),
    );
  }

  /** Once per connection: a thousand queues would else ask for it a thousand times. */
  private async declareShared(connection: ChannelModel, channel: Channel): Promise<void> {
    if (this.shared.has(connection)) return;
    await this.declareJobsExchange(channel);
    await this.declareNoticesOn(channel);
    await this.declareHomeExchange(channel);
    this.shared.add(connection);
  }

  private async declareNoticesOn(channel: Channel): Promise<void> {
    await declareExchange(channel, this.names.buriedExchange, 'direct');
    await declareQuorumQueue(channel, this.names.buriedNotices, {
      'x-queue-type': 'quorum',
      'x-delivery-limit': PRACTICALLY_UNLIMITED_DELIVERIES,
      // No reject-publish: full, it would stall the dead-lettering of every queue.
      'x-max-length': MAX_NOTICES,
    });
  }

  /** Declares the queue that tells of jobs that the broker has buried. @throws TopologyMismatchError, BrokerRefusedError */
  declareNotices(connection: ChannelModel): Promise<void> {
    return this.once(connection, 'declare notices', () =>
      withChannel(connection, (channel) => this.declareNoticesOn(channel)),
    );
  }

  /** @throws TopologyMismatchError, BrokerRefusedError */
  declareSystemExchange(connection: ChannelModel): Promise<void> {
    return this.once(connection, 'declare system', () =>
      withChannel(connection, (channel) => declareExchange(channel, this.names.systemExchange, 'fanout')),
    );
  }

  /**
   * Whether ledgers have been used.
   * @throws LedgerShardsMismatchError when they were made for another number of ledgers
   */
  async checkLedgerCount(connection: ChannelModel): Promise<boolean> {
    try {
      await withChannel(connection, (channel) => channel.checkQueue(this.names.ledgerCount));
    } catch (error) {
      if (replyCode(error) === NOT_FOUND) return false;
      throw error;
    }
    await withChannel(connection, (channel) => this.declareLedgerCount(channel));
    return true;
  }

  /** The number stands in the arguments of a queue that nobody uses, for that is what a broker compares. */
  private async declareLedgerCount(channel: Channel): Promise<void> {
    const { ledgerShards } = this.options;
    const queue = this.names.ledgerCount;
    try {
      await channel.assertQueue(queue, {
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-max-length': ledgerShards },
      });
    } catch (error) {
      if (replyCode(error) !== PRECONDITION_FAILED) throw error;
      const current = /current is (?:the value )?'(\d+)'/.exec(
        error instanceof Error ? error.message : '',
      )?.[1];
      throw new LedgerShardsMismatchError(
        ledgerShards,
        current === undefined ? undefined : Number(current),
        queue,
      );
    }
  }

  /**
   * Declares a ledger's queue of requests and its log.
   * @throws LedgerShardsMismatchError, TopologyMismatchError, BrokerRefusedError
   */
  declareLedger(connection: ChannelModel, ledger: number): Promise<void> {
    return this.once(connection, `declare ledger ${ledger}`, () =>
      withChannel(connection, async (channel) => {
        await this.declareLedgerCount(channel);
        const common = {
          'x-queue-type': 'quorum',
          'x-delivery-limit': PRACTICALLY_UNLIMITED_DELIVERIES,
        };
        await declareQuorumQueue(channel, this.names.ledger(ledger), {
          ...common,
          'x-message-ttl': REQUEST_TTL_MS,
        });
        await declareQuorumQueue(channel, this.names.ledgerLog(ledger), {
          ...common,
          'x-single-active-consumer': true,
        });
      }),
    );
  }

  /** @throws BrokerRefusedError */
  declareJobs(connection: ChannelModel): Promise<void> {
    return this.once(connection, 'declare jobs', () =>
      withChannel(connection, (channel) => this.declareJobsExchange(channel)),
    );
  }

  /** @throws TopologyMismatchError, BrokerRefusedError */
  declareRetryLevel(connection: ChannelModel, seconds: number): Promise<void> {
    return this.once(connection, `declare level ${seconds}`, () =>
      this.declareRetryLevelNow(connection, seconds),
    );
  }

  private async declareRetryLevelNow(connection: ChannelModel, seconds: number): Promise<void> {
    const name = this.names.retryLevel(seconds);
    await withChannel(connection, async (channel) => {
      await this.declareJobsExchange(channel);
      await this.declareHomeless(channel);
      await this.declareHomeExchange(channel);
      await declareQuorumQueue(channel, name, this.passingOnArguments(seconds, this.names.homeExchange));
      // An exchange before the queue lets a message keep the routing key that leads it home when its time is over.
      await declareExchange(channel, name, 'fanout');
      await channel.bindQueue(name, name, '');
    });
    this.retryLevels.add(seconds);
  }

  isDelayLevelDeclared(level: number): boolean {
    return level <= this.longestDelayLevel;
  }

  /** Makes sure of a level and all shorter ones, which are there if it is. @throws TopologyMismatchError, BrokerRefusedError */
  ensureDelayLevels(connection: ChannelModel, longest: number): Promise<void> {
    return this.once(connection, `look for delay level ${longest}`, async () => {
      try {
        // Whoever may not declare anything may find what others have declared.
        await withChannel(connection, (channel) => channel.checkExchange(this.names.delayLevel(longest)));
      } catch (error) {
        if (replyCode(error) !== NOT_FOUND) throw error;
        await this.declareDelayLevels(connection, longest);
      }
      this.longestDelayLevel = Math.max(this.longestDelayLevel, longest);
    });
  }

  /** Declares a level and all shorter ones. @throws TopologyMismatchError, BrokerRefusedError */
  declareDelayLevels(connection: ChannelModel, longest: number): Promise<void> {
    return this.once(connection, `declare delay level ${longest}`, () =>
      withChannel(connection, async (channel) => {
        await this.declareJobsExchange(channel);
        await this.declareHomeless(channel);
        await this.declareHomeExchange(channel);
        for (let level = 0; level <= longest; level++) await this.declareDelayLevel(channel, level);
        this.longestDelayLevel = Math.max(this.longestDelayLevel, longest);
      }),
    );
  }

  /**
   * A message spends the time of a level or passes it by, as its header says. Its queue comes before its exchange: who
   * finds the exchange relies on all that is behind it.
   */
  private async declareDelayLevel(channel: Channel, level: number): Promise<void> {
    const { homeExchange } = this.names;
    const name = this.names.delayLevel(level);
    const next = level === 0 ? homeExchange : this.names.delayLevel(level - 1);
    await declareQuorumQueue(channel, name, this.passingOnArguments(secondsOfLevel(level), next));
    await declareExchange(channel, name, 'headers');
    const when = (isSpent: boolean) => ({ 'x-match': 'all', [levelHeader(level)]: isSpent });
    await naming(`the binding of queue ${name}`, channel.bindQueue(name, name, '', when(true)));
    await naming(`the binding of exchange ${next}`, channel.bindExchange(next, name, '', when(false)));
  }

  /** Where each queue has its due jobs from, delayed or to be retried: apart from the jobs exchange, for it sends on what it can't route. */
  private declareHomeExchange(channel: Channel): Promise<void> {
    return declareExchange(channel, this.names.homeExchange, 'direct', this.names.homeless);
  }

  /** A few jobs whose queue is missing would hold up all that are behind them in their level. */
  private async declareHomeless(channel: Channel): Promise<void> {
    const { homeless, jobsExchange } = this.names;
    await declareQuorumQueue(channel, homeless, this.passingOnArguments(HOMELESS_SECONDS, jobsExchange));
    await declareExchange(channel, homeless, 'fanout');
    await bind(channel, homeless, homeless, '');
  }

  /**
   * Binds a queue that exists again, for the case that the jobs exchange was deleted and declared anew.
   * @returns false when there is no such queue.
   */
  rebindQueue(connection: ChannelModel, address: QueueAddress): Promise<boolean> {
    const name = this.names.queue(address);
    return this.once(connection, `bind ${name}`, () => this.rebindQueueNow(connection, name));
  }

  private async rebindQueueNow(connection: ChannelModel, name: string): Promise<boolean> {
    try {
      await withChannel(connection, async (channel) => {
        await channel.checkQueue(name);
        await channel.bindQueue(name, this.names.jobsExchange, name);
      });
      return true;
    } catch (error) {
      if (replyCode(error) === NOT_FOUND) return false;
      throw error;
    }
  }

  isRetryLevelDeclared(seconds: number): boolean {
    return this.retryLevels.has(seconds);
  }

  /** Declares again all that this process has declared before: after something was found missing. */
  async redeclare(connection: ChannelModel): Promise<void> {
    this.shared.delete(connection);
    await withChannel(connection, (channel) => this.declareShared(connection, channel));
    for (const { address, lane } of this.queues.values()) await this.declareQueue(connection, address, lane);
    for (const seconds of this.retryLevels) await this.declareRetryLevel(connection, seconds);
    if (this.longestDelayLevel >= 0) await this.declareDelayLevels(connection, this.longestDelayLevel);
  }

  /** A thousand jobs that meet the same missing queue ask for it once: each asking takes a channel. */
  private async once<T>(connection: ChannelModel, what: string, task: () => Promise<T>): Promise<T> {
    const underWay = this.underWay.get(connection) ?? new Map<string, Promise<unknown>>();
    this.underWay.set(connection, underWay);
    const running = underWay.get(what) as Promise<T> | undefined;
    if (running !== undefined) return running;
    const started = task().finally(() => underWay.delete(what));
    underWay.set(what, started);
    return started;
  }

  private declareJobsExchange(channel: Channel): Promise<void> {
    return declareExchange(channel, this.names.jobsExchange, 'direct');
  }

  private jobArguments(buried: string): Record<string, unknown> {
    return {
      'x-queue-type': 'quorum',
      'x-delivery-limit': this.options.deliveryLimit,
      'x-dead-letter-exchange': this.names.buriedExchange,
      'x-dead-letter-routing-key': buried,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    };
  }

  private buriedArguments(): Record<string, unknown> {
    return {
      'x-queue-type': 'quorum',
      'x-delivery-limit': PRACTICALLY_UNLIMITED_DELIVERIES,
      'x-max-length': this.options.maxBuriedQueueSize,
      'x-overflow': 'reject-publish',
    };
  }

  /** Of a queue that keeps each message for so long and then passes it on. */
  private passingOnArguments(seconds: number, to: string): Record<string, unknown> {
    return {
      'x-queue-type': 'quorum',
      'x-delivery-limit': PRACTICALLY_UNLIMITED_DELIVERIES,
      'x-message-ttl': seconds * 1000,
      'x-dead-letter-exchange': to,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    };
  }
}

/**
 * Runs a task on a channel of its own: the broker closes a channel on the first thing it doesn't like, and that must
 * not hit one that carries jobs.
 */
export async function withChannel<T>(
  connection: ChannelModel,
  task: (channel: Channel) => Promise<T>,
): Promise<T> {
  const { channel, failure, close } = await openChannel(connection);
  try {
    return await task(channel);
  } catch (error) {
    // The channel's own reason says more than "no reply will be forthcoming"; what was already explained stays.
    throw error instanceof RogerError ? error : (failure() ?? error);
  } finally {
    await close();
  }
}

/** A channel of one's own, for longer than a task. */
export async function openChannel(connection: ChannelModel): Promise<{
  readonly channel: Channel;
  /** Why the broker has closed it. */
  readonly failure: () => Error | undefined;
  readonly close: () => Promise<void>;
}> {
  const channel = await connection.createChannel();
  let failure: Error | undefined;
  channel.on('error', (error: Error) => {
    failure = error;
  });
  // amqplib's close() never settles when the connection is lost under it; the event comes either way.
  const closed = new Promise<void>((resolve) => channel.once('close', resolve));
  const close = (): Promise<void> => {
    channel.close().catch(() => undefined);
    return closed;
  };
  return { channel, failure: () => failure, close };
}

/** The AMQP reply code of an error, where it has one. */
export function replyCode(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

function declareExchange(
  channel: Channel,
  name: string,
  type: 'direct' | 'fanout' | 'headers',
  alternateExchange?: string,
): Promise<void> {
  const options = { durable: true, ...(alternateExchange === undefined ? {} : { alternateExchange }) };
  return naming(`exchange ${name}`, channel.assertExchange(name, type, options));
}

function declareQuorumQueue(channel: Channel, name: string, args: Record<string, unknown>): Promise<void> {
  return naming(`queue ${name}`, channel.assertQueue(name, { durable: true, arguments: args }));
}

function bind(channel: Channel, queue: string, exchange: string, key: string): Promise<void> {
  return naming(`the binding of queue ${queue}`, channel.bindQueue(queue, exchange, key));
}

async function naming(object: string, declaration: Promise<unknown>): Promise<void> {
  try {
    await declaration;
  } catch (error) {
    if (replyCode(error) === PRECONDITION_FAILED)
      throw new TopologyMismatchError(object, detailOf(error), error);
    if (replyCode(error) === ACCESS_REFUSED) throw new BrokerRefusedError(`declare ${object}`, error);
    throw error;
  }
}

/** RabbitMQ names the argument between quotes: `inequivalent arg 'x-max-length' for queue … received … current is …`. */
function detailOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /inequivalent arg.*?(?="?$)/s.exec(text)?.[0] ?? text;
}
