// The benchmarks by name, in the order in which they run.
import type { Benchmark } from './benchmark';
import { cluster } from './cluster';
import { cost } from './cost';
import { engine } from './engine';
import { enqueue } from './enqueue';
import { keys } from './keys';
import { latency } from './latency';
import { memory } from './memory';
import { priorities } from './priorities';
import { work } from './process';
import { time } from './time';

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  enqueue,
  process: work,
  keys,
  time,
  cluster,
  latency,
  priorities,
  memory,
  cost,
  engine,
};
