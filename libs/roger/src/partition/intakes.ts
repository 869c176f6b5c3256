// What a lane takes from all the lanes of its queue: who is offered a worker next, and how many jobs each may bring.
// Of node:timers, so that jobs still run in a test that fakes the global timers.
import { setTimeout, clearTimeout } from 'node:timers';
import type { QueueAddress } from '../job/names';
import { rankOf } from '../job/lanes';
import type { QueueLane, Transport } from '../transport';
import type { AtHand, IntakeOwner } from './intake';
import { Intake } from './intake';
import { LanePicker } from './lane-picker';

/** What a lane has that was just opened comes within this, once the broker knows. */
const FIRST_JOB_MS = 10;
/** What a lane has that was full and is empty comes within this. */
const NEXT_JOB_MS = 25;
/** A lane that has brought this part of what it may hold, at once, has more with the broker. */
const FULL_SHARE = 0.5;
/** Others wait no longer than this for a lane that is being opened. */
const PATIENCE_MS = 1_000;

export interface IntakesOwner extends IntakeOwner {
  readonly address: QueueAddress;
  readonly freeWorkers: number;
  /** Nothing is to be taken at all, for now. */
  readonly takesNothing: boolean;
  /** How many jobs each may hold, while all is well. */
  readonly prefetch: number;
  /** How many of its jobs have begun and are unsettled, but for those that were lost. */
  begunOf(intake: Intake): number;
  /** How many of them were lost; they still have a worker. */
  lostOf(intake: Intake): number;
  /** What had to wait need not any more. */
  mayGoOn(): void;
}

/**
 * Each lane of the queue may bring as many jobs as there are workers, and some more. So jobs can lie at hand that no worker
 * is free for, while another node has one: after a while they go back. A lane that had to give back is *closed* then: it
 * brings nothing until a worker is free, and after that one for each free worker, so that its jobs don't come and go.
 */
export class Intakes {
  /** In the order in which they are offered. */
  private readonly all: Intake[] = [];
  private readonly closed = new Set<Intake>();
  /** How many jobs beyond those begun each of the closed may bring. */
  private readonly rooms = new Map<Intake, number>();
  /** Whether these have a job is about to be known: lower ones wait for that. */
  private readonly opening = new Map<Intake, NodeJS.Timeout | undefined>();
  /** Those that were full since they were last empty. */
  private readonly full = new Set<Intake>();
  private readonly picker = new LanePicker();

  constructor(
    private readonly transport: Transport,
    private readonly owner: IntakesOwner,
  ) {}

  [Symbol.iterator](): IterableIterator<Intake> {
    return this.all.values();
  }

  get isEmpty(): boolean {
    return this.all.length === 0;
  }

  /** Only the normal one: whatever it brings is next. */
  get isSingle(): boolean {
    return this.all.length === 1;
  }

  get atHandCount(): number {
    return this.all.reduce((sum, { atHandCount }) => sum + atHandCount, 0);
  }

  has(lane: QueueLane): boolean {
    return this.all.some((intake) => intake.lane === lane);
  }

  add(lane: QueueLane, isHeld: boolean): void {
    const prefetch = isHeld ? 0 : this.owner.prefetch;
    const intake = new Intake(this.owner.address, prefetch, lane, this.transport, this.owner);
    this.all.push(intake);
    this.all.sort((one, other) => rankOf(one.lane) - rankOf(other.lane));
    if (!this.isSingle) void this.open(intake, intake.untilTaking());
  }

  /** What a free worker begins; undefined: nothing, for now. */
  next(): { readonly intake: Intake; readonly next: AtHand } | undefined {
    const [only] = this.all;
    if (this.isSingle && only !== undefined) return taken(only);
    const waiting = this.all.filter((intake) => intake.atHandCount > 0 || this.closed.has(intake));
    const lane = this.picker.pick(waiting.map((intake) => intake.lane));
    const picked = waiting.find((intake) => intake.lane === lane);
    if (picked === undefined) return undefined;
    if (picked.atHandCount === 0) this.reopen(picked);
    // One that was passed over too often waits for no other: those above would all go before it meanwhile.
    const isOverdue = picked !== waiting[0];
    const mayBegin = isOverdue ? picked.atHandCount > 0 : !this.isHeldUp(picked);
    const intake = mayBegin ? picked : waiting.find((one) => !this.isHeldUp(one));
    if (intake === undefined) return undefined;
    this.picker.began(
      intake.lane,
      waiting.map((one) => one.lane),
    );
    const found = taken(intake);
    // Its next jobs are on their way: quick jobs of lower lanes would all go before them.
    if (intake.atHandCount === 0 && this.full.delete(intake) && !this.opening.has(intake))
      this.awaitJobs(intake, NEXT_JOB_MS);
    return found;
  }

