// Whether jobs of higher priority go first: a mix of all priorities waits, and one worker app works it off.
import { Arena } from './arena';
import type { Benchmark, Conditions, Result } from './benchmark';
import { RankedJob } from './jobs';
import { Tally } from './tally';

const JOBS = 5_000;
const QUICK_JOBS = 200;
const MAX_WORKERS = 10;
const PRIORITIES = 10;
/** What a node may have at hand of each lane; see docs/decisions/0025-lanes-for-priorities.md. */
const AT_HAND = MAX_WORKERS + 125;
/** How often that may go before what a higher lane is about to get: when consumers are renewed, and once when that was late. */
const TIMES = 2;
/** Lanes that wait get one of so many. */
const STARVING_ONE_IN = 100;

export const priorities: Benchmark = (conditions) =>
  Arena.during(conditions, (arena) => measure(arena, conditions));

async function measure(arena: Arena, { isQuick }: Conditions): Promise<Result> {
  const jobs = isQuick ? QUICK_JOBS : JOBS;
  const producer = await arena.startProducer();
  for (let n = 0; n < jobs; n++) {
    // In no order: 7 and 10 have no common divisor.
    const priority = (n * 7) % PRIORITIES;
    await producer.jobs.enqueue(RankedJob, { priority }, { priority });
  }
  const tally = new Tally();
  RankedJob.ran.length = 0;
  const all = tally.expect(jobs);
  const worker = await arena.startWorker({ default: MAX_WORKERS }, tally);
  const { ms } = await all;
  const perSecond = (jobs * 1_000) / ms;
  const { inversions, beyond } = inversionsIn(RankedJob.ran);
  await Promise.all([worker.close(), producer.close()]);
  return {
    rows: [
      { name: 'priorities', unit: 'jobs/s', roger: perSecond },
      { name: 'jobs before higher ones', unit: 'jobs', roger: inversions },
      { name: 'more than the bound says', unit: 'jobs', roger: beyond, goal: { atMost: 0 } },
    ],
    fields: {
      priorities_jobs_per_s: perSecond,
      priority_early_jobs: inversions,
      priority_inversions: beyond,
    },
  };
}

/** Jobs that ran before one of higher priority, and those of them beyond what may be at hand or is there against starvation. */
function inversionsIn(ran: readonly number[]): { readonly inversions: number; readonly beyond: number } {
  const early = new Array<number>(PRIORITIES).fill(0);
  let highestAfter = -1;
  for (const priority of ran.toReversed()) {
    if (priority < highestAfter) early[priority] = (early[priority] ?? 0) + 1;
    highestAfter = Math.max(highestAfter, priority);
  }
  const allowed = TIMES * AT_HAND + Math.ceil(ran.length / STARVING_ONE_IN);
  return {
    inversions: early.reduce((sum, count) => sum + count, 0),
    beyond: early.reduce((sum, count) => sum + Math.max(0, count - allowed), 0),
  };
}
