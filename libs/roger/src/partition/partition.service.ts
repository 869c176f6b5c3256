// The partitions that this node serves.
import { UnknownPartitionError } from '../job/errors';
import type { RogerLog } from '../job/log';
import type { Transport } from '../transport';
import type { Worker } from '../worker/worker';
import type { Lane, OutcomeCounts } from './lane';
import type { PartitionQueues } from './partition';
import { Partition } from './partition';

/** How a queue stands on this node. */
export interface LaneStatus {
  readonly queue: string;
  readonly maxWorkers: number;
  /** Jobs that run now. */
  readonly running: number;
  /** Jobs at hand that have not begun. */
  readonly atHand: number;
  /** How deliveries have ended since the start. */
  readonly counts: Readonly<OutcomeCounts>;
  /** Why no jobs come at the moment; undefined while they do. */
  readonly waitingFor: Error | undefined;
}

/**
 * The partitions (tenants) that this node serves. Inject it to see how they stand.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { PartitionService } from 'nestjs-roger';
 *
 * \@Injectable()
 * export class Board {
 *   constructor(private readonly partitions: PartitionService) {}
 *   busy(): number {
 *     return this.partitions.queues('acme').reduce((sum, queue) => sum + queue.running, 0);
 *   }
 * }
 * ```
 */
export class PartitionService {
  private readonly partitions = new Map<string, Partition>();

  /** @internal */
  constructor(
    private readonly configured: Readonly<Record<string, PartitionQueues>>,
    private readonly transport: Transport,
    private readonly worker: Worker,
    private readonly log: RogerLog,
  ) {}

  /** The ids of the partitions that this node serves. */
  get ids(): readonly string[] {
    return [...this.partitions.keys()];
  }

  /** Whether the partition is served here and all its queues get their jobs. */
  isRunning(partition: string): boolean {
    const lanes = this.partitions.get(partition)?.lanes;
    return lanes !== undefined && [...lanes.values()].every((lane) => lane.waitingFor === undefined);
  }

  /** How the queues of a partition stand on this node. @throws UnknownPartitionError */
  queues(partition: string): LaneStatus[] {
    return [...this.find(partition).lanes.values()].map((lane) => ({
      queue: lane.address.queue,
      maxWorkers: lane.maxWorkers,
      running: lane.runningCount,
      atHand: lane.atHandCount,
      counts: { ...lane.counts },
      waitingFor: lane.waitingFor,
    }));
  }

  /** @internal */
  get lanes(): readonly Lane[] {
    return [...this.partitions.values()].flatMap((partition) => [...partition.lanes.values()]);
  }

  /** @internal */
  startAll(): void {
    for (const [id, queues] of Object.entries(this.configured)) {
      const partition = new Partition(id, queues, this.transport, this.worker);
      this.partitions.set(id, partition);
      partition.start();
    }
    if (this.partitions.size > 0) this.log.log(`Serving ${describePartitions(this.configured)}`);
  }

  /** @internal */
  async drainAll(timeoutMs: number): Promise<void> {
    await Promise.all([...this.partitions.values()].map((partition) => partition.drain(timeoutMs)));
    this.partitions.clear();
  }

  private find(id: string): Partition {
    const partition = this.partitions.get(id);
    if (partition === undefined) throw new UnknownPartitionError(id, this.ids);
    return partition;
  }
}

const MANY = 10;

function describePartitions(partitions: Readonly<Record<string, PartitionQueues>>): string {
  const entries = Object.entries(partitions);
  if (entries.length > MANY) return `${entries.length} partitions`;
  return entries.map(([id, queues]) => `${id} (${Object.keys(queues).join(', ')})`).join(', ');
}
