// All that has to do with many partitions and many nodes: how fast partitions start, and what they cost each other.
import type { Benchmark, Result } from './benchmark';
import { manyPartitions } from './many-partitions';
import { noisyNeighbour } from './noisy-neighbour';

export const cluster: Benchmark = async (conditions) => {
  const parts: Result[] = [];
  for (const benchmark of [noisyNeighbour, manyPartitions]) parts.push(await benchmark(conditions));
  return {
    rows: parts.flatMap(({ rows }) => rows),
    fields: Object.fromEntries(parts.flatMap(({ fields }) => Object.entries(fields))),
  };
};
