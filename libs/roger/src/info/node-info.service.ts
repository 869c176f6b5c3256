// What this node does right now, for an operator.
import type { Job } from '../job/job';
import type { LaneStatus, PartitionService } from '../partition/partition.service';

/** A partition on this node. */
export interface PartitionInfo {
  readonly partition: string;
  readonly queues: readonly LaneStatus[];
}

/** A job that runs on this node. */
export interface RunningJob {
  readonly job: Job;
  /** In ms since the epoch, by this node's clock. */
  readonly startedAt: number;
  /** What it has told last by `context.progress`; undefined: nothing in this attempt. */
  readonly progress: unknown;
}

/** What this node does right now. Reads memory only: cheap, and says nothing of other nodes. */
export class NodeInfoService {
  /** @internal */
  constructor(private readonly partitionService: PartitionService) {}

  /** All partitions that this node serves or would like to. */
  partitions(): PartitionInfo[] {
    return this.partitionService.ids.map((partition) => ({
      partition,
      queues: this.partitionService.queues(partition),
    }));
  }

  /** Those whose queues all get their jobs. */
  runningPartitions(): PartitionInfo[] {
    return this.partitions().filter(({ partition }) => this.partitionService.isRunning(partition));
  }

  /** Those with a queue that gets no jobs at the moment; the queue's `waitingFor` says why. */
  waitingPartitions(): PartitionInfo[] {
    return this.partitions().filter(({ partition }) => !this.partitionService.isRunning(partition));
  }

  /** The ids of {@link runningPartitions}. */
  runningPartitionIds(): string[] {
    return this.partitionService.ids.filter((partition) => this.partitionService.isRunning(partition));
  }

  /** The jobs that run now, the longest-running first. */
  runningJobs(): RunningJob[] {
    return this.partitionService.lanes
      .flatMap((lane) => lane.runs)
      .flatMap(({ job, startedAt, progress }) => (job === undefined ? [] : [{ job, startedAt, progress }]))
      .sort((a, b) => a.startedAt - b.startedAt);
  }
}
