// Keeps account of every job of the demo: expected, retried, ended.
import { Injectable } from '@nestjs/common';
import {
  RogerCallbacks,
  type AfterRunEvent,
  type BuriedEvent,
  type ErrorEvent,
  type Job,
  type WorkerCallbacks,
} from 'nestjs-roger';

/** What became of the jobs of one kind of one tenant. */
export interface Account {
  readonly partition: string;
  readonly name: string;
  enqueued: number;
  done: number;
  retries: number;
  buried: number;
}

interface Fate {
  readonly partition: string;
  readonly name: string;
  /** False for what an earlier run has left on the broker, and for a job whose enqueue hasn't answered yet. */
  isOurs: boolean;
  retries: number;
  end: 'done' | 'buried' | undefined;
  reason: string | undefined;
}

type Named = Pick<Job, 'id' | 'partition' | 'name'>;

/** Goes by job ids: a job may be told of as done before it is expected, and twice when the broker repeats it. */
@Injectable()
@RogerCallbacks()
export class Tally implements WorkerCallbacks {
  private readonly fates = new Map<string, Fate>();
  private open = 0;
  private isComplete = false;
  private onAllEnded: () => void = () => undefined;
  /** Resolves when all has been enqueued and every job of it has ended. */
  readonly allEnded = new Promise<void>((resolve) => (this.onAllEnded = resolve));

  /** Says that this job is, or is about to be, enqueued. */
  expect(job: Named): void {
    const fate = this.fateOf(job);
    fate.isOurs = true;
    if (fate.end === undefined) this.open++;
  }

  /** Says that nothing more will be enqueued. */
  complete(): void {
    this.isComplete = true;
    this.check();
  }

  afterRun({ job }: AfterRunEvent): void {
    this.end(this.fateOf(job), 'done');
  }

  onError({ job, next }: ErrorEvent): void {
    if (next.kind === 'retry') this.fateOf(job).retries++;
  }

  onBuried({ job, error }: BuriedEvent): void {
    if (job === undefined) return;
    const fate = this.fateOf(job);
    fate.reason = error.message;
    this.end(fate, 'buried');
  }

  /** One account for each kind of each tenant, in the order in which they came. */
  accounts(): Account[] {
    const accounts = new Map<string, Account>();
    for (const { partition, name, isOurs, retries, end } of this.fates.values()) {
      if (!isOurs) continue;
      const key = `${partition} ${name}`;
      const account = accounts.get(key) ?? { partition, name, enqueued: 0, done: 0, retries: 0, buried: 0 };
      accounts.set(key, account);
      account.enqueued++;
      account.retries += retries;
      if (end !== undefined) account[end]++;
    }
    return [...accounts.values()];
  }

  /** Why the first of the buried is there. */
  get firstReason(): string | undefined {
    return [...this.fates.values()].find(({ isOurs, end }) => isOurs && end === 'buried')?.reason;
  }

  /** How many jobs ended here that this run did not enqueue. */
  get strangers(): number {
    return [...this.fates.values()].filter(({ isOurs, end }) => !isOurs && end !== undefined).length;
  }

  private fateOf({ id, partition, name }: Named): Fate {
    const known = this.fates.get(id);
    if (known !== undefined) return known;
    const fate: Fate = { partition, name, isOurs: false, retries: 0, end: undefined, reason: undefined };
    this.fates.set(id, fate);
    return fate;
  }

  private end(fate: Fate, end: 'done' | 'buried'): void {
    if (fate.end !== undefined) return;
    fate.end = end;
    if (fate.isOurs) this.open--;
    this.check();
  }

  private check(): void {
    if (this.isComplete && this.open === 0) this.onAllEnded();
  }
}
