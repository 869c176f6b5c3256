// One tenant on this node: its lanes, started and stopped together.
import type { QueueAddress } from '../job/names';
import type { Transport } from '../transport';
import type { Worker } from '../worker/worker';
import type { Hold } from './lane';
import { Lane } from './lane';

/** The settings of a queue on this node. */
export interface QueueOptions {
  /** How many jobs of the queue run at once on this node, 1 to 65000. */
  maxWorkers: number;
  /**
   * Seconds before the 1st, 2nd, … retry of a job that fails here and whose definition doesn't say its own; as the
   * module's `retryLevels`.
   * @default the module's
   */
  retryLevels?: readonly number[] | undefined;
}

/** The queues of a partition on this node, by name. A number stands for `{ maxWorkers }`. */
export type PartitionQueues = Readonly<Record<string, number | QueueOptions>>;

/** The retry levels of a queue; undefined: it has none of its own. */
export function retryLevelsOfQueue(
  partitions: Readonly<Record<string, PartitionQueues>>,
  { partition, queue }: QueueAddress,
): readonly number[] | undefined {
  const options = partitions[partition]?.[queue];
  return typeof options === 'object' ? options.retryLevels : undefined;
}

/** The retry levels that queues have of their own. */
export function levelsOfQueues(partitions: Readonly<Record<string, PartitionQueues>>): number[] {
  return Object.values(partitions)
    .flatMap((queues) => Object.values(queues))
    .flatMap((options) => (typeof options === 'object' ? (options.retryLevels ?? []) : []));
}

export class Partition {
  readonly lanes: ReadonlyMap<string, Lane>;

  constructor(
    readonly id: string,
    queues: PartitionQueues,
    transport: Transport,
    worker: Worker,
    whyUnknown: () => Error | undefined,
    abortGraceMs: number,
  ) {
    this.lanes = new Map(
      Object.entries(queues).map(([queue, options]) => {
        const maxWorkers = typeof options === 'number' ? options : options.maxWorkers;
        const address = { partition: id, queue };
        return [queue, new Lane(address, maxWorkers, transport, worker, whyUnknown, abortGraceMs)];
      }),
    );
  }

  start(holds: readonly Hold[]): void {
    for (const lane of this.lanes.values()) lane.start(holds);
  }

  async drain(timeoutMs: number): Promise<void> {
    await Promise.all([...this.lanes.values()].map((lane) => lane.drain(timeoutMs)));
  }
}
