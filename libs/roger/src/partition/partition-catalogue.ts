// Which partitions and queues this node has, at any moment; they come and go at run time.
import type { QueueAddress } from '../job/names';
import type { PartitionQueues, PartitionQueuesById } from './queue-options';

/** A worker serves what stands here; a producer only knows of it. */
export class PartitionCatalogue {
  private readonly partitions: Map<string, PartitionQueues>;

  constructor(configured: PartitionQueuesById = {}) {
    this.partitions = new Map(Object.entries(configured));
  }

  get ids(): readonly string[] {
    return [...this.partitions.keys()];
  }

  /** The only one, where there is exactly one. */
  get only(): string | undefined {
    const [only] = this.partitions.size === 1 ? this.partitions.keys() : [];
    return only;
  }

  has({ partition, queue }: QueueAddress): boolean {
    const queues = this.partitions.get(partition);
    return queues !== undefined && Object.hasOwn(queues, queue);
  }

  queuesOf(partition: string): PartitionQueues | undefined {
    return this.partitions.get(partition);
  }

  /** The retry levels of a queue; undefined: it has none of its own. */
  retryLevelsOf({ partition, queue }: QueueAddress): readonly number[] | undefined {
    const options = this.partitions.get(partition)?.[queue];
    return typeof options === 'object' ? options.retryLevels : undefined;
  }

  /** The retry levels that queues have of their own. */
  get retryLevels(): number[] {
    return [...this.partitions.values()]
      .flatMap((queues) => Object.values(queues))
      .flatMap((options) => (typeof options === 'object' ? (options.retryLevels ?? []) : []));
  }

  put(partition: string, queues: PartitionQueues): void {
    this.partitions.set(partition, queues);
  }

  /** @returns whether it was there. */
  remove(partition: string): boolean {
    return this.partitions.delete(partition);
  }
}
