// Carries messages to their queues with confirms, so that a queue which does not confirm holds up no other.
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import Denque from 'denque';
import type { RogerLog } from '../../job/log';
import type { BrokerConnection } from './broker-connection';
import type { BrokerNames } from './broker-names';
import type { Arrival, Flight, Outgoing } from './passage';
import { Passage } from './passage';
import { StandingChannel } from './standing-channel';
import { within } from './time-limit';
import { WaitingLine } from './waiting-line';

/**
 * RabbitMQ stops to read a whole connection when a channel of it has so many messages that it could not pass on, and hears
 * from the channel at every so many that it could.
 */
const CREDIT = 400;
const CREDIT_STEP = 200;
/** Room for what is counted differently here and there. */
const CREDIT_MARGIN = 10;
const MAX_BYTES = 16 * 1024 * 1024;
/** Channels on which queues prove that they take messages, one message of one queue on each. */
const PROVING_CHANNELS = 16;
/** Channels that wait for late confirms; more wait in the proving channels' places. */
const MAX_LEFT = 32;
const WATCH_MS = 100;
/** A confirm is late after so many times what they take on average, within bounds. */
const LATE_TIMES = 4;
const LATE_MIN_MS = 1_000;
const LATE_MAX_MS = 10_000;
/** Sooner, when the others' confirms have overtaken it. */
const OVERTAKEN_MIN_MS = 250;
const OVERTAKEN_SHARE = 0.5;
/** How much the mean follows the last confirm. */
const MEAN_WEIGHT = 1 / 16;
/** A cause that was heard of within this is not told again. */
const CAUSE_KNOWN_MS = 60_000;
const MAX_CAUSES = 100;

/** The channel was given up because the confirm did not come: it may wait for a leader of the queue that is no more. */
export class UnconfirmedError extends Error {
  constructor() {
    super('the broker does not confirm');
  }
}

export interface OutgoingMessagesParts {
  readonly connection: BrokerConnection;
  readonly names: BrokerNames;
  readonly log: RogerLog;
  /** What the channels are for, to begin a line of the log with. */
  readonly purpose: string;
  /** How long a late confirm is waited for; `most` after the queue has been late again and again, in ms. */
  readonly giveUpMs: { readonly first: number; readonly most: number };
  /** Declares what a channel needs, before there is one; `failure` is why the one before was lost, if it was. */
  prepare(model: ChannelModel, failure: Error | undefined): Promise<void>;
  onInterrupted?(reason: Error): void;
}

/** A queue that is not known to confirm: its messages go one at a time, on a channel where they hold up nobody. */
interface Unproven {
  readonly queue: string;
  readonly waiting: WaitingLine;
  /** Carries its one message. */
  probe: Passage | undefined;
  /** For a channel to prove itself on, or for room on the shared one, or something is mended first. */
  isInTurn: boolean;
  isLate: boolean;
  giveUpMs: number;
}

interface ProvingChannel {
  readonly standing: StandingChannel<ConfirmChannel>;
  passage: Passage | undefined;
}

/**
 * All queues that confirm share one channel. RabbitMQ stops a channel at the first message to a queue without a leader, for
 * minutes, and a connection when much is unconfirmed; therefore each queue first proves itself beside, and when a confirm
 * is late the shared channel is left to what is under way on it and another goes on. What was sent is never sent again here.
 */
export class OutgoingMessages {
  /** Of all channels together. */
  private readonly log: RogerLog;
  private readonly shared: StandingChannel<ConfirmChannel>;
  private passage: Passage | undefined;
  /** For the queues that may use the shared channel. */
  private readonly waiting = new WaitingLine();
  private readonly proven = new Set<string>();
  /** They have just proven themselves, and are next on the shared channel: it may never have room by itself. */
  private readonly entering = new Denque<Unproven>();
  private readonly unproven = new Map<string, Unproven>();
  private readonly turns = new Denque<Unproven>();
  private readonly proving: ProvingChannel[] = [];
  /** Nothing more is sent on these. */
  private readonly left = new Set<Passage>();
  private meanMs = 0;
  private unblockedAt = 0;
  private watch: NodeJS.Timeout | undefined;
  private isClosed = false;
  private onIdle: (() => void) | undefined;

  constructor(private readonly parts: OutgoingMessagesParts) {
    const { connection } = parts;
    const log = (this.log = oncePerCause(parts.log));
    this.shared = new StandingChannel<ConfirmChannel>(
      connection,
      {
        purpose: parts.purpose,
        create: (model) => model.createConfirmChannel(),
        prepare: (model, failure) => parts.prepare(model, failure),
        begin: (channel) => {
          this.passage = new Passage(channel, this.onLanded);
          this.pumpProving();
          return Promise.resolve();
        },
        onLost: (detail) => {
          const { passage } = this;
          this.leaveShared();
          passage?.end(new Error(detail));
        },
        onInterrupted: (reason) => parts.onInterrupted?.(reason),
      },
      log,
    ).open();
    connection.on('unblocked', this.onUnblocked);
  }

