// All ledgers, as the rest of Roger uses them: finds the one of a partition, asks it, and hears what is announced.
import { hostname } from 'node:os';
// Of node:timers, so that mail still comes in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import {
  LedgerFullError,
  LedgerShardsMismatchError,
  MalformedJobError,
  NotConnectedError,
} from '../job/errors';
import type { Job } from '../job/job';
import { isOfLedger } from '../job/keys';
import type { RogerLog } from '../job/log';
import type { QueueAddress } from '../job/names';
import type { BrokerMessageToAck, LedgerTransport, Mailbox } from '../ledger-transport';
import { Announcements } from './announcements';
import { encodeFrame, Frame } from './frame';
import type { Part } from './frame';
import type { Answer, MakeOperation } from './ledger-client';
import { HeldDeliveries, isHeldMail } from './held-deliveries';
import { JobHolds } from './job-holds';
import { LedgerSeat } from './ledger-seat';
import type { LostJobsParts } from './lost-jobs';
import type { Mail } from './mail';
import { isMail, isNodeId, nodeCardOf } from './mail';
import type { CancelMet, ClaimReply, EnqueueReply, LedgerOutcome, Operation, Standing } from './operation';
import { Presence } from './presence';
import { Schedules } from './schedules';
import { ledgerOf } from './shards';
import type { StandingListener } from './standing-board';
import { StandingBoard } from './standing-board';
import type { StatePersister } from './state-persister';

/** A node's name has 128 characters at most. */
const MAX_HOST_LENGTH = 100;
/** After a standing could not be had. */
const FETCH_AGAIN_MS = 500;
/** Of a job with a key that no ledger has sent: somebody has moved it by hand. */
const NO_TOKEN = { state: '', dispatch: 0 };
const NOTHING: Standing = { state: '', version: 0, cancelled: [], paused: [] };
/** How long after the last store a changed state is stored again by a persister. */
const STORE_INTERVAL_MS = 1_000;
/** How often what is remembered for a day is looked through. */
const EXPIRE_MS = 5_000;

export interface LedgersOptions {
  readonly ledgerShards: number;
  readonly ledgerTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxWaitingJobs: number;
  readonly maxJobBytes: number;
  readonly namespace: string | undefined;
  readonly persister: StatePersister | undefined;
  readonly mode: 'producer' | 'worker';
  readonly nodeName: string | undefined;
}

/** Who has the delivery of a job. */
export interface DeliveryHolder {
  /** By {@link Ledgers.newOwner}. */
  readonly owner: string;
  readonly deliveries: number;
}

/** A job that this node was granted the right to run. */
export interface Grant {
  readonly fence: number;
  readonly jobs: readonly {
    readonly id: string;
    readonly cancelled: string | undefined;
    /** Undefined for the job that was delivered. */
    readonly body: Buffer | undefined;
  }[];
}

export type Claimed =
  | ({ readonly claim: 'granted' } & Grant)
  | { readonly claim: 'stale' | 'wait' }
  | { readonly claim: 'cancelled'; readonly reason: string };

/** An outcome with the job's bytes where something remains of it. */
export type SettledAs =
  | Exclude<LedgerOutcome, { readonly body: number }>
  | (Omit<Extract<LedgerOutcome, { readonly kind: 'retry' }>, 'body'> & { readonly body: Buffer })
  | (Omit<Extract<LedgerOutcome, { readonly kind: 'hold' }>, 'body'> & { readonly body: Buffer })
  | (Omit<Extract<LedgerOutcome, { readonly kind: 'bury' }>, 'body'> & { readonly body: Buffer });

/** What a cancel came to. */
export interface CancelAnswer {
  readonly met: CancelMet;
  readonly missing: readonly string[];
}

/** Who takes the mail that is not about ledgers. None of its methods may throw. */
export interface OtherMail {
  /** Untrusted. */
  take(frame: Frame): void;
  /** Mail comes (again). */
  up?(): void;
  /** The broker has buried the job by itself, and this node was told. */
  buried?(job: Job): void;
}

