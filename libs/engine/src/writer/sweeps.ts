// Changes of many rows that are yet to be written: each twice, for other nodes may still be about to write rows of before.
import type { Line } from './lines';
import { bytesOf } from './lines';
import type { Spool } from './spool';
import type { Sweep } from './spool-lines';
import { sweepLine } from './spool-lines';

/** So long after the first time. */
const AGAIN_MS = 10_000;

/** More are not kept while the database is away; the oldest go. */
const MAX_WAITING = 10_000;
/** Rows of jobs must not wait for all of them. */
const AT_A_TIME = 100;

interface WaitingSweep {
  readonly sweep: Sweep;
  /** In the spool. */
  readonly line: Line | undefined;
}

export class Sweeps {
  private readonly waiting: WaitingSweep[] = [];
  /** Those that are to be written once more. */
  private readonly later = new Set<NodeJS.Timeout>();

  constructor(
    private readonly spool: Pick<Spool, 'append'> | undefined,
    /** Something waits to be written. */
    private readonly onDue: () => void,
    private readonly onDropped: () => void,
  ) {}

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Whether none is to be written once more either. */
  get isOver(): boolean {
    return this.isEmpty && this.later.size === 0;
  }

  add(sweep: Sweep): void {
    const line = this.spool?.append(bytesOf(sweepLine(sweep)));
    this.push({ sweep, line });
    const again = setTimeout(() => {
      this.later.delete(again);
      this.push({ sweep, line });
      line?.release();
    }, AGAIN_MS).unref();
    this.later.add(again);
  }

  /** Some of them. Rejects with the first that can't be written: it and those behind it stay. */
  async writeBy(write: (sweep: Sweep) => Promise<void>): Promise<void> {
    for (let count = 0; count < AT_A_TIME; count++) {
      const [next] = this.waiting;
      if (next === undefined) return;
      await write(next.sweep);
      // Unless it was dropped meanwhile.
      if (this.waiting[0] === next) this.shift();
    }
  }

  close(): void {
    for (const again of this.later) clearTimeout(again);
  }

  private push(waiting: WaitingSweep): void {
    waiting.line?.hold();
    this.waiting.push(waiting);
    if (this.waiting.length > MAX_WAITING) {
      this.shift();
      this.onDropped();
    }
    this.onDue();
  }

  private shift(): void {
    this.waiting.shift()?.line?.release();
  }
}
