// How long a job takes from `enqueue` to its start when there is nothing else to do.
import { setTimeout as sleep } from 'node:timers/promises';
import { Arena } from './arena';
import type { Benchmark, Conditions, Result, Row } from './benchmark';
import { ARGS, PlainJob } from './jobs';
import { consumeRaw, RawPublisher } from './raw';
import { quantile } from './rounds';
import { Tally } from './tally';

const JOBS = 500;
const QUICK_JOBS = 50;
const WARM_UP_JOBS = 25;
/** Raw and Roger take turns, so each has one job in twice this time. */
const TURN_MS = 10;
const MAX_WORKERS = 10;

export const latency: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions), ['default', 'raw']);

async function measure(arena: Arena, { isQuick }: Conditions): Promise<Result> {
  // Two connections, as Roger has.
  const publisher = await RawPublisher.open(await arena.connect(), await arena.messageOf(PlainJob, 'raw'));
  const rawStopwatch = new Stopwatch();
  await consumeRaw(await arena.connect(), rawStopwatch.tally, {
    queue: arena.nameOf('raw'),
    prefetch: MAX_WORKERS,
    acks: 'each',
  });
  const stopwatch = new Stopwatch();
  const roger = await arena.startWorker({ default: MAX_WORKERS }, stopwatch.tally);

  const total = WARM_UP_JOBS + (isQuick ? QUICK_JOBS : JOBS);
  const all = Promise.all([rawStopwatch.tally.expect(total), stopwatch.tally.expect(total)]);
  for (let job = 0; job < total; job++) {
    rawStopwatch.start();
    void publisher.publish();
    await sleep(TURN_MS);
    stopwatch.start();
    void roger.jobs.enqueue(PlainJob, ARGS);
    await sleep(TURN_MS);
  }
  await all;
  await roger.close();

  const rows = [
    row('latency p50', rawStopwatch.quantile(0.5), stopwatch.quantile(0.5), { atMost: 1.3 }),
    row('latency p99', rawStopwatch.quantile(0.99), stopwatch.quantile(0.99)),
  ];
  const [p50, p99] = rows as [(typeof rows)[0], (typeof rows)[0]];
  return {
    rows,
    fields: {
      latency_p50_vs_raw: p50.ratio,
      latency_p99_vs_raw: p99.ratio,
      latency_p50_ms: p50.roger,
      latency_p99_ms: p99.roger,
    },
  };
}

/** Jobs arrive in the order in which they were sent. */
class Stopwatch {
  readonly tally = new Tally();
  private readonly begun: bigint[] = [];
  private readonly tookMs: number[] = [];

  constructor() {
    this.tally.onCount = () => {
      this.tookMs.push(Number(process.hrtime.bigint() - (this.begun[this.tookMs.length] ?? 0n)) / 1e6);
    };
  }

  start(): void {
    this.begun.push(process.hrtime.bigint());
  }

  quantile(part: number): number {
    return quantile(this.tookMs.slice(WARM_UP_JOBS), part);
  }
}

function row(name: string, raw: number, roger: number, goal?: Row['goal']): Row & { ratio: number } {
  return { name, unit: 'ms', raw, roger, ratio: roger / raw, ...(goal === undefined ? {} : { goal }) };
}
