// Watches the schedules of the partitions that this node serves, and asks their ledgers at each tick. Decides nothing.
import { oneLine, RogerClosedError } from '../job/errors';
import type { RogerLog } from '../job/log';
import type { ScheduleRow, SchedulesReply, TickReply } from '../ledger/operation';
import type { DeclaredSchedule, Schedules, SchedulesListener } from '../ledger/schedules';
import { TICK_GRACE_MS } from '../ledger/state/schedule';
import { CronExpression } from './cron-expression';

/** It looks at the clock at least this often: after a sleep, or when the clock was set, it reckons anew. */
const LONGEST_SLEEP_MS = 60_000;
const ASK_AGAIN_MS = 1_000;

export type LedgersOfTicker = Pick<Schedules, 'follow' | 'ledgerOf' | 'declare' | 'tick' | 'refresh'>;

/** A schedule that this node sees to. */
interface Watched {
  row: ScheduleRow;
  readonly expression: CronExpression;
  readonly ledger: number;
  /** Ticks up to here have been asked for, or are not to be; in ms since the epoch. */
  seenTo: number;
  /** Infinity: there is none. */
  next: number;
  lastAsked: number;
}

/** The schedules of one ledger, as it last told of them. */
interface OfLedger {
  readonly state: string;
  readonly watched: Map<string, Watched>;
  /** By how much this node's clock is ahead of the keeper's, as far as that has shown. */
  aheadMs: number;
}

