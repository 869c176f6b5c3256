// By how much the jobs of quiet partitions start later while another partition of the same node is flooded.
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobHandler } from 'nestjs-roger';
import { JobQueue, PartitionService, RogerJob } from 'nestjs-roger';
import type { Benchmark } from './benchmark';
import { quantile } from './rounds';
import { Tenants } from './tenants';

const QUIET = 20;
const FLOODED = 'flooded';
const FLOODED_WORKERS = 50;
/** Refilled as it drains, so that it is deep all the time. */
const FLOOD = 50_000;
const QUICK_FLOOD = 2_000;
const SAMPLES = 2_000;
const QUICK_SAMPLES = 50;
const WARM_UP = 100;
/** Between two jobs of the trickle. */
const TRICKLE_MS = 4;

let onStart: (sentAt: number) => void = () => undefined;
let flooded = 0;

@RogerJob()
class TrickleJob implements JobHandler<{ sentAt: number }> {
  perform({ sentAt }: { sentAt: number }): void {
    onStart(sentAt);
  }
}

@RogerJob()
class FloodJob implements JobHandler<object> {
  perform(): void {
    flooded++;
  }
}

export const noisyNeighbour: Benchmark = (conditions) => {
  const quiet = Array.from({ length: QUIET }, (_, n) => `quiet-${n}`);
  const queuesById = new Map([
    ...quiet.map((id) => [id, { default: 2 }] as const),
    [FLOODED, { default: FLOODED_WORKERS }],
  ]);
  const samples = conditions.isQuick ? QUICK_SAMPLES : SAMPLES;
  return Tenants.during(conditions, queuesById, async (tenants) => {
    const app = await tenants.startApp([TrickleJob, FloodJob]);
    const jobs = app.get(JobQueue);
    const partitions = app.get(PartitionService);
    for (const [id, queues] of queuesById) await partitions.start(id, queues);
    // What the producer costs is not the neighbour's doing: the flood stands in its queue before it is let loose.
    partitions.pause(FLOODED, 'default');
    const flood = Array.from({ length: conditions.isQuick ? QUICK_FLOOD : FLOOD }, () => ({}));
    await jobs.enqueueMany(FloodJob, flood, { partition: FLOODED });

    await latencies(jobs, quiet, WARM_UP);
    const alone = await latencies(jobs, quiet, samples);
    const before = flooded;
    const begunAt = performance.now();
    partitions.resume(FLOODED);
    const beside = await latencies(jobs, quiet, samples, () => flooded - before < flood.length);
    const floodPerSecond = ((flooded - before) / (performance.now() - begunAt)) * 1_000;
    await app.close();
    const [quietP99, besideP99] = [quantile(alone, 0.99), quantile(beside, 0.99)];
    const ratio = besideP99 / quietP99;
    return {
      rows: [
        { name: 'start of a job, all quiet p99', unit: 'ms', roger: quietP99 },
        { name: 'start of a job beside a flood p99', unit: 'ms', roger: besideP99 },
        { name: 'the flood beside it', unit: '/s', roger: floodPerSecond },
        { name: 'noisy neighbour, p99 in times of quiet', unit: '', roger: ratio, goal: { atMost: 2 } },
      ],
      fields: {
        noisy_neighbour_p99_ratio: ratio,
        quiet_start_ms_p99: quietP99,
        flooded_start_ms_p99: besideP99,
      },
    };
  });
};

/** How long jobs of the quiet partitions take from their enqueue to their start, in ms, while it holds. */
async function latencies(
  jobs: JobQueue,
  partitions: readonly string[],
  count: number,
  holds: () => boolean = () => true,
): Promise<readonly number[]> {
  const seen: number[] = [];
  let sent = 0;
  onStart = (sentAt) => {
    seen.push(performance.now() - sentAt);
  };
  const enqueued: Promise<unknown>[] = [];
  while (sent < count && holds()) {
    const partition = partitions[sent++ % partitions.length];
    enqueued.push(
      jobs.enqueue(TrickleJob, { sentAt: performance.now() }, partition === undefined ? {} : { partition }),
    );
    await sleep(TRICKLE_MS);
  }
  await Promise.all(enqueued);
  while (seen.length < sent) await sleep(1);
  return seen;
}