export class Ledgers implements Mailbox {
  private readonly seats = new Map<number, LedgerSeat>();
  private readonly boards = new Map<number, StandingBoard>();
  /** Who is there. */
  readonly presence: Presence;
  private readonly served = new Set<string>();
  /** Whether a ledger is in use, where that is being asked. */
  private readonly looking = new Map<number, Promise<boolean>>();
  private readonly announcements: Announcements;
  readonly schedules: Schedules;
  readonly holds: JobHolds;
  private listener: StandingListener | undefined;
  private isReceiving = false;
  private isClosed = false;
  /** Why nothing is heard of the others at the moment; undefined while it is. */
  trouble: Error | undefined;
  private expireTimer: NodeJS.Timeout | undefined;
  private readonly countChecks = new Map<number, Promise<void>>();
  private readonly fetchTimers = new Map<number, NodeJS.Timeout>();
  private readonly held: HeldDeliveries;
  private readonly carried: OtherMail[] = [];

  constructor(
    private readonly transport: LedgerTransport,
    private readonly options: LedgersOptions,
    private readonly log: RogerLog,
    /** Reads a job's bytes. @throws MalformedJobError */
    private readonly decode: (body: Buffer) => Job,
    private readonly countReady: LostJobsParts['countReady'],
  ) {
    this.presence = new Presence({
      nodeId: transport.nodeId,
      nodeName: options.nodeName ?? `${hostname().slice(0, MAX_HOST_LENGTH)}:${process.pid}`,
      role: options.mode,
      isReceiving: () => this.isReceiving,
      announce: (mail) => {
        this.announce(mail);
      },
      send: (node, mail) => this.transport.send(node, encodeFrame(mail)),
    });
    this.announcements = new Announcements(this.presence.nodes, (node) =>
      this.transport.send(node, encodeFrame({ mail: 'ping' } satisfies Mail)),
    );
    this.held = new HeldDeliveries({
      nodeId: transport.nodeId,
      isPresent: (node) => this.presence.nodes.mayServe(node),
      send: (node, question) => {
        this.post(node, question);
      },
    });
    this.holds = new JobHolds({
      ask: (partition, make, bytes) => this.ask(partition, make, bytes),
      askLedger: async (ledger, make) => {
        if (!(await this.isInUse(ledger))) return undefined;
        this.receive();
        return this.seat(ledger).client.ask(`(ledger ${ledger})`, make);
      },
      ledgerShards: options.ledgerShards,
    });
    this.schedules = new Schedules({
      ask: (partition, make, bytes) => this.ask(partition, make, bytes),
      askLedger: (ledger, make) => this.seat(ledger).client.ask(`(ledger ${ledger})`, make),
      ledgerOf: (partition) => this.ledgerOf(partition),
      isInUse: (ledger) => this.isInUse(ledger),
    });
  }

  /** This node serves the partition from now on: the listener hears of everything that concerns it. */
  serve(partition: string, listener: StandingListener): void {
    this.served.add(partition);
    if (this.listener === undefined) this.beginToServe(listener);
    this.watch(partition);
  }

  /** This node serves the partition no longer. */
  leave(partition: string): void {
    if (!this.served.delete(partition)) return;
    const ledger = this.ledgerOf(partition);
    for (const other of this.served) if (this.ledgerOf(other) === ledger) return;
    clearTimeout(this.fetchTimers.get(ledger));
    this.fetchTimers.delete(ledger);
    this.boards.delete(ledger);
  }

  private beginToServe(listener: StandingListener): void {
    this.listener = listener;
    this.receive();
    this.presence.serve();
    this.expireTimer = setInterval(() => {
      for (const [ledger, board] of this.boards) {
        board.expire();
        if (board.hasOldNotes) this.fetch(ledger);
      }
    }, EXPIRE_MS).unref();
  }

  /** A token that no other delivery has; to be given back by {@link dropOwner} when the delivery is no longer in hand. */
  newOwner(): string {
    return this.held.take();
  }

  dropOwner(owner: string): void {
    this.held.drop(owner);
  }

  boardOf(partition: string): StandingBoard | undefined {
    return this.boards.get(this.ledgerOf(partition));
  }

  // --- keyed jobs

