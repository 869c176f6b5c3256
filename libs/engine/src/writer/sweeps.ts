// Changes of many rows that are yet to be written: each twice, for other nodes may still be about to write rows of before.
import type { Segment, Spool } from './spool';
import { UNSPOOLED } from './spool';
import type { Sweep } from './spool-lines';
import { sweepLine } from './spool-lines';

/** So long after the first time. */
const AGAIN_MS = 10_000;

interface WaitingSweep {
  readonly sweep: Sweep;
  readonly segment: Segment;
}

export class Sweeps {
  private readonly waiting: WaitingSweep[] = [];
  /** Those that are to be written once more. */
  private readonly later = new Set<NodeJS.Timeout>();

  constructor(
    private readonly spool: Pick<Spool, 'append'> | undefined,
    /** Something waits to be written. */
    private readonly onDue: () => void,
  ) {}

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Whether none is to be written once more either. */
  get isOver(): boolean {
    return this.isEmpty && this.later.size === 0;
  }

  add(sweep: Sweep): void {
    const segment = this.spool?.append(sweepLine(sweep)) ?? UNSPOOLED;
    this.push({ sweep, segment });
    segment.hold();
    const again = setTimeout(() => {
      this.later.delete(again);
      this.push({ sweep, segment });
      segment.release();
    }, AGAIN_MS).unref();
    this.later.add(again);
  }

  /** Rejects with the first that can't be written: it and those behind it stay. */
  async writeBy(write: (sweep: Sweep) => Promise<void>): Promise<void> {
    for (;;) {
      const [next] = this.waiting;
      if (next === undefined) return;
      await write(next.sweep);
      this.waiting.shift();
      next.segment.release();
    }
  }

  close(): void {
    for (const again of this.later) clearTimeout(again);
  }

  private push(waiting: WaitingSweep): void {
    waiting.segment.hold();
    this.waiting.push(waiting);
    this.onDue();
  }
}
