// Carries jobs over RabbitMQ: puts connection, topology, publisher and subscriptions together.
import type { Channel, ChannelModel } from 'amqplib';
import {
  BrokerRefusedError,
  BrokerUnavailableError,
  ManagementUnavailableError,
  NotConnectedError,
  QueueFullError,
  QueueNotFoundError,
  RogerError,
} from '../../job/errors';
import type { RogerLog } from '../../job/log';
import { EXTRA_LANES } from '../../job/lanes';
import type { QueueAddress } from '../../job/names';
import type {
  BuriedVisitor,
  DeliveryConsumer,
  LevelDepths,
  OutgoingJob,
  QueueDepth,
  QueueDetails,
  QueueLane,
  QueueLook,
  Subscription,
  Transport,
  TransportState,
  WhenFull,
} from '../../transport';
import { BrokerConnection } from './broker-connection';
import { BrokerNames } from './broker-names';
import type { RabbitmqConnectionOptions } from './connection-options';
import { ConsumingConnections } from './consuming-connections';
import { DelayedPublisher } from './delayed-publisher';
import { DoubtfulQueues } from './doubtful-queues';
import { FairTurns } from './fair-turns';
import { FollowUps } from './follow-ups';
import { queuedMessage } from './job-messages';
import { readJournal } from './journal/journal-reader';
import { LaneRegistry } from './lane-registry';
import type { LaneFollower } from './lane-registry';
import { JournalWriter } from './journal/journal-writer';
import { StandingJobs } from './journal/standing-jobs';
import type { BrokerMessage } from './broker-message';
import { Publisher, RefusedError, UnroutableError } from './publisher';
import { visitMessages } from './buried-visit';
import { removeMessages } from './queue-removal';
import { countLevels } from './level-depths';
import { ManagementApi } from './management-api';
import { RabbitmqLedgerTransport } from './rabbitmq.ledger-transport';
import { RabbitmqSubscription } from './rabbitmq.subscription';
import { SubscriptionWatch } from './subscription-watch';
import { within } from './time-limit';
import type { TopologyOptions } from './topology';
import { ACCESS_REFUSED, NOT_FOUND, replyCode, Topology, withChannel } from './topology';

/** What a connection that is no longer needed may take to say goodbye. */
const FAREWELL_MS = 3_000;

export interface RabbitmqTransportOptions extends TopologyOptions {
  readonly connection: RabbitmqConnectionOptions;
  readonly namespace: string | undefined;
  readonly enqueueTimeoutMs: number;
  readonly maxBufferedBytes: number;
}

/**
 * Two connections (and more to consume on, where there are very many queues or one that doesn't answer): under a memory alarm the broker stops reading from who publishes, and acks must still get through.
 * The ledgers have a third.
 */
export class RabbitmqTransport implements Transport {
  /** The other port, by the same names on the same broker; connects when first used. */
  readonly ledgers: RabbitmqLedgerTransport;
  private readonly names: BrokerNames;
  private readonly topology: Topology;
  private readonly publishing: BrokerConnection;
  private readonly consuming: ConsumingConnections;
  private readonly watch = new SubscriptionWatch();
  private readonly turns = new FairTurns();
  private readonly doubtful: DoubtfulQueues;
  private readonly publisher: Publisher;
  private readonly delays: DelayedPublisher;
  private readonly journal: JournalWriter | undefined;
  private readonly management: ManagementApi | undefined;
  /** Read by who asks for lanes; a process that only enqueues doesn't. */
  private readLanes: LaneRegistry | undefined;
  private readonly subscriptions = new Set<RabbitmqSubscription>();
  private isOpen = false;
  private isClosed = false;

  constructor(
    private readonly options: RabbitmqTransportOptions,
    private readonly log: RogerLog,
  ) {
    this.names = new BrokerNames(options.namespace);
    this.topology = new Topology(this.names, options);
    this.publishing = new BrokerConnection('publishing', options.connection, log);
    this.consuming = new ConsumingConnections(options.connection, log);
    this.publisher = new Publisher(
      this.publishing,
      {
        names: this.names,
        timeoutMs: options.enqueueTimeoutMs,
        maxBufferedBytes: options.maxBufferedBytes,
      },
      log,
      (connection) => this.topology.redeclare(connection),
    );
    const { names, topology } = this;
    this.doubtful = new DoubtfulQueues({ connection: options.connection, names, topology, log });
    this.journal =
      options.journal === undefined
        ? undefined
        : new JournalWriter({ names, topology, connection: this.publishing, log });
    const { journal } = this;
    const { managementUri } = options.connection;
    this.management =
      managementUri === undefined
        ? undefined
        : new ManagementApi(managementUri, vhostOf(options.connection.uri));
    this.delays = new DelayedPublisher({
      names,
      topology,
      journal,
      publisher: this.publisher,
      connection: this.publishing,
      enqueueTimeoutMs: options.enqueueTimeoutMs,
      maxBufferedBytes: options.maxBufferedBytes,
      onControlConnection: (task) => this.inTime(answered(task(this.controlConnection()))),
    });
    this.ledgers = new RabbitmqLedgerTransport({
      connection: options.connection,
      timeoutMs: options.enqueueTimeoutMs,
      names,
      topology,
      journal,
      log,
    });
  }