  /**
   * @param heldWhy it is held from the beginning, for this reason
   * @throws LedgerFullError, LedgerUnavailableError, EnqueueBufferFullError, RogerClosedError
   */
  async enqueue(job: Job, body: Buffer, heldWhy?: string): Promise<EnqueueReply> {
    const { partition, id, queue, queueKey, executionKey, runAt } = job;
    const text = body.toString('latin1');
    const { reply } = await this.ask(
      partition,
      (add) => ({
        ...(heldWhy === undefined ? { op: 'enqueue' } : { op: 'enqueue held', why: heldWhy }),
        ...{ partition, id, queue, queueKey, executionKey, runAt, body: add(text) },
      }),
      body.length,
    );
    const { duplicate, full } = reply as EnqueueReply;
    if (full !== undefined) throw new LedgerFullError(partition, full);
    return duplicate === undefined ? {} : { duplicate };
  }

  /** Asks for the right to run a delivered job. @throws LedgerUnavailableError, RogerClosedError */
  async claim(job: Job, { owner, deliveries }: DeliveryHolder, chain: number): Promise<Claimed> {
    const { partition, id, queue, queueKey, executionKey } = job;
    const { state, dispatch } = job.ledger ?? NO_TOKEN;
    const answer = await this.ask(partition, () => ({
      op: 'claim',
      partition,
      id,
      state,
      dispatch,
      owner,
      deliveries,
      chain,
    }));
    const reply = answer.reply as unknown as ClaimReply;
    if (reply.claim !== 'foreign') return claimedOf(answer, reply);
    const adopted = await this.ask(partition, () => ({
      op: 'adopt',
      partition,
      id,
      queue,
      queueKey,
      executionKey,
      state,
      dispatch,
      owner,
      deliveries,
    }));
    return claimedOf(adopted, adopted.reply as unknown as ClaimReply);
  }

  /** Hands in a job whose execution key is taken. @returns false when it was granted meanwhile, and must not be acknowledged. */
  async park({ partition, id, ledger }: Job, body: Buffer): Promise<boolean> {
    const { state, dispatch } = ledger ?? NO_TOKEN;
    const text = body.toString('latin1');
    const { reply } = await this.ask(
      partition,
      (add) => ({ op: 'park', partition, id, state, dispatch, body: add(text) }),
      body.length,
    );
    return reply['refused'] !== true;
  }

  /**
   * @returns false when the run's fence is old: its outcome was refused.
   * @throws LedgerFullError when the job is to be held and there is no room: it is as it was
   */
  async settle(partition: string, id: string, fence: number, outcome: SettledAs): Promise<boolean> {
    const text = 'body' in outcome ? outcome.body.toString('latin1') : undefined;
    const { reply } = await this.ask(
      partition,
      (add) => ({
        op: 'settle',
        partition,
        id,
        fence,
        outcome: (text === undefined ? outcome : { ...outcome, body: add(text) }) as LedgerOutcome,
      }),
      text?.length,
    );
    if (typeof reply['full'] === 'number') throw new LedgerFullError(partition, reply['full']);
    return reply['refused'] !== true;
  }

  /** A delivered job that was cancelled has been dealt with. */
  async bidFarewell({ partition, id, ledger }: Job): Promise<boolean> {
    await this.ask(partition, () => ({ op: 'bid farewell', partition, id, ...(ledger ?? NO_TOKEN) }));
    return true;
  }

  /** The messages of these jobs are about to be removed. */
  async discard(jobs: readonly Job[]): Promise<void> {
    await Promise.all(
      jobs.map(async ({ partition, id, ledger }) => {
        await this.ask(partition, () => ({ op: 'discard', partition, id, ...(ledger ?? NO_TOKEN) }));
      }),
    );
  }

  // --- everything else

  /** A cancelled job without keys was met on this node and has ended. */
  met(partition: string, id: string): void {
    this.boardOf(partition)?.forget(partition, id);
    // When it gets lost, the cancel goes after a day.
    this.ask(partition, () => ({ op: 'met', partition, id })).catch(() => undefined);
  }

  async cancel(partition: string, id: string, reason: string): Promise<CancelAnswer> {
    const { reply } = await this.ask(partition, () => ({ op: 'cancel', partition, id, reason }));
    const { met, missing, isRunning } = reply as Partial<CancelAnswer> & { isRunning?: boolean };
    return { met: isRunning === true ? 'running' : (met ?? 'unseen'), missing: missing ?? [] };
  }

