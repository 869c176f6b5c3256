// Tells every serving node of a change and waits, not for ever, until all have heard it.
import { performance } from 'node:perf_hooks';
import type { PresentNodes } from './present-nodes';

/** A node that says nothing for this long is asked whether it is there at all. */
const PROBE_MS = 250;
/** Whoever has not said by then that it has heard is named as missing. */
const LIMIT_MS = 3_000;
const LOOK_MS = 50;

export interface Heard {
  /** Who did not say that it has heard. */
  readonly missing: readonly string[];
  /** Whether the job that was cancelled runs somewhere. */
  readonly isRunning: boolean;
}

interface Announcement {
  readonly begunAt: number;
  readonly heardBy: Set<string>;
  isRunning: boolean;
  probedAt: number;
  readonly gone: Set<string>;
  readonly resolve: (heard: Heard) => void;
}

export class Announcements {
  private readonly open = new Map<number, Announcement>();
  private lastNumber = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly nodes: PresentNodes,
    /** Whether the broker knows the node. */
    private readonly probe: (node: string) => Promise<boolean>,
  ) {}

  /** @param announce tells it to all, under this number. Never rejects. */
  tell(announce: (number: number) => void): Promise<Heard> {
    const number = ++this.lastNumber;
    return new Promise((resolve) => {
      const now = performance.now();
      this.open.set(number, {
        begunAt: now,
        heardBy: new Set(),
        isRunning: false,
        probedAt: now,
        gone: new Set(),
        resolve,
      });
      announce(number);
      this.timer ??= setInterval(() => {
        this.look();
      }, LOOK_MS);
      if (this.nodes.incompleteForMs === 0) this.settleIfHeard(number, now);
    });
  }

  heard(number: number, node: string, isRunning: boolean): void {
    const announcement = this.open.get(number);
    if (announcement === undefined) return;
    announcement.heardBy.add(node);
    announcement.isRunning ||= isRunning;
    this.settleIfHeard(number, performance.now());
  }

  close(): void {
    clearInterval(this.timer);
    for (const { resolve, isRunning } of this.open.values()) resolve({ missing: [], isRunning });
    this.open.clear();
  }

  private look(): void {
    const now = performance.now();
    for (const number of [...this.open.keys()]) this.settleIfHeard(number, now);
    if (this.open.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private settleIfHeard(number: number, now: number): void {
    const announcement = this.open.get(number);
    if (announcement === undefined) return;
    const { heardBy, gone, isRunning } = announcement;
    const missing = this.nodes.serving().filter((node) => !heardBy.has(node) && !gone.has(node));
    const isComplete = missing.length === 0 && this.nodes.incompleteForMs === 0;
    if (isComplete || now - announcement.begunAt >= LIMIT_MS) {
      this.open.delete(number);
      announcement.resolve({ missing, isRunning });
    } else if (now - announcement.probedAt >= PROBE_MS) {
      announcement.probedAt = now;
      for (const node of missing) void this.probeOne(node, gone);
    }
  }

  private async probeOne(node: string, gone: Set<string>): Promise<void> {
    // Who can't be asked may be there.
    if (await this.probe(node).catch(() => true)) return;
    gone.add(node);
    this.nodes.left(node);
  }
}