  describe(): string {
    return `RabbitMQ ${this.publishing.brokerVersion ?? '(not connected yet)'}`;
  }

  get state(): TransportState {
    if (this.isClosed || !this.isOpen) return 'closed';
    if (this.publishing.blockedReason !== undefined) return 'blocked';
    const isUp = this.publishing.current !== undefined && this.consuming.areUp;
    return isUp ? 'connected' : 'connecting';
  }

  open(): void {
    if (this.isClosed) return;
    this.isOpen = true;
    this.publishing.open();
  }

  get isFull(): boolean {
    return this.publisher.isFull;
  }

  publish(job: OutgoingJob, whenFull: WhenFull = 'refuse'): Promise<void> {
    this.open();
    const { afterSeconds = 0, lane = 'normal' } = job;
    if (afterSeconds > 0) return this.delays.publish(job, afterSeconds, whenFull);
    const untracked = queuedMessage(this.names, job, lane);
    const message = this.journal?.tracked(untracked, job, lane) ?? untracked;
    return this.publisher.publish(message, whenFull, (error) =>
      this.publishAgain(job, message, error, whenFull),
    );
  }

  declareQueue(address: QueueAddress): Promise<void> {
    return this.inTime(answered(this.topology.declareQueue(this.controlConnection(), address)));
  }

  consume(
    address: QueueAddress,
    prefetch: number,
    consumer: DeliveryConsumer,
    lane: QueueLane = 'normal',
  ): Subscription {
    this.open();
    const connection = this.consuming.take();
    const followUps = new FollowUps({
      address,
      lane,
      names: this.names,
      topology: this.topology,
      publisher: this.publisher,
      journal: this.journal,
      isClosed: () => this.publisher.isClosed,
      connection: () => connection.current,
      log: this.log,
    });
    const subscription = new RabbitmqSubscription(address, prefetch, consumer, {
      queueName: this.names.lane(address, lane),
      lane,
      connection,
      topology: this.topology,
      followUps,
      turns: this.turns,
      doubtful: this.doubtful,
      journal: this.journal,
      log: this.log,
      onClosed: (closed) => {
        this.watch.remove(closed);
        if (this.subscriptions.delete(closed)) this.consuming.release(connection, FAREWELL_MS);
      },
    });
    this.subscriptions.add(subscription);
    this.watch.add(subscription);
    return subscription;
  }

  async exists(address: QueueAddress): Promise<boolean> {
    return (await this.inTime(this.laneReady(address, 'normal'))) !== undefined;
  }

  followLanes(follower: LaneFollower): void {
    this.open();
    this.registry.follow(follower);
  }

  async lanesOf(address: QueueAddress): Promise<ReadonlySet<QueueLane>> {
    const known = await this.registry.lanesOf(address);
    if (known !== undefined) return known;
    // Who may not read what is written of them can ask for each.
    const depths = EXTRA_LANES.map(async (lane) => [lane, await this.laneReady(address, lane)] as const);
    const there = (await this.inTime(Promise.all(depths))).filter(([, ready]) => ready !== undefined);
    return new Set(there.map(([lane]) => lane));
  }

  async depth(address: QueueAddress): Promise<QueueDepth | undefined> {
    const lanes = [...(await this.lanesOf(address))];
    // Each on a channel of its own: the broker closes one over a queue that it doesn't have.
    const questions = Promise.all([
      this.asking(address, async (channel) => {
        const queue = await channel.checkQueue(this.names.queue(address));
        const buried = await channel.checkQueue(this.names.buried(address));
        return { ready: queue.messageCount, consumers: queue.consumerCount, buried: buried.messageCount };
      }),
      ...lanes.map((lane) => this.laneReady(address, lane)),
    ] as const);
    const [depth, ...others] = await this.inTime(questions);
    if (depth === undefined) return undefined;
    return { ...depth, ready: others.reduce<number>((sum, ready = 0) => sum + ready, depth.ready) };
  }

