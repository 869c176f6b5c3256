// What the broker knows of the jobs, for an operator.
import { InvalidArgumentError } from '../job/errors';
import { problemOfJobId, problemOfPartitionId } from '../job/names';
import type { JobProgress, ProgressListener, ProgressWatches } from '../reports/progress-watches';
import type { QueueDepth, Transport, TransportState } from '../transport';

/** A node that runs the job answers within milliseconds; a process's first question opens its mailbox before. */
const PROGRESS_TIMEOUT_MS = 2_000;

/** What holds for the whole cluster, as the broker and the other nodes tell it. */
export class InfoService {
  /** @internal */
  constructor(
    private readonly transport: Transport,
    private readonly watches: ProgressWatches,
  ) {}

  /** What carries the jobs (`RabbitMQ 3.10.8`, `memory`) and how it stands with the connection. */
  transportInfo(): { readonly transport: string; readonly state: TransportState } {
    return { transport: this.transport.describe(), state: this.transport.state };
  }

  /**
   * How many jobs of a queue are ready, how many consumers it has on all nodes, and how many jobs are buried; undefined
   * when no worker has ever declared it. Asks the broker; disturbs nothing.
   * @throws NotConnectedError
   */
  queueDepth(partition: string, queue: string): Promise<QueueDepth | undefined> {
    return this.transport.depth({ partition, queue });
  }

  /**
   * How far a job is that runs on whatever node: what it has told last by `context.progress`. Undefined when no node
   * says within 2 s that it runs it.
   * @throws InvalidArgumentError
   */
  async progress(partition: string, jobId: string): Promise<JobProgress | undefined> {
    checkJob(partition, jobId);
    return this.watches.ask(partition, jobId, PROGRESS_TIMEOUT_MS);
  }

  /**
   * Calls the listener whenever the job tells how far it is, on whatever node, now or in a later attempt, until the
   * returned function is called. At most 10 times per second; the last one always comes (within 3 s where a message got
   * lost). What the job told before is told at once, if it runs.
   *
   * The end of a job is no progress: await that by `finished`, or end the watch when you learn of it.
   * @throws InvalidArgumentError
   *
   * @example
   * ```ts
   * import { InfoService } from 'nestjs-roger';
   *
   * export function show(info: InfoService, jobId: string): () => void {
   *   return info.onProgress('acme', jobId, ({ attempt, value }) => {
   *     console.log(`attempt ${attempt}:`, value);
   *   });
   * }
   * ```
   */
  onProgress(partition: string, jobId: string, listener: ProgressListener): () => void {
    checkJob(partition, jobId);
    if (typeof listener !== 'function') throw new InvalidArgumentError('listener', 'it must be a function');
    return this.watches.watch(partition, jobId, listener);
  }
}

function checkJob(partition: string, jobId: string): void {
  const problemOfPartition = problemOfPartitionId(partition);
  if (problemOfPartition !== undefined) throw new InvalidArgumentError('partition', problemOfPartition);
  const problemOfId = problemOfJobId(jobId);
  if (problemOfId !== undefined) throw new InvalidArgumentError('jobId', problemOfId);
}
