// Lets a bounded number of tasks run at once, each of many parties in its turn; one that hangs holds up nobody for long.
import Denque from 'denque';

/** The broker makes no more queues per second when more are asked for at once. */
const AT_ONCE = 8;
/** A task that takes longer goes on, but doesn't count any more. */
const PATIENCE_MS = 3_000;

export class FairTurns {
  /** The tasks of each party, by the turns of the parties. */
  private readonly waiting = new Map<string, Denque<() => void>>();
  private running = 0;

  constructor(
    private readonly atOnce = AT_ONCE,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /** Runs the task when it is the party's turn, and settles as the task does. */
  async take<T>(party: string, task: () => Promise<T>): Promise<T> {
    if (this.running >= this.atOnce) await this.turnOf(party);
    else this.running++;
    let hasPlace = true;
    const leave = (): void => {
      if (!hasPlace) return;
      hasPlace = false;
      this.callNext();
    };
    const timer = setTimeout(leave, this.patienceMs).unref();
    try {
      return await task();
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  private turnOf(party: string): Promise<void> {
    return new Promise((resolve) => {
      const others = this.waiting.get(party);
      if (others === undefined) this.waiting.set(party, new Denque([resolve]));
      else others.push(resolve);
    });
  }

  /** Gives its place to the first of the next party, which is the last in line then. */
  private callNext(): void {
    for (const [party, tasks] of this.waiting) {
      const begin = tasks.shift();
      this.waiting.delete(party);
      if (tasks.length > 0) this.waiting.set(party, tasks);
      if (begin !== undefined) {
        begin();
        return;
      }
    }
    this.running--;
  }
}