  async purge(
    address: QueueAddress,
    onRemoving?: (bodies: readonly Buffer[]) => Promise<void>,
  ): Promise<number> {
    const lanes = await this.lanesOf(address);
    let purged = await this.purgeLane(address, 'normal', onRemoving);
    if (purged === undefined) throw new QueueNotFoundError(address.partition, address.queue);
    for (const lane of lanes) purged += (await this.purgeLane(address, lane, onRemoving)) ?? 0;
    return purged;
  }

  async visitBuried(address: QueueAddress, visit: BuriedVisitor, limit: number): Promise<void> {
    // What the visitor throws is its own, whatever it has to do with a broker.
    let refusal: { readonly thrown: unknown } | undefined;
    const careful: BuriedVisitor = async (jobs) => {
      try {
        return await visit(jobs);
      } catch (thrown) {
        refusal = { thrown };
        return { removed: [], isOver: true };
      }
    };
    const isThere = await this.askingOf(address, async () => {
      await visitMessages(this.controlConnection(), this.names.buried(address), careful, limit);
      return true;
    });
    if (refusal !== undefined) throw refusal.thrown;
    if (isThere === undefined) throw new QueueNotFoundError(address.partition, address.queue);
  }

  levels(retryLevels: ReadonlySet<number>): Promise<LevelDepths> {
    return this.inTime(answered(countLevels(this.controlConnection(), this.names, retryLevels)));
  }

  async details(address: QueueAddress): Promise<QueueDetails | undefined> {
    if (this.management === undefined) throw new ManagementUnavailableError('nobody has said where it is');
    const { management } = this;
    const normal = await management.queue(this.names.queue(address));
    if (normal === undefined) return undefined;
    const lanes = [...(await this.lanesOf(address))];
    const others = await Promise.all(lanes.map((lane) => management.queue(this.names.lane(address, lane))));
    return others.reduce<QueueDetails>((sum, one) => (one === undefined ? sum : together(sum, one)), normal);
  }

  async look(
    address: QueueAddress,
    count: number,
    countUnsettled: () => Promise<number>,
  ): Promise<QueueLook | undefined> {
    if (this.journal === undefined) return undefined;
    const jobs = new StandingJobs(Date.now(), count);
    const countExpected = async (): Promise<number> => {
      const [depth, unsettled] = await Promise.all([this.depth(address), countUnsettled()]);
      return (depth?.ready ?? 0) + unsettled;
    };
    const read = await this.askingOf(address, async () => {
      await withChannel(this.controlConnection(), (channel) =>
        channel.checkQueue(this.names.journal(address)),
      );
      return readJournal(this.controlConnection(), this.names.journal(address), jobs, countExpected);
    });
    if (read === undefined) return undefined;
    const { expected, isComplete } = read;
    return { bodies: jobs.first(expected), standing: expected, delayed: jobs.delayed, isComplete };
  }

