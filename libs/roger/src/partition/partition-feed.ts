// Follows a user's source of partitions: has them served as they come, and stopped as they go. Never gives up.
import { setTimeout as pause } from 'node:timers/promises';
import { describe } from '../job/names';
import { isRecord } from '../job/option-checks';
import { oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import type { PartitionChange, PartitionSource } from './partition-source';
import type { PartitionQueues } from './queue-options';

const AGAIN_MIN_MS = 1_000;
const AGAIN_MAX_MS = 60_000;

/** Who serves the partitions. */
export interface PartitionTaker {
  accept(partition: string, queues: PartitionQueues): Promise<void>;
  dismiss(partition: string): Promise<void>;
}

export class PartitionFeed {
  /** Those that the source has given. */
  private readonly given = new Set<string>();
  private readonly end = new AbortController();
  private complaint: string | undefined;

  constructor(
    /** Finds the source. May throw. */
    private readonly find: () => PartitionSource,
    private readonly taker: PartitionTaker,
    private readonly log: RogerLog,
    private readonly againMs = { min: AGAIN_MIN_MS, max: AGAIN_MAX_MS },
  ) {}

  start(): void {
    void this.follow();
  }

  stop(): void {
    this.end.abort();
  }

  private async follow(): Promise<void> {
    const { signal } = this.end;
    let waitMs = this.againMs.min;
    while (!signal.aborted) {
      const begunAt = performance.now();
      try {
        if ((await this.read()) === 'no changes to come') return;
        this.say('its changes have ended');
      } catch (error) {
        this.say(error instanceof Error ? error.message : String(error));
      }
      if (performance.now() - begunAt > this.againMs.max) waitMs = this.againMs.min;
      await pause(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
      waitMs = Math.min(2 * waitMs, this.againMs.max);
    }
  }

  private async read(): Promise<'ended' | 'no changes to come'> {
    const source = this.find();
    const changes = source.changes?.(this.end.signal)[Symbol.asyncIterator]();
    try {
      // Asked for before the load: what changes meanwhile is not missed.
      let next = changes?.next();
      next?.catch(() => undefined);
      const loaded: unknown = await this.unlessStopped(Promise.resolve(source.load()));
      if (loaded === undefined) return 'ended';
      this.takeAll(loaded);
      while (next !== undefined) {
        const result = await this.unlessStopped(next);
        if (result === undefined || result.done === true) return 'ended';
        this.take(result.value);
        next = changes?.next();
      }
      return 'no changes to come';
    } finally {
      // One that doesn't heed its signal is not waited for.
      void Promise.resolve(changes?.return?.()).catch(() => undefined);
    }
  }

  private takeAll(loaded: unknown): void {
    if (!isRecord(loaded)) {
      throw new Error(`it must give an object like { acme: { default: 10 } }, not ${describe(loaded)}`);
    }
    if (this.complaint !== undefined) this.log.log('The partitions can be read again');
    this.complaint = undefined;
    const entries = Object.entries(loaded) as [string, PartitionQueues][];
    this.log.log(`${entries.length} partitions have been read`);
    for (const partition of [...this.given]) if (!Object.hasOwn(loaded, partition)) this.dismiss(partition);
    for (const [partition, queues] of entries) this.accept(partition, queues);
  }

  private take(change: unknown): void {
    const { partition, queues } = (isRecord(change) ? change : {}) as Partial<PartitionChange>;
    if (typeof partition !== 'string') {
      this.log.error(
        `A change of the partitions is refused: it must be { partition, queues }, not ${describe(change)}`,
      );
    } else if (queues === undefined) {
      this.dismiss(partition);
    } else {
      this.accept(partition, queues);
    }
  }

  private accept(partition: string, queues: PartitionQueues): void {
    this.given.add(partition);
    this.taker.accept(partition, queues).catch((error: unknown) => {
      if (this.end.signal.aborted) return;
      const problem = oneLine(error instanceof Error ? error.message : String(error));
      this.log.error(`An entry of the partitions is refused: ${problem}`);
    });
  }

  private dismiss(partition: string): void {
    this.given.delete(partition);
    this.taker.dismiss(partition).catch(() => {
      // It was refused, or has been stopped by hand.
    });
  }

  /** @returns undefined when it is stopped first. */
  private async unlessStopped<T>(promise: Promise<T>): Promise<T | undefined> {
    const { signal } = this.end;
    let onAbort = (): void => undefined;
    const stopped = new Promise<undefined>((resolve) => {
      onAbort = () => {
        resolve(undefined);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) resolve(undefined);
    });
    try {
      return await Promise.race([promise, stopped]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** One line per cause, not one per try. */
  private say(complaint: string): void {
    if (this.end.signal.aborted || complaint === this.complaint) return;
    this.complaint = complaint;
    this.log.warn(`The partitions can't be read: ${oneLine(complaint)}; trying on with those that are known`);
  }
}
