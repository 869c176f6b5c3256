// A node's copy of what was cancelled and paused, so that looking before a run costs nothing.
import { performance } from 'node:perf_hooks';
import type { Standing, StandingChange } from './operation';

/** A cancel that never meets its job is forgotten after a day, if it is not said to be kept; a little later than by the ledger. */
const KEPT_MS = 25 * 60 * 60 * 1_000;

const RECENT = 10_000;

/** That a copy is void, as it was heard at some time. */
export interface MovedNote {
  readonly at: number;
}

/** The moment of a ledger's state at which a change was made. */
type StandingVersion = Pick<Standing, 'state' | 'version'>;

/** Told of changes on this node. None of its methods may throw. */
export interface StandingListener {
  /** The queue's consumers should be there or not. */
  onPauseChange(partition: string, queue: string): void;
  /** @returns whether the job runs on this node (with this fence, if one is said). */
  onCancel(partition: string, id: string, reason: string, fence: number | undefined): boolean;
  /** @returns whether a copy of the job that no ledger has sent, queued at this time, runs on this node. */
  onMoved(partition: string, id: string, queuedAt: number): boolean;
  /** Whether anything may begin has changed. */
  onCurrentChange(): void;
}

/** The standing of one ledger's partitions. */
export class StandingBoard {
  private readonly cancelled = new Map<string, { readonly reason: string; readonly at: number }>();
  /** Copies that no ledger has sent and that are void, as far as is known: the ledger may know better. */
  private readonly moved = new Map<string, MovedNote>();
  private readonly paused = new Set<string>();
  /** Until when no cancel of a partition is forgotten, in ms since the epoch. */
  private readonly cancelsKept = new Map<string, number>();
  private current = false;
  /** What came lately: a standing that is fetched may be older. */
  private recent: { readonly at: StandingVersion; readonly change: StandingChange }[] = [];

  constructor(private readonly listener: StandingListener) {}

  /** Whether everything that was acknowledged is on it. While it is not, nothing must begin. */
  get isCurrent(): boolean {
    return this.current;
  }

  /** Why the job, or its run with this fence, was cancelled; undefined: it was not. */
  cancelReason(partition: string, id: string, fence?: number): string | undefined {
    // Nearly always empty, and asked before every run.
    return this.cancelled.size === 0 ? undefined : this.cancelled.get(keyOf(partition, id, fence))?.reason;
  }

  /** What is noted of a copy that no ledger has sent: that it may be void. To be asked before every run, and after. */
  movedNote(partition: string, id: string, queuedAt: number): MovedNote | undefined {
    return this.moved.size === 0 ? undefined : this.moved.get(copyOf(partition, id, queuedAt));
  }

  /** The ledger says that it isn't so; what was noted since it was asked stays. */
  forgetMoved(partition: string, id: string, queuedAt: number, note: MovedNote): void {
    const key = copyOf(partition, id, queuedAt);
    if (this.moved.get(key) === note) this.moved.delete(key);
  }

  isPaused(partition: string, queue: string): boolean {
    return this.paused.size > 0 && this.paused.has(`${partition} ${queue}`);
  }

  /** Changes may have been missed. */
  outdate(): void {
    if (!this.current) return;
    this.current = false;
    this.listener.onCurrentChange();
  }

