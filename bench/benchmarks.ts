// The benchmarks by name, in the order in which they run.
import type { Benchmark } from './benchmark';
import { cost } from './cost';
import { enqueue } from './enqueue';
import { isolation } from './isolation';
import { keys } from './keys';
import { latency } from './latency';
import { memory } from './memory';
import { work } from './process';

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  enqueue,
  process: work,
  keys,
  latency,
  memory,
  cost,
  isolation,
};
