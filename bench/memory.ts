// Whether memory stays flat while one process enqueues and runs very many jobs.
import { Arena } from './arena';
import type { Benchmark, Conditions, Result } from './benchmark';
import { ARGS, PlainJob } from './jobs';
import { median } from './rounds';

const SLICE = 10_000;
const QUICK_SLICE = 500;
const SLICES = 50;
const QUICK_SLICES = 10;
const WARM_UP = 0.2;
const MAX_WORKERS = 10;
const MIB = 1024 * 1024;

export const memory: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, { isQuick }: Conditions): Promise<Result> {
  const app = await arena.startWorker({ default: MAX_WORKERS });
  const { jobs, tally } = app;
  const size = isQuick ? QUICK_SLICE : SLICE;
  const slices = isQuick ? QUICK_SLICES : SLICES;
  const usages: NodeJS.MemoryUsage[] = [];
  for (let slice = 0; slice < slices; slice++) {
    const ended = tally.expect(size);
    await jobs.enqueueMany(
      PlainJob,
      Array.from({ length: size }, () => ARGS),
    );
    await ended;
    globalThis.gc?.();
    usages.push(process.memoryUsage());
  }
  await app.close();

  // A single look at the RSS says little: the allocator gives back when it likes.
  const window = slices / 10;
  const warm = usages.slice(slices * WARM_UP, slices * WARM_UP + window);
  const last = usages.slice(-window);
  const growthMb = (of: 'rss' | 'heapUsed'): number =>
    (median(last.map((usage) => usage[of])) - median(warm.map((usage) => usage[of]))) / MIB;
  const fields = {
    rss_growth_mb: growthMb('rss'),
    heap_growth_mb: growthMb('heapUsed'),
    rss_mb: median(last.map(({ rss }) => rss)) / MIB,
  };
  const span = `over ${size * slices} jobs`;
  return {
    rows: [
      { name: `RSS growth ${span}`, unit: 'MB', roger: fields.rss_growth_mb, goal: { atMost: 20 } },
      { name: `heap growth ${span}`, unit: 'MB', roger: fields.heap_growth_mb, goal: { atMost: 5 } },
      { name: 'RSS at the end', unit: 'MB', roger: fields.rss_mb },
    ],
    fields,
  };
}
