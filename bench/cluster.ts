// All that has to do with many partitions and many nodes: how fast partitions start, what they cost each
// other, and what a rolling restart costs.
import type { Benchmark, Result } from './benchmark';
import { manyPartitions } from './many-partitions';
import { noisyNeighbour } from './noisy-neighbour';
import { rollingRestart } from './rolling-restart';

export const cluster: Benchmark = async (conditions) => {
  const parts: Result[] = [];
  // The partitions first, for their memory is weighed: a fresh process has nothing to lose meanwhile.
  for (const benchmark of [manyPartitions, noisyNeighbour, rollingRestart])
    parts.push(await benchmark(conditions));
  return {
    rows: parts.flatMap(({ rows }) => rows),
    fields: Object.fromEntries(parts.flatMap(({ fields }) => Object.entries(fields))),
  };
};
