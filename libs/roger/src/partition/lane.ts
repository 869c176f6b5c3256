// Runs the jobs of one queue on this node: at most maxWorkers at once, a few more at hand.
import { DeliveryLostError, NotConnectedError, ShutdownError } from '../job/errors';
import { isOfLedger } from '../job/keys';
import type { QueueAddress } from '../job/names';
import type { Delivery, QueueLane, Transport } from '../transport';
import type { Outcome } from '../worker/outcome';
import { Run } from '../worker/run';
import type { RunObserver } from '../worker/run';
import type { Worker } from '../worker/worker';
import type { Intake } from './intake';
import { sureReason } from './intake';
import type { IntakesOwner } from './intakes';
import { Intakes } from './intakes';
import { PrefetchPolicy } from './prefetch-policy';

/** Jobs at hand that nobody has begun for this long go back to the queue: another node may be idle. */
const STALL_MS = 500;
const STALL_CHECK_MS = 250;
/** A lane begins jobs for about so long before other lanes, and what else the process does, get their turn. */
const TURN_MS = 0.25;
/** How long runs that were told to end may take to be settled, beyond their grace. */
const SETTLE_MS = 1_000;
/** What is at hand when a queue is paused stays so long: to go back and forth would count as failed deliveries. */
const KEPT_WHILE_PAUSED_MS = 5 * 60 * 1_000;
/** Jobs of one execution key that are run without asking between, and for about how long. */
const MAX_CHAIN = 32;
const FIRST_CHAIN = 8;
const CHAIN_WORK_MS = 1_000;

/** Why a lane takes no jobs. */
export type Hold =
  /** The queue is paused on all nodes. */
  | 'paused everywhere'
  /** The queue is paused on this node. */
  | 'paused here'
  /** This node takes no jobs. */
  | 'inactive'
  /** It is to have no workers. */
  | 'no workers'
  /** The queue is no longer one of this node's; what runs ends. */
  | 'left out'
  /** What was cancelled and paused is not known for sure. */
  | 'standing unknown';

/** What all lanes of a node share. */
export interface LaneParts {
  readonly transport: Transport;
  readonly worker: Worker;
  /** Why it is not known what was cancelled and paused, while that is so. */
  readonly whyUnknown: () => Error | undefined;
  /** How long an aborted job may take to notice. */
  readonly abortGraceMs: number;
}

interface ReadyRun {
  readonly intake: Intake;
  readonly resolve: (mayRun: boolean) => void;
}

/** How many jobs ended how, on this node, since the lane began. */
export type OutcomeCounts = Record<Outcome, number>;

/** How jobs are ended whose time is over. */
export interface Draining {
  /** What their signals say. */
  readonly reason?: Error;
  /** How long they may take to notice, and to be settled. */
  readonly graceMs?: number | undefined;
}

export class Lane implements IntakesOwner, RunObserver {
  readonly counts: OutcomeCounts = {
    done: 0,
    retried: 0,
    failed: 0,
    discarded: 0,
    snoozed: 0,
    buried: 0,
    cancelled: 0,
    handedOn: 0,
    handedBack: 0,
    held: 0,
    parked: 0,
    stale: 0,
    lost: 0,
  };
  /** Each with where its delivery came from. */
  private readonly running = new Map<Run, Intake>();
  /** Those that ask their ledger, before and after they have a worker. */
  private readonly asking = new Map<Run, Intake>();
  /** Those that may run as soon as there is a worker. */
  private readonly ready = new Map<Run, ReadyRun>();
  private readonly intakes: Intakes;
  private readonly policy: PrefetchPolicy;
  private readonly holds = new Set<Hold>();
  private isDraining = false;
  private lastBegunAt = 0;
  /** When the first job of the present turn of the event loop was begun; undefined: none yet. */
  private turnBegunAt: number | undefined;
  private isTurnOver = false;
  private stallTimer: NodeJS.Timeout | undefined;
  private pauseTimer: NodeJS.Timeout | undefined;
  private readonly untilIdle = new Set<() => void>();
  private leftBehind = 0;

  constructor(
    readonly address: QueueAddress,
    maxWorkers: number,
    private readonly parts: LaneParts,
    /** Told when {@link waitingFor} may have changed. */
    private readonly onStandingChange: () => void = () => undefined,
  ) {
    this.policy = new PrefetchPolicy(maxWorkers);
    this.intakes = new Intakes(parts.transport, this);
    if (maxWorkers === 0) this.holds.add('no workers');
  }

