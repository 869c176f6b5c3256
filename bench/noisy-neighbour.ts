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
/** What a job of the flood waits for, as for a database. */
const WAIT_MS = 2;
/** Deep enough that the flood lasts as long as the trickle beside it. */
const FLOOD = 200_000;
const QUICK_FLOOD = 2_000;
const SAMPLES = 1_500;
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

/** With nothing to wait for, it takes the whole of a core here and of another at the broker. */
@RogerJob()
class FloodJob implements JobHandler<{ waits: boolean }> {
  async perform({ waits }: { waits: boolean }): Promise<void> {
    if (waits) await sleep(WAIT_MS);
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
    await latencies(jobs, quiet, WARM_UP);
    const alone = quantile(await latencies(jobs, quiet, samples), 0.99);
    const beside = async (waits: boolean): Promise<{ p99: number; perSecond: number }> => {
      // What the producer costs is not the neighbour's doing: the flood stands in its queue before it is let loose.
      partitions.pause(FLOODED, 'default');
      const flood = Array.from({ length: conditions.isQuick ? QUICK_FLOOD : FLOOD }, () => ({ waits }));
      await jobs.enqueueMany(FloodJob, flood, { partition: FLOODED });
      flooded = 0;
      const begunAt = performance.now();
      partitions.resume(FLOODED);
      const seen = await latencies(jobs, quiet, samples, () => flooded < flood.length);
      const perSecond = (flooded / (performance.now() - begunAt)) * 1_000;
      while (flooded < flood.length) await sleep(10);
      return { p99: quantile(seen, 0.99), perSecond };
    };
    const waiting = await beside(true);
    const empty = await beside(false);
    await app.close();
    const ratio = waiting.p99 / alone;
    return {
      rows: [
        { name: 'start of a job, all quiet p99', unit: 'ms', roger: alone },
        { name: `start of a job beside a flood of ${WAIT_MS} ms jobs p99`, unit: 'ms', roger: waiting.p99 },
        { name: 'the flood beside it', unit: '/s', roger: waiting.perSecond },
        { name: 'noisy neighbour, p99 in times of quiet', unit: '', roger: ratio, goal: { atMost: 2 } },
        { name: 'start of a job beside a flood of empty jobs p99', unit: 'ms', roger: empty.p99 },
        { name: 'the flood beside it', unit: '/s', roger: empty.perSecond },
      ],
      fields: {
        noisy_neighbour_p99_ratio: ratio,
        quiet_start_ms_p99: alone,
        flooded_start_ms_p99: waiting.p99,
        noisy_empty_jobs_p99_ratio: empty.p99 / alone,
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