  /** The whole standing, as it was at its version; changes that came later are kept. */
  replace({ state, version, cancelled, paused, cancelsKept = [], moved = [] }: Standing): void {
    const pausedBefore = [...this.paused];
    this.cancelled.clear();
    this.paused.clear();
    this.cancelsKept.clear();
    this.moved.clear();
    for (const [partition, id, queuedAt] of moved) this.noteMoved(copyOf(partition, id, queuedAt));
    for (const [partition, until] of cancelsKept) this.cancelsKept.set(partition, until);
    for (const [partition, id, reason, fence] of cancelled)
      this.noteCancel(keyOf(partition, id, fence), reason);
    for (const [partition, queue] of paused) this.paused.add(`${partition} ${queue}`);
    this.recent = this.recent.filter(({ at: later }) => isAfter(later, { state, version }));
    for (const { change } of this.recent) this.note(change);
    for (const queue of new Set([...pausedBefore, ...this.paused])) {
      const [partition = '', name = ''] = queue.split(' ');
      this.listener.onPauseChange(partition, name);
    }
    for (const [key, { reason }] of this.cancelled) {
      const [partition = '', id = '', fence] = key.split(' ');
      this.listener.onCancel(partition, id, reason, fence === undefined ? undefined : Number(fence));
    }
    if (this.current) return;
    this.current = true;
    this.listener.onCurrentChange();
  }

  /** @returns whether it is about a job that runs on this node. */
  apply(at: StandingVersion, change: StandingChange): boolean {
    this.recent.push({ at, change });
    if (this.recent.length > RECENT) this.recent.shift();
    this.note(change);
    switch (change.kind) {
      case 'cancel':
        return this.listener.onCancel(change.partition, change.id, change.reason, change.fence);
      case 'moved':
        return this.listener.onMoved(change.partition, change.id, change.queuedAt);
      case 'met':
      case 'unmoved':
      case 'keep cancels':
        return false;
      case 'pause':
      case 'resume':
        this.listener.onPauseChange(change.partition, change.queue);
        return false;
    }
  }

  /** The cancelled job was met and ended. */
  forget(partition: string, id: string): void {
    this.cancelled.delete(keyOf(partition, id));
  }

  expire(): void {
    const since = performance.now() - KEPT_MS;
    for (const [key, { at }] of this.cancelled) {
      if (at > since) return;
      if (this.isKept(key)) continue;
      this.cancelled.delete(key);
    }
  }

  /** Copies are void as long as their job is held, which only the ledger knows: it has to be asked for the standing. */
  get hasOldNotes(): boolean {
    const [oldest] = this.moved.values();
    return oldest !== undefined && oldest.at < performance.now() - KEPT_MS;
  }

  private isKept(key: string): boolean {
    if (this.cancelsKept.size === 0) return false;
    const [partition = ''] = key.split(' ');
    return (this.cancelsKept.get(partition) ?? 0) > Date.now();
  }

  /** They are in the order of their times. */
  private noteCancel(key: string, reason: string): void {
    this.cancelled.delete(key);
    this.cancelled.set(key, { reason, at: performance.now() });
  }

  private noteMoved(key: string): void {
    this.moved.set(key, { at: performance.now() });
  }

  private note(change: StandingChange): void {
    const { partition } = change;
    switch (change.kind) {
      case 'cancel':
        this.noteCancel(keyOf(partition, change.id, change.fence), change.reason);
        return;
      case 'met':
        this.cancelled.delete(keyOf(partition, change.id));
        return;
      case 'moved':
        this.noteMoved(copyOf(partition, change.id, change.queuedAt));
        return;
      case 'unmoved':
        this.moved.delete(copyOf(partition, change.id, change.queuedAt));
        return;
      case 'keep cancels':
        this.cancelsKept.set(partition, Math.max(this.cancelsKept.get(partition) ?? 0, change.until));
        return;
      case 'pause':
        this.paused.add(`${partition} ${change.queue}`);
        return;
      case 'resume':
        this.paused.delete(`${partition} ${change.queue}`);
    }
  }
}

function copyOf(partition: string, id: string, queuedAt: number): string {
  return `${partition} ${id} ${queuedAt}`;
}

/** Neither partitions nor job ids hold a space. */
function keyOf(partition: string, id: string, fence?: number): string {
  return fence === undefined ? `${partition} ${id}` : `${partition} ${id} ${fence}`;
}

/** Nothing is known of the order in which states came; but before the first one there was nothing. */
function isAfter(one: StandingVersion, other: StandingVersion): boolean {
  return other.state === '' || (one.state === other.state && one.version > other.version);
}