  /** @param holds why it should not take jobs yet */
  start(holds: readonly Hold[] = []): void {
    for (const hold of holds) this.holds.add(hold);
    this.intakes.add('normal', this.holds.size > 0);
  }

  get maxWorkers(): number {
    return this.policy.maxWorkers;
  }

  /** So many jobs run at once from now on; where more run already, the surplus ends by itself. */
  setMaxWorkers(maxWorkers: number): void {
    if (maxWorkers === this.maxWorkers) return;
    this.policy.setMaxWorkers(maxWorkers);
    if (maxWorkers === 0) {
      this.hold('no workers');
      return;
    }
    this.release('no workers');
    if (this.mayBegin) this.beginWhereFree();
    this.adjustPrefetch();
  }

  /** Takes no more jobs; resolves when those that run have ended. To be undone by `release('left out')`. */
  async leaveOut(): Promise<void> {
    this.hold('left out');
    await this.idleWithin(Infinity);
  }

  isHeld(why: Hold): boolean {
    return this.holds.has(why);
  }

  /** The queue has another lane. Safe to repeat. */
  take(lane: QueueLane): void {
    if (this.isDraining || this.intakes.isEmpty || this.intakes.has(lane)) return;
    this.intakes.add(lane, this.holds.size > 0);
  }

  get takesNothing(): boolean {
    return this.holds.size > 0 || this.isDraining;
  }

  get freeWorkers(): number {
    return Math.max(0, this.maxWorkers - this.running.size);
  }

  get prefetch(): number {
    return this.policy.prefetch;
  }

  begunOf(intake: Intake): number {
    let begun = 0;
    for (const runs of [this.running, this.asking]) {
      for (const [run, from] of runs) if (from === intake && !run.wasLost()) begun++;
    }
    for (const { intake: from } of this.ready.values()) if (from === intake) begun++;
    return begun;
  }

  lostOf(intake: Intake): number {
    let lost = 0;
    for (const [run, from] of this.running) if (from === intake && run.wasLost()) lost++;
    return lost;
  }

  mayGoOn(): void {
    if (this.mayBegin) this.beginWhereFree();
  }

  get runs(): readonly Run[] {
    return [...this.running.keys()];
  }

  get runningCount(): number {
    return this.running.size;
  }

  /** Deliveries that this node has and has not settled. */
  get unsettledCount(): number {
    return this.running.size + this.asking.size + this.ready.size + this.atHandCount;
  }

  /** Runs that didn't heed their signal and go on without a worker. */
  get leftBehindCount(): number {
    return this.leftBehind;
  }

  get atHandCount(): number {
    return this.intakes.atHandCount;
  }

  /** Why no jobs come at the moment; undefined while they do, or could if the queue were not paused. */
  get waitingFor(): Error | undefined {
    const { trouble } = this;
    if (trouble !== undefined) return trouble;
    const waiting = [...this.intakes].find(({ waitingFor }) => waitingFor !== undefined)?.waitingFor;
    if (waiting !== undefined || !this.isHeld('standing unknown')) return waiting;
    return new NotConnectedError(new Error('what was cancelled and paused is being asked for'));
  }

  /** The same, but undefined also while it has only not come so far yet. */
  get trouble(): Error | undefined {
    const trouble = [...this.intakes].find((intake) => intake.trouble !== undefined)?.trouble;
    return trouble ?? (this.isHeld('standing unknown') ? sureReason(this.parts.whyUnknown()) : undefined);
  }

  /** How many consumers of this node the queue has now. */
  get consumerCount(): number {
    return [...this.intakes].reduce((sum, { consumerCount }) => sum + consumerCount, 0);
  }

  get isPaused(): boolean {
    return this.holds.has('paused everywhere') || this.holds.has('paused here');
  }

  // --- holds

  hold(why: Hold): void {
    if (this.holds.has(why) || this.isDraining) return;
    this.holds.add(why);
    this.adjustPrefetch();
    this.onStandingChange();
    // Others may have them at once. Where the whole cluster is paused nobody may, so they stay for a while.
    if (why === 'paused everywhere' && this.keepsAtHand) {
      clearTimeout(this.pauseTimer);
      this.pauseTimer = setTimeout(() => {
        this.handBackWaiting();
      }, KEPT_WHILE_PAUSED_MS).unref();
    } else {
      this.handBackWaiting();
    }
  }

  /** Resolves when a hold has come to the broker, and what was at hand is with it again. */
  async untilHeld(): Promise<void> {
    // Those that could not begin give their delivery back a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([...this.intakes].map((intake) => intake.applied()));
  }

