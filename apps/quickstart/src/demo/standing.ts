// How things stand with each partition, asked of Roger.
import type { InfoService, NodeInfoService } from 'nestjs-roger';
import { sum } from './sum';
import type { Tally } from './tally';

export interface Standing {
  readonly partition: string;
  /** Undefined while the broker doesn't answer. */
  readonly queued: number | undefined;
  readonly running: number;
  readonly enqueued: number;
  readonly done: number;
  readonly retried: number;
  readonly buried: number;
}

export interface Sources {
  readonly tally: Tally;
  readonly info: InfoService;
  readonly nodeInfo: NodeInfoService;
}

export async function standings({ tally, info, nodeInfo }: Sources): Promise<Standing[]> {
  const accounts = tally.accounts();
  return Promise.all(
    nodeInfo.partitions().map(async ({ partition, queues }) => {
      const own = accounts.filter((account) => account.partition === partition);
      const atHand = sum(queues.map((queue) => queue.atHand));
      const ready = await readyJobs(
        info,
        partition,
        queues.map(({ queue }) => queue),
      );
      return {
        partition,
        queued: ready === undefined ? undefined : ready + atHand,
        running: sum(queues.map((queue) => queue.running)),
        enqueued: sum(own.map((account) => account.enqueued)),
        done: sum(own.map((account) => account.done)),
        retried: sum(own.map((account) => account.retries)),
        buried: sum(own.map((account) => account.buried)),
      };
    }),
  );
}

async function readyJobs(
  info: InfoService,
  partition: string,
  queues: readonly string[],
): Promise<number | undefined> {
  try {
    const depths = await Promise.all(queues.map((queue) => info.queueDepth(partition, queue)));
    return sum(depths.map((depth) => depth?.ready ?? 0));
  } catch {
    return undefined;
  }
}
