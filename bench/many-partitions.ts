// How fast a thousand partitions start on one node, and what they cost it.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { PartitionService } from 'nestjs-roger';
import type { Benchmark } from './benchmark';
import { Tenants } from './tenants';

const PARTITIONS = 1_000;
const QUICK_PARTITIONS = 20;
const QUEUES = { default: 2, mail: 1 };
const POLL_MS = 20;
const IDLE_MS = 30_000;
const QUICK_IDLE_MS = 500;

export const manyPartitions: Benchmark = (conditions) => {
  const count = conditions.isQuick ? QUICK_PARTITIONS : PARTITIONS;
  const ids = Array.from({ length: count }, (_, n) => `tenant-${n}`);
  const queuesById = new Map(ids.map((id) => [id, QUEUES]));
  return Tenants.during(conditions, queuesById, async (tenants) => {
    const app = await tenants.startApp();
    const partitions = app.get(PartitionService);
    const [first = '', ...others] = ids;
    await partitions.start(first, QUEUES);
    const bytesBefore = await bytesHeld();
    const begunAt = performance.now();
    for (const id of others) void partitions.start(id, QUEUES);
    while (!ids.every((id) => partitions.isRunning(id))) await sleep(POLL_MS);
    const tookMs = performance.now() - begunAt;
    const idlePercent = await cpuPercent(conditions.isQuick ? QUICK_IDLE_MS : IDLE_MS);
    const megabytes = ((await bytesHeld()) - bytesBefore) / 2 ** 20;
    await app.close();
    const perSecond = (others.length / tookMs) * 1_000;
    const perThousand = (megabytes / others.length) * 1_000;
    return {
      rows: [
        {
          name: 'partitions of 2 queues started',
          unit: '/s',
          roger: perSecond,
          goal: { atLeast: 17 },
        },
        { name: '1000 idle partitions, memory held by the node', unit: 'MB', roger: perThousand },
        { name: `${count} idle partitions, CPU of the node`, unit: '%', roger: idlePercent },
      ],
      fields: {
        partitions_started_per_s: perSecond,
        mb_per_1000_partitions: perThousand,
        idle_partitions_cpu_percent: idlePercent,
      },
    };
  });
};

/** On the heap and beside it. The RSS would also tell what the start has thrown away, and the allocator kept. */
async function bytesHeld(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('Only without garbage is it the memory held: --expose-gc');
  // What the first collection lets go in finalizers goes with the second.
  globalThis.gc();
  await nextTurn();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function cpuPercent(ms: number): Promise<number> {
  const before = process.cpuUsage();
  await sleep(ms);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / ms;
}