  /** No cancel of the partition is forgotten until then, in ms since the epoch. @throws LedgerUnavailableError, RogerClosedError */
  async keepCancels(partition: string, until: number): Promise<void> {
    await this.ask(partition, () => ({ op: 'keep cancels', partition, until }));
  }

  /** @returns the nodes that did not say that they have heard. */
  async setPaused({ partition, queue }: QueueAddress, isPaused: boolean): Promise<readonly string[]> {
    const op = isPaused ? 'pause' : 'resume';
    const { reply } = await this.ask(partition, () => ({ op, partition, queue }));
    return (reply as { missing?: readonly string[] }).missing ?? [];
  }

  /** Whether the ledger of the partition has ever been used: what nobody has used needs no asking. */
  async isUsed(partition: string): Promise<boolean> {
    return this.isInUse(this.ledgerOf(partition));
  }

  async question<T>(
    operation: Extract<Operation, { readonly partition: string }>,
    read: (reply: Readonly<Record<string, unknown>>) => T,
  ): Promise<T> {
    const { reply } = await this.ask(operation.partition, () => operation);
    return read(reply);
  }

  /** The ledgers that this node has asked something, or is told of. */
  get inUse(): readonly number[] {
    return [...this.seats.keys()];
  }

  /** Asks the keeper of a ledger something that costs next to nothing. @throws LedgerUnavailableError, RogerClosedError */
  async askWhetherThere(ledger: number, timeoutMs: number): Promise<void> {
    const ask = (): Operation => ({ op: 'paused', partition: '-' });
    await this.seat(ledger).client.ask(`(ledger ${ledger})`, ask, 0, timeoutMs);
  }

  /** Leaves the ledgers within the time. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosed = true;
    this.schedules.close();
    clearInterval(this.expireTimer);
    for (const timer of this.fetchTimers.values()) clearTimeout(timer);
    this.presence.leave();
    const begun = performance.now();
    await Promise.all([...this.seats.values()].map((seat) => seat.close(timeoutMs)));
    this.announcements.close();
    await this.transport.closeLedgers(Math.max(0, timeoutMs - (performance.now() - begun)));
  }

  // --- mail about other things

  get nodeId(): string {
    return this.transport.nodeId;
  }

  /** Whether mail comes. */
  get hearsMail(): boolean {
    return this.isReceiving;
  }

  /** Nothing is asked, sent or taken any more. */
  get isOver(): boolean {
    return this.isClosed;
  }

  /** Whether mail is wanted, be it that none comes at the moment. */
  get wantsMail(): boolean {
    return this.hasMailbox;
  }

  /** Gives mail that is not about ledgers to somebody. */
  carry(other: OtherMail): void {
    this.carried.push(other);
  }

  /** Is there for the other nodes, and takes mail, from now on. Safe to repeat. */
  join(): void {
    this.openMailbox();
    this.presence.join();
  }

  /** Takes mail from now on. Safe to repeat. */
  openMailbox(): void {
    if (!this.isClosed) this.receive();
  }

  /** As {@link LedgerTransport.send}, but false also while mail doesn't come, for then none leaves either. */
  async sendTo(node: string, head: object, parts: readonly Part[] = []): Promise<boolean> {
    const bytes = encodeFrame(head, parts);
    if (node !== this.transport.nodeId) return this.isReceiving && (await this.transport.send(node, bytes));
    // Not within the call: nobody gets mail while they send some.
    setImmediate(() => {
      this.handOver(Frame.read(bytes));
    });
    return true;
  }

  tellAll(head: object): void {
    if (this.isReceiving) this.transport.announce(encodeFrame(head));
  }

  // --- mail

  take(bytes: Buffer): void {
    let frame: Frame;
    try {
      frame = Frame.read(bytes);
    } catch {
      this.log.warn('Mail from another node can not be read; it is passed over');
      return;
    }
    if (isMail(frame.head)) this.read(frame.head, frame);
    else this.handOver(frame);
  }

