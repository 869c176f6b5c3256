// Keeps rejections that a job's run leaves unhandled from ending the process. Whatever else rejects is Node's, as ever.
import { AsyncLocalStorage } from 'node:async_hooks';
import { oneLine } from '../job/errors';
import type { Job } from '../job/job';
import type { RogerLog } from '../job/log';
import { describe } from '../job/names';

/** On the listeners of all instances, those of other copies of this library too. */
const MARK = Symbol.for('nestjs-roger.stray-rejections');

/** What instances know of each other: whoever is first acts for all. */
interface Mark {
  /** Whether the rejection that is told of now stems from one of its jobs. */
  readonly isOwn: () => boolean;
  isWatching: boolean;
}

type Listener = (reason: unknown) => void;
type Marked = Listener & { readonly [MARK]: Mark };

export class StrayRejections {
  /** Undefined: nothing is told apart, and nothing is spent on it. */
  private readonly runs: AsyncLocalStorage<Job> | undefined;
  private readonly listener: Marked;

  /** @param policy see `unhandledRejections` of the options */
  constructor(
    policy: 'log' | 'leave',
    private readonly log: RogerLog,
  ) {
    this.runs = policy === 'leave' || isPolicySaidToNode() ? undefined : new AsyncLocalStorage();
    const mark: Mark = { isOwn: () => this.runs?.getStore() !== undefined, isWatching: false };
    this.listener = Object.assign((reason: unknown) => this.onRejection(reason), { [MARK]: mark });
  }

  /** Safe to repeat. */
  watch(): void {
    const mark = this.listener[MARK];
    if (this.runs === undefined || mark.isWatching) return;
    mark.isWatching = true;
    process.on('unhandledRejection', this.listener);
  }

  /** Safe to repeat. */
  leave(): void {
    this.listener[MARK].isWatching = false;
    process.off('unhandledRejection', this.listener);
  }

  /** What rejects in the course of it, or of what it has begun, is the job's. */
  within<T>(job: Job, run: () => T): T {
    return this.runs === undefined ? run() : this.runs.run(job, run);
  }

  private onRejection(reason: unknown): void {
    const job = this.runs?.getStore();
    if (job !== undefined) {
      const problem = reason instanceof Error ? reason.message : describe(reason);
      this.log.error(
        `Job ${job.name} ${job.id} has left a rejection unhandled: ${oneLine(problem)}. Its outcome doesn't show it: ` +
          `let its handler await all that it begins`,
        reason instanceof Error ? reason.stack : undefined,
      );
      return;
    }
    const listeners = process.listeners('unhandledRejection') as readonly unknown[] as readonly Listener[];
    const marked = listeners.filter(isMarked);
    // An app that listens itself decides itself.
    if (marked[0] !== this.listener || marked.length < listeners.length) return;
    if (!marked.some((one) => one[MARK].isOwn())) giveToNode(reason, marked);
  }
}

function isMarked(listener: Listener): listener is Marked {
  return MARK in listener;
}

/** Rejects once more while nobody listens: Node does what it would have done, down to the last detail. */
function giveToNode(reason: unknown, listeners: readonly Marked[]): void {
  for (const listener of listeners) process.off('unhandledRejection', listener);
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it stays what it is
  void Promise.reject(reason);
  // Later than Node looks for rejections. It is not reached unless the app survives them.
  setImmediate(() => {
    for (const listener of listeners) {
      if (listener[MARK].isWatching) process.on('unhandledRejection', listener);
    }
  });
}

/** Who tells Node by a flag what to do with rejections means all. */
function isPolicySaidToNode(): boolean {
  const flags = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ');
  return /--unhandled[-_]rejections[= ](?!throw\b)/.test(flags);
}