export class Ticker implements SchedulesListener {
  private readonly ledgers = new Map<number, OfLedger>();
  private readonly partitions = new Set<string>();
  /** Those that this node has begun to serve, and not heard of the schedules of. */
  private readonly beginning = new Set<string>();
  /** What code declares, by partition and name. */
  private readonly declared = new Map<string, DeclaredSchedule>();
  /** How many declarations a ledger has not answered yet. */
  private readonly declaring = new Map<number, number>();
  private readonly complaints = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    private readonly schedules: LedgersOfTicker,
    private readonly log: RogerLog,
  ) {}

  /**
   * Sees to the schedules of a partition from now on. Safe to repeat.
   * @param declared what this node's code declares, of this partition
   */
  serve(partition: string, declared: readonly DeclaredSchedule[] = []): void {
    if (this.isStopped || this.partitions.has(partition)) return;
    this.partitions.add(partition);
    this.beginning.add(partition);
    for (const schedule of declared) this.declared.set(keyOf(schedule), schedule);
    this.schedules.follow(this);
    if (declared.length > 0) this.declareAll(declared);
    else this.schedules.refresh(this.schedules.ledgerOf(partition));
  }

  /** Leaves the schedules of a partition to others. Safe to repeat. */
  leave(partition: string): void {
    this.partitions.delete(partition);
    this.beginning.delete(partition);
    for (const [key, schedule] of this.declared)
      if (schedule.partition === partition) this.declared.delete(key);
    const watched =
      this.ledgers.get(this.schedules.ledgerOf(partition))?.watched ?? new Map<string, Watched>();
    for (const [key, { row }] of watched) if (row.partition === partition) watched.delete(key);
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.ledgers.clear();
  }

  onSchedules(ledger: number, { state, schedules }: SchedulesReply): void {
    // What is declared may be another one than the ledger has told of.
    if (this.isStopped || this.declaring.has(ledger)) return;
    const former = this.ledgers.get(ledger);
    if (former !== undefined && former.state !== state) {
      // It has lost its past, and with it what was declared.
      this.ledgers.delete(ledger);
      const lost = [...this.declared.values()].filter(
        (one) => this.schedules.ledgerOf(one.partition) === ledger,
      );
      this.declareAll(lost);
      if (lost.length > 0) return;
    }
    const watched = new Map<string, Watched>();
    for (const row of schedules) {
      const one = this.watch(row, ledger, former);
      if (one !== undefined) watched.set(keyOf(row), one);
    }
    this.ledgers.set(ledger, { state, watched, aheadMs: 0 });
    for (const one of watched.values()) {
      if (former === undefined || this.beginning.has(one.row.partition)) this.begin(one);
    }
    for (const partition of this.beginning) {
      if (this.schedules.ledgerOf(partition) === ledger) this.beginning.delete(partition);
    }
    this.wake();
  }

  private declareAll(schedules: readonly DeclaredSchedule[]): void {
    for (const { partition } of schedules) {
      const ledger = this.schedules.ledgerOf(partition);
      this.declaring.set(ledger, (this.declaring.get(ledger) ?? 0) + 1);
    }
    for (const schedule of schedules) void this.declare(schedule);
  }

  private async declare(schedule: DeclaredSchedule): Promise<void> {
    const ledger = this.schedules.ledgerOf(schedule.partition);
    // One that is no longer declared here, for its partition has been left, is not told either.
    while (this.declared.get(keyOf(schedule)) === schedule && !(await this.isTold(schedule))) {
      await pause(ASK_AGAIN_MS);
      if (this.isStopped) return;
    }
    const left = (this.declaring.get(ledger) ?? 1) - 1;
    if (left > 0) {
      this.declaring.set(ledger, left);
      return;
    }
    this.declaring.delete(ledger);
    this.schedules.refresh(ledger);
  }

  private async isTold(schedule: DeclaredSchedule): Promise<boolean> {
    try {
      await this.schedules.declare(schedule);
      return true;
    } catch (error) {
      this.complain(schedule, error);
      return false;
    }
  }

  /** @returns undefined when this node has nothing to do with it. */
  private watch(row: ScheduleRow, ledger: number, former: OfLedger | undefined): Watched | undefined {
    const { partition, source, paused, revision, after } = row;
    if (paused || !this.partitions.has(partition)) return undefined;
    // What no code declares any more ticks no more.
    if (source === 'definition' && !this.declared.has(keyOf(row))) return undefined;
    const known = former?.watched.get(keyOf(row));
    if (known?.row.revision === revision) {
      known.row = row;
      return known;
    }
    const expression = CronExpression.read(row.expression, row.timeZone);
    if (!(expression instanceof CronExpression)) {
      this.complain(row, new Error(expression.message));
      return undefined;
    }
    return { row, expression, ledger, seenTo: after, next: 0, lastAsked: 0 };
  }

  /** This node begins: what nobody was there for is made up for, or not. */
  private begin(watched: Watched): void {
    const { row, expression } = watched;
    const now = Date.now();
    watched.seenTo = Math.max(row.after, now);
    if (row.catchUp === 'skip') return;
    const latest = expression.latestUpTo(now);
    if (latest !== undefined && latest > row.after) void this.ask(watched, latest, 0);
  }

  private wake(): void {
    clearTimeout(this.timer);
    let soonestMs = LONGEST_SLEEP_MS;
    for (const { watched, aheadMs } of this.ledgers.values()) {
      const now = Date.now() - aheadMs;
      for (const one of watched.values()) {
        // Where more has been seen to than there was yet, the clock was set back.
        if (one.next <= now || one.seenTo > now) this.seeTo(one, now, aheadMs);
        soonestMs = Math.min(soonestMs, one.next - now);
      }
    }
    this.timer = setTimeout(() => {
      this.wake();
    }, soonestMs);
    this.timer.unref();
  }

  private seeTo(one: Watched, now: number, aheadMs: number): void {
    const { expression, row } = one;
    const due = expression.dueTicks(Math.min(one.seenTo, now), now, TICK_GRACE_MS, row.catchUp);
    for (const tick of due) void this.ask(one, tick, aheadMs);
    one.seenTo = now;
    one.next = expression.nextAfter(now) ?? Infinity;
  }

  /** Asks until there is an answer, or a later tick to ask for. */
  private async ask(one: Watched, tick: number, aheadMs: number): Promise<void> {
    one.lastAsked = Math.max(one.lastAsked, tick);
    do {
      try {
        const reply = await this.schedules.tick(one.row, tick);
        if (!this.isWatched(one)) return;
        if (reply.tick !== 'full') {
          this.heed(one, tick, aheadMs, reply);
          return;
        }
        this.complain(one.row, new Error('its ledger is full'));
      } catch (error) {
        if (error instanceof RogerClosedError) return;
        this.complain(one.row, error);
      }
      await pause(ASK_AGAIN_MS);
    } while (one.lastAsked === tick && this.isWatched(one));
  }

  private heed(one: Watched, tick: number, aheadMs: number, reply: TickReply): void {
    this.complaints.delete(keyOf(one.row));
    const ledger = this.ledgers.get(one.ledger);
    if (reply.tick === 'unknown') this.schedules.refresh(one.ledger);
    if (reply.tick !== 'early' || ledger === undefined) return;
    // From here on by the keeper's clock.
    ledger.aheadMs = Math.max(ledger.aheadMs, aheadMs + reply.waitMs);
    one.seenTo = Math.min(one.seenTo, tick - 1);
    one.next = tick;
    this.wake();
  }

  private isWatched(one: Watched): boolean {
    return this.ledgers.get(one.ledger)?.watched.get(keyOf(one.row)) === one;
  }

  /** Once, until it goes well again. */
  private complain(schedule: { readonly partition: string; readonly name: string }, error: unknown): void {
    const key = keyOf(schedule);
    if (this.isStopped || this.complaints.has(key)) return;
    this.complaints.add(key);
    const problem = oneLine(error instanceof Error ? error.message : String(error));
    this.log.warn(`The recurring job ${schedule.name} of ${schedule.partition} is held up: ${problem}`);
  }
}

function keyOf({ partition, name }: { readonly partition: string; readonly name: string }): string {
  return `${partition} ${name}`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