  release(why: Hold): void {
    if (!this.holds.delete(why)) return;
    if (this.mayBegin) {
      clearTimeout(this.pauseTimer);
      this.beginWhereFree();
      this.adjustPrefetch();
    }
    this.onStandingChange();
  }

  // --- deliveries

  deliver(delivery: Delivery, intake: Intake): void {
    this.intakes.arrived(intake);
    if (!this.mayBegin || this.running.size >= this.maxWorkers || !this.hasTurn()) {
      // What was on its way when the lane was held counts as at hand.
      intake.keep(delivery);
      if (this.holds.size === 0) this.watchForStall();
      else if (!this.keepsAtHand) intake.handBackAll();
    } else if (this.intakes.isSingle) {
      this.begin(delivery, intake);
    } else {
      intake.keep(delivery);
      this.beginNext();
      if (this.atHandCount > 0) this.watchForStall();
    }
  }

  standing(): void {
    this.onStandingChange();
  }

  lost(intake: Intake, detail: string): void {
    const reason = new DeliveryLostError(detail);
    this.intakes.lost(intake);
    for (const [run, from] of [...this.running, ...this.asking]) if (from === intake) run.abort(reason);
    for (const [run, { intake: from }] of [...this.ready]) {
      if (from !== intake) continue;
      run.abort(reason);
      this.refuse(run);
    }
    this.adjustPrefetch();
  }

  /** @returns whether the job runs here, or will next; then it is told to end. */
  cancel(id: string, reason: string, fence: number | undefined): boolean {
    let isHere = false;
    for (const run of [...this.running.keys(), ...this.ready.keys()]) {
      if (run.cancel(id, reason, fence)) isHere = true;
    }
    return isHere;
  }

  /** @returns whether a copy of the job that no ledger has sent runs here, or will next. */
  hasCopy(id: string, queuedAt: number): boolean {
    for (const run of [...this.running.keys(), ...this.ready.keys()]) {
      if (run.job?.id === id && run.job.queuedAt === queuedAt && !isOfLedger(run.job)) return true;
    }
    return false;
  }

  // --- what runs are told and tell

  get chain(): number {
    const { meanMs } = this.policy;
    if (meanMs === undefined) return FIRST_CHAIN;
    return Math.max(1, Math.min(MAX_CHAIN, Math.floor(CHAIN_WORK_MS / Math.max(meanMs, 0.01))));
  }

  get shouldYield(): boolean {
    return this.isDraining || this.holds.size > 0;
  }

  onOutcome(outcome: Outcome, durationMs: number): void {
    this.counts[outcome]++;
    if (this.policy.record(durationMs)) this.adjustPrefetch();
  }

  onAsking(run: Run): void {
    const intake = this.running.get(run);
    if (intake === undefined) return;
    this.running.delete(run);
    this.asking.set(run, intake);
    if (this.mayBegin) this.beginNext();
  }

  onRan(run: Run): void {
    this.onAsking(run);
  }

  onReady(run: Run): Promise<boolean> {
    const intake = this.asking.get(run);
    if (intake === undefined || run.wasLost() || this.isDraining) return Promise.resolve(false);
    if (this.mayBegin && this.running.size < this.maxWorkers) {
      this.asking.delete(run);
      this.running.set(run, intake);
      return Promise.resolve(true);
    }
    if (this.holds.size > 0 && !this.keepsAtHand) return Promise.resolve(false);
    this.watchForStall();
    return new Promise((resolve) => {
      this.asking.delete(run);
      this.ready.set(run, { intake, resolve });
    });
  }

  onLeftBehind(ended: Promise<void>): void {
    this.leftBehind++;
    void ended.then(() => this.leftBehind--);
  }

  private refuse(run: Run): void {
    const ready = this.ready.get(run);
    if (ready === undefined) return;
    this.ready.delete(run);
    this.asking.set(run, ready.intake);
    ready.resolve(false);
  }

  /**
   * Takes no more jobs, gives back those not begun, and lets the running ones end; those that don't within the time
   * are aborted and given back. Safe to repeat, with less time: then it is over for all who wait.
   * @param timeoutMs Infinity: they may take as long as they take
   */
  async drain(timeoutMs: number, how: Draining = {}): Promise<void> {
    const { reason = new ShutdownError(timeoutMs), graceMs = this.parts.abortGraceMs + SETTLE_MS } = how;
    this.isDraining = true;
    clearTimeout(this.stallTimer);
    clearTimeout(this.pauseTimer);
    this.intakes.end();
    await Promise.all([...this.intakes].map((intake) => intake.stop()));
    this.handBackWaiting();
    if (!(await this.idleWithin(timeoutMs))) {
      // Who still asks its ledger whether it may run gives up, too; who settles goes on as long as there is time.
      for (const run of [...this.running.keys(), ...this.asking.keys()]) run.abort(reason);
      await this.idleWithin(graceMs);
    }
    await Promise.all([...this.intakes].map((intake) => intake.close()));
    // Whoever still runs has no delivery any more: a late result is refused.
    const lost = new DeliveryLostError('the node serves its queue no more');
    for (const run of [...this.running.keys(), ...this.asking.keys()]) run.abort(lost);
    for (const resolve of this.untilIdle) resolve();
  }