  /** Sends it in its turn. */
  submit(outgoing: Outgoing): void {
    const queue = this.queueOf(outgoing);
    if (!this.proven.has(queue)) {
      this.park(outgoing, queue);
      this.pumpProving();
    } else if (!this.waiting.isEmpty || !this.canSend() || !this.send(outgoing, queue)) {
      this.waiting.push(outgoing);
    }
  }

  /** Forgets what waits and is no longer wanted. */
  dropUnwanted(): void {
    for (const line of this.lines()) line.dropUnwanted();
  }

  /** Takes back what waits. */
  withdraw(): Outgoing[] {
    return this.lines().flatMap((line) => line.empty());
  }

  /** Waits for the confirms of what is under way; then the rest is told. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    this.isClosed = true;
    this.parts.connection.off('unblocked', this.onUnblocked);
    const isIdle =
      this.isIdle ||
      (await within(timeoutMs, new Promise<void>((resolve) => (this.onIdle = resolve)))) === 'done';
    clearInterval(this.watch);
    const passages = this.passages();
    this.passage = undefined;
    for (const passage of passages) {
      if (this.left.has(passage)) passage.channel.close().catch(() => undefined);
    }
    const closed = Promise.all([this.shared, ...this.proving.map(({ standing }) => standing)].map(close));
    for (const passage of passages) passage.end(new Error('closed'));
    // A broker that has not confirmed in time doesn't answer this either; the connection is closed next.
    if (isIdle) await within(timeoutMs, closed);
  }

  private readonly onUnblocked = (): void => {
    this.unblockedAt = performance.now();
    this.pumpAll();
  };

  private readonly pumpAll = (): void => {
    this.pump();
    this.pumpProving();
  };

  private get isIdle(): boolean {
    return this.passages().every((passage) => passage.isEmpty);
  }

  private passages(): Passage[] {
    return [this.passage, ...this.proving.map(({ passage }) => passage), ...this.left].filter(
      (passage) => passage !== undefined,
    );
  }

  private lines(): WaitingLine[] {
    return [this.waiting, ...[...this.unproven.values()].map(({ waiting }) => waiting)];
  }

  private queueOf({ message }: Outgoing): string {
    return this.parts.names.firstQueue(message.exchange, message.routingKey);
  }

  private get isBlocked(): boolean {
    return this.parts.connection.blockedReason !== undefined;
  }

  private canSend(): boolean {
    const { passage } = this;
    return (
      passage !== undefined &&
      !this.isBlocked &&
      passage.span < windowOf(passage) &&
      passage.bytes < MAX_BYTES
    );
  }

  /** @returns false when it took nothing. */
  private send(outgoing: Outgoing, queue: string): boolean {
    if (this.passage?.send(outgoing, queue) !== true) return false;
    this.watchConfirms();
    return true;
  }

  private pump(): void {
    while (this.canSend()) {
      const entering = this.entering.shift();
      if (entering !== undefined) {
        this.enter(entering);
        continue;
      }
      const next = this.waiting.shift();
      if (next === undefined) return;
      if (next.isWanted() && !this.send(next, this.queueOf(next))) {
        // The channel is closing; its loss brings another.
        this.waiting.putBack(next);
        return;
      }
    }
  }

  private park(outgoing: Outgoing, queue: string): void {
    let unproven = this.unproven.get(queue);
    if (unproven === undefined) {
      const giveUpMs = this.parts.giveUpMs.first;
      const waiting = new WaitingLine();
      unproven = { queue, waiting, probe: undefined, isInTurn: false, isLate: false, giveUpMs };
      this.unproven.set(queue, unproven);
    }
    unproven.waiting.push(outgoing);
    this.takeTurn(unproven);
  }

  private takeTurn(unproven: Unproven): void {
    if (unproven.isInTurn || unproven.probe !== undefined) return;
    unproven.isInTurn = true;
    this.turns.push(unproven);
  }

  private pumpProving(): void {
    if (this.isBlocked || this.isClosed) return;
    while (!this.turns.isEmpty()) {
      const free = this.proving.find(({ passage }) => passage?.isEmpty === true);
      if (free?.passage === undefined) {
        this.openProving();
        return;
      }
      const unproven = this.turns.shift();
      if (unproven === undefined) return;
      unproven.isInTurn = false;
      this.probe(unproven, free.passage);
    }
  }