  async close(timeoutMs: number): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    const deadline = performance.now() + timeoutMs;
    const leftMs = (): number => Math.max(0, deadline - performance.now());
    const subscriptions = [...this.subscriptions].map((subscription) => subscription.close());
    await within(timeoutMs, Promise.all(subscriptions));
    await this.publisher.close(leftMs());
    if (this.readLanes !== undefined) await within(leftMs(), this.readLanes.close());
    if (this.journal !== undefined) await within(leftMs(), this.journal.close());
    await Promise.all([
      this.publishing.close(leftMs()),
      this.consuming.close(leftMs()),
      this.doubtful.close(leftMs()),
      this.ledgers.closeLedgers(leftMs()),
    ]);
  }

  private get registry(): LaneRegistry {
    return (this.readLanes ??= new LaneRegistry({
      names: this.names,
      topology: this.topology,
      connection: this.publishing,
      log: this.log,
    }));
  }

  /** How many jobs wait on a lane; undefined when there is none. */
  private laneReady(address: QueueAddress, lane: QueueLane): Promise<number | undefined> {
    return this.asking(address, async (channel) => {
      const { messageCount } = await channel.checkQueue(this.names.lane(address, lane));
      return messageCount;
    });
  }

  private purgeLane(
    address: QueueAddress,
    lane: QueueLane,
    onRemoving: ((bodies: readonly Buffer[]) => Promise<void>) | undefined,
  ): Promise<number | undefined> {
    const queue = this.names.lane(address, lane);
    return this.asking(address, async (channel) => {
      if (onRemoving !== undefined) {
        return removeMessages(channel, queue, onRemoving, (message) => this.journal?.left(address, message));
      }
      const { messageCount } = await channel.purgeQueue(queue);
      this.journal?.emptied(address, lane);
      return messageCount;
    });
  }

  /** Runs a question about a queue; undefined when the broker has no such queue. */
  private asking<T>(
    address: QueueAddress,
    question: (channel: Channel) => Promise<T>,
  ): Promise<T | undefined> {
    return this.askingOf(address, () => withChannel(this.controlConnection(), question));
  }

  private async askingOf<T>(address: QueueAddress, question: () => Promise<T>): Promise<T | undefined> {
    try {
      return await answered(question());
    } catch (error) {
      if (replyCode(error) === NOT_FOUND) return undefined;
      if (replyCode(error) === ACCESS_REFUSED)
        throw new BrokerRefusedError(`use ${this.names.queue(address)}`, error);
      throw error;
    }
  }

  private async publishAgain(
    { partition, queue, lane = 'normal' }: OutgoingJob,
    message: BrokerMessage,
    failure: Error,
    whenFull: WhenFull,
  ): Promise<void> {
    const address = { partition, queue };
    if (failure instanceof UnroutableError) {
      if (!(await this.rebind(address))) throw new QueueNotFoundError(partition, queue);
      if (lane !== 'normal') await this.makeLane(address, lane);
    } else if (!(failure instanceof RefusedError)) {
      throw failure;
    }
    // What is under way to a queue that gets deleted is refused too: only one that refuses twice is full.
    await this.publisher.publish(message, whenFull).catch((error: unknown) => {
      if (error instanceof UnroutableError) throw new QueueNotFoundError(partition, queue);
      throw error instanceof RefusedError ? new QueueFullError(partition, queue) : error;
    });
  }

  /** @throws BrokerUnavailableError, BrokerRefusedError, TopologyMismatchError */
  private async makeLane(address: QueueAddress, lane: QueueLane): Promise<void> {
    try {
      await this.inTime(answered(this.topology.makeLane(this.controlConnection(), address, lane)));
    } catch (error) {
      // A declaration that finds nothing: the home of the queue is down.
      if (!(error instanceof NotConnectedError) && replyCode(error) !== NOT_FOUND) throw error;
      throw new BrokerUnavailableError(this.options.enqueueTimeoutMs, false, error);
    }
  }

  /**
   * A queue that exists can be unreachable: the exchange was deleted, its bindings with it.
   * @returns whether it exists, as far as the broker says so
   */
  private async rebind(address: QueueAddress): Promise<boolean> {
    try {
      return await this.inTime(this.topology.rebindQueue(this.controlConnection(), address));
    } catch (error) {
      // Anybody may ask whether it is there, so it is this user's right to bind it that is missing.
      return replyCode(error) === ACCESS_REFUSED;
    }
  }

  /** The broker answers no question on a connection that it blocks or that is half-open. */
  private async inTime<T>(answer: Promise<T>): Promise<T> {
    if ((await within(this.options.enqueueTimeoutMs, answer)) === 'late') {
      throw new NotConnectedError(new Error('the broker does not answer'));
    }
    return answer;
  }

  /** Where to declare and ask: the consuming connection is never blocked by an alarm. */
  private controlConnection(): ChannelModel {
    const connection = this.consuming.first.current ?? this.publishing.current;
    if (connection === undefined) {
      throw new NotConnectedError(this.publishing.lastFailure);
    }
    return connection;
  }
}

/** Of two lanes. */
function together(one: QueueDetails, other: QueueDetails): QueueDetails {
  const names = Object.keys(one) as (keyof QueueDetails)[];
  return Object.fromEntries(names.map((name) => [name, one[name] + other[name]])) as unknown as QueueDetails;
}

function vhostOf(uri: string | readonly string[]): string {
  const [first = ''] = typeof uri === 'string' ? [uri] : uri;
  const { pathname } = new URL(first);
  return pathname === '' ? '/' : decodeURIComponent(pathname.slice(1));
}

/** What fails without a word of the broker's has lost its connection on the way. @throws NotConnectedError */
async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof RogerError || replyCode(error) !== undefined) throw error;
    throw new NotConnectedError(error);
  }
}