  private begin(delivery: Delivery, intake: Intake, deliveredAt?: number): void {
    this.lastBegunAt = performance.now();
    const run = new Run(this.address, Date.now(), this, deliveredAt ?? this.lastBegunAt);
    this.running.set(run, intake);
    void this.parts.worker.run(delivery, run).then(() => {
      this.end(run);
    });
  }

  private end(run: Run): void {
    const hadWorker = this.running.delete(run);
    this.asking.delete(run);
    if (run.wasLost()) this.adjustPrefetch();
    if (this.isIdle) for (const resolve of this.untilIdle) resolve();
    if (hadWorker && this.mayBegin) this.beginNext();
  }

  private get isIdle(): boolean {
    return this.running.size + this.asking.size + this.ready.size === 0;
  }

  private get keepsAtHand(): boolean {
    return this.holds.has('paused everywhere') && !this.holds.has('inactive');
  }

  private beginWhereFree(): void {
    while (this.beginNext());
  }

  private get mayBegin(): boolean {
    return !this.isDraining && this.holds.size === 0;
  }

  /** Gives a worker that is free to the next: one that is ready comes before those that have to ask. */
  private beginNext(): boolean {
    if (this.running.size >= this.maxWorkers || !this.hasTurn()) return false;
    for (const [run, { intake, resolve }] of this.ready) {
      this.ready.delete(run);
      this.running.set(run, intake);
      this.lastBegunAt = performance.now();
      resolve(true);
      return true;
    }

    const found = this.intakes.next();
    if (found === undefined) return false;
    this.begin(found.next.delivery, found.intake, found.next.deliveredAt);
    return true;
  }

  /**
   * Quick jobs end, and make room for the next, without the event loop getting on: a deep queue of them would be worked
   * through in one go, while the jobs of other lanes wait to be read from the socket.
   */
  private hasTurn(): boolean {
    if (this.isTurnOver) return false;
    if (this.turnBegunAt === undefined) {
      this.turnBegunAt = performance.now();
      setImmediate(this.onNextTurn);
      return true;
    }
    this.isTurnOver = performance.now() - this.turnBegunAt >= TURN_MS;
    return !this.isTurnOver;
  }

  private readonly onNextTurn = (): void => {
    this.turnBegunAt = undefined;
    if (!this.isTurnOver) return;
    this.isTurnOver = false;
    if (this.mayBegin) this.beginWhereFree();
  };

  private watchForStall(): void {
    if (this.stallTimer !== undefined || this.isDraining) return;
    this.stallTimer = setTimeout(() => {
      this.stallTimer = undefined;
      if (this.atHandCount + this.ready.size === 0 || this.holds.size > 0) return;
      const idleMs = performance.now() - this.lastBegunAt;
      if (idleMs < STALL_MS) {
        this.watchForStall();
      } else {
        this.policy.recordStall(idleMs);
        this.intakes.handBackAndClose();
        this.handBackWaiting();
      }
    }, STALL_CHECK_MS);
  }

  /** A lost run still takes a worker, but no longer a place among the unsettled. */
  private adjustPrefetch(): void {
    this.intakes.adjust(this.holds.size > 0);
  }

  private handBackWaiting(): void {
    for (const run of [...this.ready.keys()]) this.refuse(run);
    this.intakes.handBackAll();
  }

  private async idleWithin(timeoutMs: number): Promise<boolean> {
    if (this.isIdle) return true;
    let timer: NodeJS.Timeout | undefined;
    let onIdle: (() => void) | undefined;
    const isIdle = await new Promise<boolean>((resolve) => {
      onIdle = () => {
        resolve(true);
      };
      this.untilIdle.add(onIdle);
      if (timeoutMs === Infinity) return;
      timer = setTimeout(() => {
        resolve(false);
      }, timeoutMs);
    });
    clearTimeout(timer);
    if (onIdle !== undefined) this.untilIdle.delete(onIdle);
    return isIdle;
  }
}
