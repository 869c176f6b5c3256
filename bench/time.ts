// All that has to do with time and ends: delays, retries, cancels of running jobs, jobs in threads.
import type { Benchmark, Result } from './benchmark';
import { delays } from './delays';
import { isolation } from './isolation';
import { retries } from './retries';

export const time: Benchmark = async (conditions) => {
  const parts: Result[] = [];
  for (const benchmark of [delays, retries, isolation]) parts.push(await benchmark(conditions));
  return {
    rows: parts.flatMap(({ rows }) => rows),
    fields: Object.fromEntries(parts.flatMap(({ fields }) => Object.entries(fields))),
  };
};
