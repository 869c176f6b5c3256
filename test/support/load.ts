// A producer that goes on enqueueing until it is told to stop, and remembers what became of each job.
import type { JobQueue } from 'nestjs-roger';
import { PATIENCE_MS, within } from './within';
import type { WorkArgs } from './work';
import { Work } from './work';

export interface LoadOptions {
  readonly partition: string;
  /** How many enqueues are on their way at a time. */
  readonly atOnce: number;
  readonly args?: WorkArgs;
}

const loads = new Set<Load>();

afterEach(() => {
  // One that goes on against a closed app collects nothing but errors.
  for (const load of loads) load.end();
  loads.clear();
});

export class Load {
  /** The ids of the jobs whose enqueue resolved. */
  readonly confirmed: string[] = [];
  /** The errors of the others. */
  readonly refusals: Error[] = [];
  private isOver = false;
  private readonly loops: Promise<void>[];
  private onConfirmed: () => void = () => undefined;
  private count = 0;

  /** Begins at once. */
  constructor(jobs: JobQueue, options: LoadOptions) {
    this.loops = Array.from({ length: options.atOnce }, () => this.loop(jobs, options));
    loads.add(this);
  }

  /** Resolves when so many more enqueues have resolved. */
  more(count: number, limitMs = PATIENCE_MS): Promise<void> {
    const goal = this.confirmed.length + count;
    const reached = new Promise<void>((resolve) => {
      this.onConfirmed = () => {
        if (this.confirmed.length >= goal) resolve();
      };
    });
    return within(`${count} more jobs to be confirmed`, reached, () => this.standing(), limitMs);
  }

  /** Enqueues no more. Called by itself when the test ends. */
  end(): void {
    this.isOver = true;
  }

  /** Enqueues no more; resolves when every enqueue has settled. */
  async stop(): Promise<void> {
    this.end();
    await within('every enqueue to settle', Promise.all(this.loops), () => this.standing(), 2 * PATIENCE_MS);
  }

  private async loop(jobs: JobQueue, { partition, args }: LoadOptions): Promise<void> {
    while (!this.isOver) {
      const id = `job-${++this.count}`;
      try {
        await jobs.enqueue(Work, args ?? {}, { partition, id });
        this.confirmed.push(id);
        this.onConfirmed();
      } catch (error) {
        this.refusals.push(error as Error);
        // A refusal at once must not turn this into a busy loop.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  private standing(): string {
    return `${this.confirmed.length} confirmed, ${this.refusals.length} refused (${this.refusals.at(-1)?.message ?? ''})`;
  }
}