  up(): void {
    this.isReceiving = true;
    this.trouble = undefined;
    this.presence.up();
    for (const seat of this.seats.values()) seat.client.askAllAgain();
    for (const ledger of this.boards.keys()) this.fetch(ledger);
    for (const one of this.carried) one.up?.();
  }

  down(reason: Error): void {
    this.isReceiving = false;
    this.trouble = reason;
    this.presence.down();
    for (const board of this.boards.values()) board.outdate();
  }

  buried(message: BrokerMessageToAck): void {
    const { body } = message;
    void this.freeKeysOf(body).then(
      () => {
        message.ack();
      },
      (error: unknown) => {
        this.log.warn(`The keys of a buried job are not free yet: ${String(error)}`);
        setTimeout(() => {
          this.buried(message);
        }, FETCH_AGAIN_MS).unref();
      },
    );
  }

  private read(mail: Mail, frame: Frame): void {
    switch (mail.mail) {
      case 'reply':
        for (const seat of this.seats.values()) {
          if (seat.client.session !== mail.session) continue;
          seat.client.take(mail.replies, (part) => frame.text(part));
        }
        return;
      case 'here':
        this.presence.onHere(nodeCardOf(mail));
        return;
      case 'gone':
        this.presence.onGone(mail.node);
        return;
      case 'who':
        if (isNodeId(mail.node)) this.presence.onWho(mail.node);
        return;
      case 'keeper':
        this.onKeeper(mail.ledger);
        return;
      case 'standing':
        this.onStanding(mail);
        return;
      case 'heard':
        this.presence.nodes.heardFrom(mail.node);
        this.announcements.heard(mail.number, mail.node, mail.isRunning);
        return;
      case 'held?':
        if (isNodeId(mail.node) && isHeldMail(mail)) this.post(mail.node, this.held.answerTo(mail));
        return;
      case 'held':
        if (isHeldMail(mail)) this.held.onAnswer(mail);
        return;
      case 'schedules':
        if (this.boards.has(mail.ledger)) this.schedules.refresh(mail.ledger);
        return;
      case 'ping':
    }
  }

  private onKeeper(ledger: number): void {
    this.seats.get(ledger)?.client.askAllAgain();
    if (!this.boards.has(ledger) || this.isClosed) return;
    this.seat(ledger);
    // Its predecessor may have died between a change and its announcement.
    this.fetch(ledger);
  }

  private onStanding({ ledger, node, number, state, version, change }: Mail & { mail: 'standing' }): void {
    if (this.listener === undefined) return;
    const isRunning = this.boards.get(ledger)?.apply({ state, version }, change) ?? false;
    this.post(node, { mail: 'heard', node: this.transport.nodeId, number, isRunning });
  }

  private async freeKeysOf(body: Buffer): Promise<void> {
    let job: Job;
    try {
      job = this.decode(body);
    } catch (error) {
      if (error instanceof MalformedJobError) return;
      throw error;
    }
    if (isOfLedger(job)) await this.discard([job]);
    for (const one of this.carried) one.buried?.(job);
  }

  private handOver(frame: Frame): void {
    for (const one of this.carried) one.take(frame);
  }

  private announce(mail: Mail): void {
    this.transport.announce(encodeFrame(mail));
  }

  private post(node: string, mail: Mail): void {
    if (node === this.transport.nodeId) this.read(mail, EMPTY);
    else void this.transport.send(node, encodeFrame(mail));
  }

  // --- ledgers

  /** A persister may have the state of one that the broker has forgotten, or that an earlier process had in memory. */
  private isInUse(ledger: number): Promise<boolean> {
    if (this.seats.has(ledger) || this.options.persister !== undefined) return Promise.resolve(true);
    // One look for all: a thousand partitions of a ledger want to know at once.
    const looking =
      this.looking.get(ledger) ?? this.transport.exists(ledger).finally(() => this.looking.delete(ledger));
    this.looking.set(ledger, looking);
    return looking;
  }

  private ledgerOf(partition: string): number {
    return ledgerOf(partition, this.options.ledgerShards);
  }

