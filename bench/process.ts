// How many jobs that do nothing a process runs in a second from a filled queue.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Arena } from './arena';
import type { Benchmark, Conditions, Goal, Result, Row } from './benchmark';
import { PlainJob } from './jobs';
import type { RawConsumerOptions } from './raw';
import { consumeRaw, RawPublisher } from './raw';
import type { Contestant, Score } from './rounds';
import { compete } from './rounds';
import { Tally } from './tally';

const JOBS = 60_000;
/** One by one at prefetch 10 is so slow that fewer say as much. */
const SLOW_JOBS = 20_000;
const ROUNDS = 5;
const QUICK_JOBS = 1_000;

export const work: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, conditions: Conditions): Promise<Result> {
  const publisher = await RawPublisher.open(await arena.connect(), await arena.messageOf(PlainJob));

  const raw =
    (jobs: number, options: Omit<RawConsumerOptions, 'queue'>): Contestant =>
    async () => {
      await publisher.fill(jobs);
      const tally = new Tally();
      const ended = tally.expect(jobs);
      const connection = await arena.connect();
      const channel = await consumeRaw(connection, tally, { queue: arena.nameOf(), ...options });
      const span = await ended;
      // The last acks go out at the end of this turn of the event loop.
      await nextTurn();
      await channel.close();
      await connection.close();
      await arena.clear(0);
      return span;
    };
  const roger =
    (jobs: number, maxWorkers: number): Contestant =>
    async () => {
      await publisher.fill(jobs);
      const tally = new Tally();
      const ended = tally.expect(jobs);
      const app = await arena.startWorker({ default: maxWorkers }, tally);
      const span = await ended;
      await app.close();
      await arena.clear(0);
      return span;
    };
  const jobs = conditions.isQuick ? QUICK_JOBS : JOBS;
  const slowJobs = conditions.isQuick ? QUICK_JOBS : SLOW_JOBS;
  const { raw250, raw10, roger10, roger100 } = await compete(
    {
      raw250: raw(jobs, { prefetch: 250, acks: 'grouped' }),
      roger10: roger(jobs, 10),
      roger100: roger(jobs, 100),
      raw10: raw(slowJobs, { prefetch: 10, acks: 'each' }),
    },
    { rounds: ROUNDS, isQuick: conditions.isQuick },
  );

  const rows = [
    row('process, maxWorkers 10; raw: prefetch 250, grouped acks', raw250, roger10, { atLeast: 0.6 }),
    row('process, maxWorkers 100; raw: prefetch 250, grouped acks', raw250, roger100, { atLeast: 0.6 }),
    row('process, maxWorkers 10; raw: prefetch 10, an ack each', raw10, roger10, { atLeast: 4 }),
  ];
  const [process10VsRaw250, process100VsRaw250, process10VsRaw10] = rows.map(({ ratio }) => ratio) as [
    number,
    number,
    number,
  ];
  return {
    rows,
    fields: {
      process10_vs_raw250: process10VsRaw250,
      process10_vs_raw10: process10VsRaw10,
      process100_vs_raw250: process100VsRaw250,
      jobs_per_s_10: roger10.jobsPerSecond,
      jobs_per_s_100: roger100.jobsPerSecond,
      process_cpu_us_raw: raw250.cpuUsPerJob,
      process10_cpu_us: roger10.cpuUsPerJob,
      process100_cpu_us: roger100.cpuUsPerJob,
    },
  };
}

function row(name: string, raw: Score, roger: Score, goal: Goal): Row & { ratio: number } {
  const cpuUs = { raw: raw.cpuUsPerJob, roger: roger.cpuUsPerJob };
  const ratio = roger.ratioTo(raw);
  return { name, unit: 'jobs/s', raw: raw.jobsPerSecond, roger: roger.jobsPerSecond, cpuUs, ratio, goal };
}
