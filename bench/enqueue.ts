// How many jobs a process enqueues in a second, each confirmed and routed.
import { Arena } from './arena';
import type { Benchmark, Conditions, Result, Row } from './benchmark';
import { ARGS, PlainJob } from './jobs';
import { inFlight, RawPublisher } from './raw';
import type { Contestant, Score } from './rounds';
import { compete, startSpan } from './rounds';

/** Short rounds, and many, see more of the machine's weather. */
const JOBS = 10_000;
const ROUNDS = 15;
const QUICK_JOBS = 1_000;
const GOAL = { atLeast: 0.85 };

export const enqueue: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, conditions: Conditions): Promise<Result> {
  const raw = await RawPublisher.open(await arena.connect(), await arena.messageOf(PlainJob));
  const app = await arena.startProducer();
  const { jobs } = app;
  const total = conditions.isQuick ? QUICK_JOBS : JOBS;

  const timed =
    (task: () => Promise<unknown>): Contestant =>
    async () => {
      const endSpan = startSpan();
      await task();
      const span = endSpan(total);
      await arena.clear(total);
      return span;
    };
  const scores = await compete(
    {
      raw100: timed(() => inFlight(100, total, () => raw.publish())),
      roger100: timed(() => inFlight(100, total, () => jobs.enqueue(PlainJob, ARGS))),
      raw1000: timed(() => inFlight(1_000, total, () => raw.publish())),
      roger1000: timed(() => inFlight(1_000, total, () => jobs.enqueue(PlainJob, ARGS))),
      rogerMany: timed(() =>
        jobs.enqueueMany(
          PlainJob,
          Array.from({ length: total }, () => ARGS),
        ),
      ),
    },
    { rounds: ROUNDS, isQuick: conditions.isQuick },
  );
  await app.close();

  const { raw100, roger100, raw1000, roger1000, rogerMany } = scores;
  const rows = [
    row('enqueue, 100 in flight', raw100, roger100),
    row('enqueue, 1000 in flight', raw1000, roger1000),
    row('enqueueMany', raw1000, rogerMany),
  ];
  const [ratio100, ratio1000, ratioMany] = rows.map(({ ratio }) => ratio) as [number, number, number];
  return {
    rows,
    fields: {
      enqueue100_vs_raw: ratio100,
      enqueue1000_vs_raw: ratio1000,
      enqueueMany_vs_raw: ratioMany,
      enqueue_cpu_us_raw: raw1000.cpuUsPerJob,
      enqueue_cpu_us: roger1000.cpuUsPerJob,
      enqueueMany_cpu_us: rogerMany.cpuUsPerJob,
    },
  };
}

function row(name: string, raw: Score, roger: Score): Row & { ratio: number } {
  const cpuUs = { raw: raw.cpuUsPerJob, roger: roger.cpuUsPerJob };
  const ratio = roger.ratioTo(raw);
  return {
    name,
    unit: 'jobs/s',
    raw: raw.jobsPerSecond,
    roger: roger.jobsPerSecond,
    cpuUs,
    ratio,
    goal: GOAL,
  };
}
