// Enqueues the load, lets it be worked off under a live report, and insists that every job ends.
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeInfoService } from 'nestjs-roger';
import { PlainError } from '../plain-error';
import { eventually } from './eventually';
import type { LiveReport } from './live-report';
import { enqueueOverHttp } from './over-http';
import { unlessStopped } from './stop-request';
import { missingOf, progressOf } from './summary';
import type { Tally } from './tally';
import { mailTo, type Load, type Workload } from './workload';

/** How long the last jobs may take from their callbacks to their end. */
const SETTLE_LIMIT_MS = 1_000;

export interface WorkParts {
  readonly loads: readonly Load[];
  readonly limitSeconds: number;
  readonly stop: AbortSignal;
  readonly apiUrl: string;
  readonly workload: Workload;
  readonly tally: Tally;
  readonly nodeInfo: NodeInfoService;
  readonly report: LiveReport;
  /** What becomes of the jobs that a stop leaves undone. */
  readonly unfinished: string;
}

/** Resolves to the seconds it took. @throws PlainError when the time is over first; StopRequest */
export async function workOff(parts: WorkParts): Promise<number> {
  const { limitSeconds, stop, tally, nodeInfo, report, unfinished } = parts;
  const beganAtMs = performance.now();
  await report.start();
  const allEnded = enqueueAll(parts).then(() => tally.allEnded);
  const limit = sleep(limitSeconds * 1_000, 'late' as const, { ref: false });
  try {
    const outcome = await unlessStopped(stop, Promise.race([allEnded, limit]));
    const seconds = (performance.now() - beganAtMs) / 1_000;
    if (outcome === 'late') throw new PlainError(missingOf(tally.accounts(), limitSeconds));
    await eventually(() => nodeInfo.runningJobs().length === 0, SETTLE_LIMIT_MS);
    return seconds;
  } finally {
    await report.stop();
    if (stop.aborted) console.log(progressOf(tally.accounts(), unfinished));
  }
}

async function enqueueAll({ loads, workload, apiUrl, tally }: WorkParts): Promise<void> {
  const enqueue = async (load: Load): Promise<void> => {
    const jobs = workload.create(load);
    for (const job of jobs) tally.expect(job);
    await workload.enqueue(jobs);
    const { partition, mails, mailsOverHttp } = load;
    for (let n = 1; n <= mailsOverHttp; n++) {
      const id = await enqueueOverHttp(apiUrl, partition, mailTo(mails + n));
      tally.expect({ id, partition, name: 'welcome-mail' });
    }
  };
  await Promise.all(loads.map(enqueue));
  tally.complete();
}