  private watch(partition: string): void {
    const ledger = this.ledgerOf(partition);
    if (this.boards.has(ledger) || this.listener === undefined) return;
    this.boards.set(ledger, new StandingBoard(this.listener));
    if (this.isReceiving) this.fetch(ledger);
  }

  private fetch(ledger: number): void {
    clearTimeout(this.fetchTimers.get(ledger));
    this.fetchTimers.delete(ledger);
    this.fetchNow(ledger).catch((error: unknown) => {
      if (this.isClosed || !this.isReceiving) return;
      if (error instanceof LedgerShardsMismatchError) this.complain(error);
      const timer = setTimeout(() => {
        this.fetch(ledger);
      }, FETCH_AGAIN_MS);
      this.fetchTimers.set(ledger, timer);
    });
  }

  /** Once, and as the reason why partitions are not served. */
  private complain(error: Error): void {
    if (this.trouble?.message !== error.message) this.log.error(error.message);
    this.trouble = error;
  }

  private async fetchNow(ledger: number): Promise<void> {
    const board = this.boards.get(ledger);
    if (board === undefined) return;
    if (!(await this.isInUse(ledger))) {
      board.replace(NOTHING);
      this.schedules.refresh(ledger);
      return;
    }
    const { reply } = await this.seat(ledger).client.ask(`(ledger ${ledger})`, () => ({ op: 'standing' }));
    // It may have been left meanwhile.
    if (this.isReceiving && this.boards.get(ledger) === board) board.replace(reply as unknown as Standing);
    this.schedules.refresh(ledger);
  }

  private async ask(partition: string, make: MakeOperation, bytes?: number): Promise<Answer> {
    const ledger = this.ledgerOf(partition);
    this.receive();
    // One look for all: what is asked at once has to be asked in its order.
    if (!this.seats.has(ledger)) await this.countChecked(ledger);
    const answer = await this.seat(ledger).client.ask(partition, make, bytes);
    if (answer.reply['malformed'] === true) {
      throw new Error(
        'The keeper of the ledger does not understand this node: it runs another version of Roger',
      );
    }
    return answer;
  }

  private countChecked(ledger: number): Promise<void> {
    const checking =
      this.countChecks.get(ledger) ??
      this.refuseOtherCount(ledger).finally(() => this.countChecks.delete(ledger));
    this.countChecks.set(ledger, checking);
    return checking;
  }

  /** @throws LedgerShardsMismatchError */
  private async refuseOtherCount(ledger: number): Promise<void> {
    try {
      await this.transport.exists(ledger);
    } catch (error) {
      // Whatever else it is, the ledger is asked until the time is over.
      if (error instanceof LedgerShardsMismatchError) throw error;
    }
  }

  private receive(): void {
    if (this.hasMailbox) return;
    this.hasMailbox = true;
    this.trouble = new NotConnectedError();
    this.transport.receive(this);
  }

  private hasMailbox = false;

  private seat(ledger: number): LedgerSeat {
    const existing = this.seats.get(ledger);
    if (existing !== undefined) return existing;
    const { persister, namespace } = this.options;
    const seat = new LedgerSeat({
      ...this.options,
      ledger,
      transport: this.transport,
      announcements: this.announcements,
      log: this.log,
      persister:
        persister === undefined
          ? undefined
          : {
              store: persister,
              id: `${namespace === undefined ? '' : `${namespace}.`}ledger.${ledger}`,
              intervalMs: STORE_INTERVAL_MS,
            },
      trouble: () => this.trouble,
      lostJobs: {
        countReady: this.countReady,
        heldAmong: (owners) => this.held.among(owners),
      },
    });
    this.seats.set(ledger, seat);
    return seat;
  }
}

const EMPTY = Frame.read(encodeFrame({}));

function claimedOf({ text }: Answer, reply: ClaimReply): Claimed {
  switch (reply.claim) {
    case 'granted':
      return {
        claim: 'granted',
        fence: reply.fence,
        jobs: reply.jobs.map(({ id, cancelled, body }) => ({
          id,
          cancelled,
          body: body === undefined ? undefined : Buffer.from(text(body), 'latin1'),
        })),
      };
    case 'cancelled':
      return reply;
    case 'wait':
      return { claim: 'wait' };
    default:
      return { claim: 'stale' };
  }
}