  private probe(unproven: Unproven, passage: Passage): void {
    const { waiting, queue } = unproven;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!next.isWanted()) continue;
      unproven.probe = passage;
      if (passage.send(next, queue)) {
        this.watchConfirms();
      } else {
        unproven.probe = undefined;
        waiting.putBack(next);
        // The channel is closing: its loss brings another, and the next turn.
        setImmediate(() => {
          this.takeTurn(unproven);
          this.pumpProving();
        });
      }
      return;
    }
    this.unproven.delete(queue);
  }

  /** As many as there are queues that wait for one, up to the bound. */
  private openProving(): void {
    const opening = this.proving.filter(({ passage }) => passage === undefined).length;
    const missing = Math.min(this.turns.length - opening, PROVING_CHANNELS - this.proving.length);
    for (let count = 0; count < missing; count++) this.proving.push(this.provingChannel());
  }

  private provingChannel(): ProvingChannel {
    const proving: ProvingChannel = {
      passage: undefined,
      standing: new StandingChannel<ConfirmChannel>(
        this.parts.connection,
        {
          purpose: this.parts.purpose,
          create: (model) => model.createConfirmChannel(),
          prepare: (model, failure) => this.parts.prepare(model, failure),
          begin: (channel) => {
            proving.passage = new Passage(channel, this.onLanded);
            this.pumpProving();
            return Promise.resolve();
          },
          onLost: (detail) => {
            const { passage } = proving;
            proving.passage = undefined;
            passage?.end(new Error(detail));
          },
          onInterrupted: (reason) => this.parts.onInterrupted?.(reason),
        },
        this.log,
      ),
    };
    proving.standing.open();
    return proving;
  }

  private readonly onLanded = (flight: Flight, arrival: Arrival, passage: Passage): void => {
    if (passage === this.passage && arrival === 'kept') {
      this.meanMs += (performance.now() - flight.sentAt - this.meanMs) * MEAN_WEIGHT;
    }
    const unproven = this.unproven.get(flight.queue);
    const { outgoing } = flight;
    if (passage.isEmpty && this.left.delete(passage)) passage.channel.close().catch(() => undefined);
    if (arrival === 'returned' && unproven?.probe === passage && outgoing.mend !== undefined) {
      void this.mend(unproven, outgoing, outgoing.mend());
    } else {
      if (unproven !== undefined) this.onNewsOf(unproven, arrival, passage);
      outgoing.onEnd(arrival);
    }
    // The channel that was lost is still ours for a moment.
    if (arrival instanceof Error) setImmediate(this.pumpAll);
    else this.pumpAll();
    if (this.onIdle !== undefined && this.isIdle) this.onIdle();
  };

  /** Meanwhile what goes to the queue waits, so that its order stays. */
  private async mend(unproven: Unproven, outgoing: Outgoing, isMended: Promise<boolean>): Promise<void> {
    unproven.probe = undefined;
    unproven.isInTurn = true;
    if (await isMended) unproven.waiting.putBack(outgoing);
    else outgoing.onEnd('returned');
    unproven.isInTurn = false;
    this.takeTurn(unproven);
    this.pumpProving();
  }

  private onNewsOf(unproven: Unproven, arrival: Arrival, passage: Passage): void {
    if (unproven.probe === passage) unproven.probe = undefined;
    if (unproven.probe !== undefined) return;
    if (arrival === 'kept') {
      this.tellOnTime(unproven);
      if (this.passage !== undefined && !unproven.isInTurn && !unproven.waiting.isEmpty) {
        unproven.isInTurn = true;
        this.entering.push(unproven);
        return;
      }
    }
    if (arrival instanceof UnconfirmedError) {
      unproven.giveUpMs = Math.min(unproven.giveUpMs * 2, this.parts.giveUpMs.most);
    }
    if (!unproven.waiting.isEmpty) this.takeTurn(unproven);
    // One that was late is remembered for as long as it gives no sign of life.
    else if (!unproven.isLate && !unproven.isInTurn) this.unproven.delete(unproven.queue);
  }

  /**
   * From its first message on, which goes while its proof is fresh, a queue holds up the shared channel no more; so one that
   * has no more than a message at a time stays beside.
   */
  private enter(unproven: Unproven): void {
    const { queue, waiting } = unproven;
    unproven.isInTurn = false;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!next.isWanted()) continue;
      this.unproven.delete(queue);
      this.proven.add(queue);
      // On a channel that is closing it waits for the loss, which parks it again.
      if (!this.send(next, queue)) this.waiting.putBack(next);
      for (const outgoing of waiting.empty()) this.waiting.push(outgoing);
      return;
    }
    this.unproven.delete(queue);
  }

  /** The shared channel is not used any more: each queue has to prove itself for the next. */
  private leaveShared(): void {
    this.passage = undefined;
    this.proven.clear();
    for (const unproven of this.entering.toArray()) {
      unproven.isInTurn = false;
      this.takeTurn(unproven);
    }
    this.entering.clear();
    for (const outgoing of this.waiting.empty()) this.park(outgoing, this.queueOf(outgoing));
  }

  private watchConfirms(): void {
    this.watch ??= setInterval(() => {
      // After a look at the sockets: what a process that was held up finds there is not late.
      setImmediate(() => {
        this.look();
      });
    }, WATCH_MS).unref();
  }

  private look(): void {
    if (this.isIdle) {
      clearInterval(this.watch);
      this.watch = undefined;
      return;
    }
    if (this.isBlocked || this.isClosed) return;
    this.lookAtShared();
    for (const proving of this.proving) this.lookAtProving(proving);
    for (const passage of this.left) this.lookAtLeft(passage);
    this.pumpProving();
  }

  /** How long the oldest has been under way, without the time in which the broker read nothing. */
  private ageOf(passage: Passage): number {
    const { oldest } = passage;
    if (oldest === undefined) return 0;
    return performance.now() - Math.max(oldest.sentAt, this.unblockedAt);
  }

  private lookAtShared(): void {
    const { passage } = this;
    if (passage === undefined || this.shared.current !== passage.channel) return;
    const age = this.ageOf(passage);
    const lateMs = LATE_TIMES * this.meanMs;
    const isLate = age > Math.min(Math.max(lateMs, LATE_MIN_MS), LATE_MAX_MS);
    const isOvertaken =
      passage.span >= windowOf(passage) &&
      passage.size < passage.span * OVERTAKEN_SHARE &&
      age > Math.max(lateMs, OVERTAKEN_MIN_MS);
    if (!isLate && !isOvertaken) return;
    this.left.add(passage);
    this.leaveShared();
    this.shared.release();
  }

  private lookAtProving(proving: ProvingChannel): void {
    const { passage, standing } = proving;
    if (passage === undefined || standing.current !== passage.channel) return;
    const age = this.ageOf(passage);
    if (age < LATE_MIN_MS) return;
    const unproven = this.unprovenOn(passage);
    if (unproven !== undefined) this.tellLate(unproven);
    if (this.left.size >= MAX_LEFT && age < this.patienceWith(passage)) return;
    this.left.add(passage);
    proving.passage = undefined;
    standing.release();
  }

  private lookAtLeft(passage: Passage): void {
    if (this.ageOf(passage) < this.patienceWith(passage)) return;
    this.left.delete(passage);
    passage.channel.close().catch(() => undefined);
    passage.end(new UnconfirmedError());
  }

  private unprovenOn(passage: Passage): Unproven | undefined {
    const { oldest } = passage;
    return oldest === undefined ? undefined : this.unproven.get(oldest.queue);
  }

  private patienceWith(passage: Passage): number {
    const unproven = this.unprovenOn(passage);
    return unproven?.probe === passage ? unproven.giveUpMs : this.parts.giveUpMs.first;
  }

  private tellOnTime(unproven: Unproven): void {
    unproven.giveUpMs = this.parts.giveUpMs.first;
    if (!unproven.isLate) return;
    unproven.isLate = false;
    this.parts.log.log(`RabbitMQ confirms what is sent to ${unproven.queue} again`);
  }

  private tellLate(unproven: Unproven): void {
    if (unproven.isLate) return;
    unproven.isLate = true;
    this.parts.log.warn(
      `RabbitMQ does not confirm what is sent to ${unproven.queue}; what goes to other queues goes on`,
    );
  }
}

/**
 * One line per cause, not one per channel and try: what is refused goes on with each new channel, and fails again with its
 * first message.
 */
function oncePerCause(log: RogerLog): RogerLog {
  const heardAt = new Map<string, number>();
  let isTold = false;
  return {
    log: (message) => {
      if (isTold) log.log(message);
      isTold = false;
    },
    warn: (message) => {
      const now = performance.now();
      const isKnown = now - (heardAt.get(message) ?? -Infinity) < CAUSE_KNOWN_MS;
      if (heardAt.size >= MAX_CAUSES) heardAt.clear();
      heardAt.set(message, now);
      if (isKnown) return;
      isTold = true;
      log.warn(message);
    },
    error: (message, stack) => {
      log.error(message, stack);
    },
    debug: (message) => {
      log.debug(message);
    },
  };
}

/** How many may be sent from the oldest on that is under way. */
function windowOf({ oldest }: Passage): number {
  return CREDIT - CREDIT_MARGIN - ((oldest?.number ?? 0) % CREDIT_STEP);
}

function close(standing: StandingChannel<ConfirmChannel>): Promise<void> {
  return standing.close();
}
