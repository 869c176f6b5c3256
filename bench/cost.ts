// What DTO validation and request scope cost a job, in CPU time of the process.
import { Arena } from './arena';
import type { Benchmark, Conditions, Result } from './benchmark';
import type { JobClass } from 'nestjs-roger';
import { CheckedJob, PlainJob, ScopedJob } from './jobs';
import { RawPublisher } from './raw';
import type { Contestant } from './rounds';
import { compete } from './rounds';
import { Tally } from './tally';

const JOBS = 20_000;
const ROUNDS = 3;
const QUICK_JOBS = 1_000;
const MAX_WORKERS = 10;

export const cost: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, conditions: Conditions): Promise<Result> {
  const connection = await arena.connect();
  const jobs = conditions.isQuick ? QUICK_JOBS : JOBS;
  const runs = async (jobClass: JobClass): Promise<Contestant> => {
    const publisher = await RawPublisher.open(connection, await arena.messageOf(jobClass));
    return async () => {
      await publisher.fill(jobs);
      const tally = new Tally();
      const ended = tally.expect(jobs);
      const app = await arena.startWorker({ default: MAX_WORKERS }, tally);
      const span = await ended;
      await app.close();
      await arena.clear(0);
      return span;
    };
  };
  const scores = await compete(
    { plain: await runs(PlainJob), checked: await runs(CheckedJob), scoped: await runs(ScopedJob) },
    { rounds: ROUNDS, isQuick: conditions.isQuick },
  );

  const plain = scores.plain.cpuUsPerJob;
  const fields = {
    plain_cpu_us: plain,
    dto_cpu_us: scores.checked.cpuUsPerJob - plain,
    request_scope_cpu_us: scores.scoped.cpuUsPerJob - plain,
  };
  const unit = 'µs CPU/job';
  return {
    rows: [
      { name: 'a plain job', unit, roger: fields.plain_cpu_us },
      { name: '+ DTO validation before the run', unit, roger: fields.dto_cpu_us },
      { name: '+ request scope', unit, roger: fields.request_scope_cpu_us },
    ],
    fields,
  };
}
