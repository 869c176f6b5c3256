// The buried jobs of a queue in memory, the oldest first, and how they are looked through.
import Denque from 'denque';
import type { BuriedMessage, BuriedVisitor } from '../../transport';
import type { BuriedJob } from './stored-job';

interface Grave {
  readonly job: BuriedJob;
  readonly buriedAt: number;
  /** Grows with every burial. */
  readonly place: number;
}

/** How many are shown at a time. */
const GRAVES_PER_PART = 100;

export class Graves {
  private graves = new Denque<Grave>();
  private nextPlace = 0;

  /** Of those that nobody looks at. */
  get length(): number {
    return this.graves.length;
  }

  all(): readonly BuriedJob[] {
    return this.graves.toArray().map(({ job }) => job);
  }

  add(job: BuriedJob): void {
    this.graves.push({ job, buriedAt: Date.now(), place: this.nextPlace++ });
  }

  takeOldest(): BuriedJob | undefined {
    return this.graves.shift()?.job;
  }

  /** See the port's `visitBuried`. */
  async visit(visit: BuriedVisitor, limit: number): Promise<void> {
    let left = Math.min(limit, this.graves.length);
    const seen: Grave[] = [];
    try {
      while (left > 0) {
        const part = this.takePart(left);
        if (part.length === 0) return;
        left -= part.length;
        const from = seen.length;
        seen.push(...part);
        const shown = part.map(messageOf);
        const { removed, isOver } = await visit(shown);
        const gone = new Set(removed);
        seen.splice(
          from,
          part.length,
          ...part.filter((_, index) => !gone.has(shown[index] as BuriedMessage)),
        );
        if (isOver) return;
      }
    } finally {
      this.giveBack(seen);
    }
  }

  private takePart(limit: number): Grave[] {
    const part: Grave[] = [];
    while (part.length < Math.min(GRAVES_PER_PART, limit)) {
      const grave = this.graves.shift();
      if (grave === undefined) break;
      part.push(grave);
    }
    return part;
  }

  /** Each to its place, also when two look at once. */
  private giveBack(seen: readonly Grave[]): void {
    if (seen.length === 0) return;
    this.graves = new Denque([...seen, ...this.graves.toArray()].sort((a, b) => a.place - b.place));
  }
}

function messageOf({ job: { id, body, reason }, buriedAt }: Grave): BuriedMessage {
  return { id, body, reason, buriedAt };
}