  /** To be called for each delivery. */
  arrived(intake: Intake): void {
    this.rooms.set(intake, Math.max(0, (this.rooms.get(intake) ?? 0) - 1));
    this.endOpening(intake);
    if (this.isSingle || intake.atHandCount < FULL_SHARE * this.owner.prefetch) return;
    this.full.add(intake);
  }

  lost(intake: Intake): void {
    this.closed.delete(intake);
    this.full.delete(intake);
  }

  /** What lies at hand goes back, and doesn't come again before there is a worker for it. */
  handBackAndClose(): void {
    if (!this.isSingle) {
      for (const intake of this.all) {
        if (intake.atHandCount === 0) continue;
        this.closed.add(intake);
        this.rooms.set(intake, 0);
      }
    }
    // First the smaller prefetch: with the old one the broker would give them straight back to us.
    this.adjust(false);
    this.handBackAll();
  }

  handBackAll(): void {
    for (const intake of this.all) intake.handBackAll();
  }

  /** @param isHeld nothing is to be taken at all */
  adjust(isHeld: boolean): void {
    for (const intake of this.all) this.adjustOne(intake, isHeld);
  }

  private adjustOne(intake: Intake, isHeld: boolean): void {
    const { owner } = this;
    const room = this.closed.has(intake) ? owner.begunOf(intake) + (this.rooms.get(intake) ?? 0) : Infinity;
    const wanted = isHeld ? 0 : Math.min(room, owner.prefetch - owner.lostOf(intake));
    // Nothing comes while its consumer is renewed, and more of what came does afterwards.
    if (intake.atHandCount > 0 && wanted > intake.prefetch) this.full.add(intake);
    intake.setPrefetch(Math.max(0, wanted));
  }

  private isHeldUp(intake: Intake): boolean {
    if (intake.atHandCount === 0) return true;
    for (const opening of this.opening.keys()) if (rankOf(opening.lane) < rankOf(intake.lane)) return true;
    return false;
  }

  private reopen(intake: Intake): void {
    if (this.opening.has(intake)) return;
    this.rooms.set(intake, this.owner.freeWorkers);
    this.adjustOne(intake, false);
    void this.open(intake, Promise.resolve());
  }

  private async open(intake: Intake, begun: Promise<void>): Promise<void> {
    this.awaitJobs(intake, PATIENCE_MS);
    await begun;
    await intake.applied();
    if (!this.opening.has(intake)) return;
    clearTimeout(this.opening.get(intake));
    this.awaitJobs(intake, FIRST_JOB_MS, () => {
      // It has none, so that what comes to it will be for a worker that is free.
      this.closed.delete(intake);
      this.adjustOne(intake, this.owner.takesNothing);
    });
  }

  /** Lower lanes wait for its jobs, so long. */
  private awaitJobs(intake: Intake, ms: number, whenNoneCame: () => void = () => undefined): void {
    const timer = setTimeout(() => {
      this.endOpening(intake);
      whenNoneCame();
      this.owner.mayGoOn();
    }, ms);
    this.opening.set(intake, timer);
  }

  private endOpening(intake: Intake): void {
    clearTimeout(this.opening.get(intake));
    this.opening.delete(intake);
  }

  /** Nothing is waited for any more. */
  end(): void {
    for (const intake of [...this.opening.keys()]) this.endOpening(intake);
    this.closed.clear();
  }
}

function taken(intake: Intake): { readonly intake: Intake; readonly next: AtHand } | undefined {
  const next = intake.next();
  return next === undefined ? undefined : { intake, next };
}
