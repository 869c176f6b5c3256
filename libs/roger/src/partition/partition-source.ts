// Where a user's partitions come from, when they don't stand in the options.
import type { PartitionQueues, PartitionQueuesById } from './queue-options';

/** A partition that has come, has other queues, or is gone. */
export interface PartitionChange {
  readonly partition: string;
  /** All its queues; undefined: it is gone, and is stopped on this node. */
  readonly queues: PartitionQueues | undefined;
}

/**
 * A catalogue of partitions of your own: a provider of the app, named by `partitions: { useExisting: Tenants }`.
 *
 * While it can't be read, the app runs with what it knew last, and asks again after a pause that grows up to a minute.
 * An entry that is wrong is refused with a line in the log, and harms no other.
 *
 * @example
 * ```ts
 * import { on } from 'node:events';
 * import { EventEmitter } from 'node:events';
 * import { Injectable } from '@nestjs/common';
 * import type { PartitionChange, PartitionQueuesById, PartitionSource } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Tenants implements PartitionSource {
 *   private readonly events = new EventEmitter();
 *
 *   load(): Promise<PartitionQueuesById> {
 *     return Promise.resolve({ acme: { default: 10 }, umbrella: { default: 2 } });
 *   }
 *
 *   async *changes(signal: AbortSignal): AsyncGenerator<PartitionChange> {
 *     for await (const [change] of on(this.events, 'change', { signal })) yield change as PartitionChange;
 *   }
 *
 *   goodbye(tenant: string): void {
 *     this.events.emit('change', { partition: tenant, queues: undefined } satisfies PartitionChange);
 *   }
 * }
 * ```
 */
export interface PartitionSource {
  /** All partitions, each with all its queues. What it gave before and doesn't any more is stopped. */
  load(): PartitionQueuesById | Promise<PartitionQueuesById>;
  /**
   * What changes from now on. Begun before `load` is called, so that nothing falls between the two. When it ends or
   * throws, both are called anew after a pause. Left out: what `load` gave stays.
   * @param signal aborts when the app shuts down
   */
  changes?(signal: AbortSignal): AsyncIterable<PartitionChange>;
}
