// Sends out jobs on a ledger's behalf, and keeps at it until the broker has each. Knows routes, not turns.
import type { RogerLog } from '../job/log';
import { oneLine } from '../job/errors';
import type { Job } from '../job/job';
import { firstLaneOf, homeLaneOf, isLane } from '../job/lanes';
import type { QueueLane } from '../job/lanes';
import type { DispatchedJob, DispatchRoute, LedgerTransport } from '../ledger-transport';
import { DispatchDoubtfulError } from '../ledger-transport';
import type { KeyedJob } from './state/partition-state';

const AGAIN_MIN_MS = 100;
const AGAIN_MAX_MS = 5_000;

export interface DispatcherParts {
  readonly transport: Pick<LedgerTransport, 'dispatch'>;
  readonly log: RogerLog;
  /** The ledger's state that the jobs belong to. */
  readonly stateId: () => string;
  /** The broker has it. */
  readonly onDispatched: (dispatch: number) => void;
  /** It may have arrived or not: it has to be sent under another number, which makes the first copy, if any, stale. */
  readonly onDoubtful: (dispatch: number) => void;
}

export class Dispatcher {
  private isStopped = false;
  private readonly timers = new Set<NodeJS.Timeout>();
  /** What is complained of, by queue. */
  private readonly complaints = new Map<string, string>();

  constructor(private readonly parts: DispatcherParts) {}

  dispatch(job: KeyedJob): void {
    const { dispatch, route, body, partition, queue, id } = job;
    if (this.isStopped || route === undefined || body === undefined) return;
    this.send(
      dispatch,
      {
        partition: partition.id,
        queue,
        id,
        body: bytesOf(body, route, this.parts.stateId(), dispatch),
        route,
        ...laneIn(body, route),
      },
      AGAIN_MIN_MS,
    );
  }

  /** What is under way may still arrive; nothing is told of it any more. */
  stop(): void {
    this.isStopped = true;
    for (const timer of this.timers) clearTimeout(timer);
  }

  private send(dispatch: number, job: Parameters<LedgerTransport['dispatch']>[0], againMs: number): void {
    this.parts.transport.dispatch(job).then(
      () => {
        this.complaints.delete(`${job.partition}/${job.queue}`);
        if (!this.isStopped) this.parts.onDispatched(dispatch);
      },
      (error: unknown) => {
        if (this.isStopped) return;
        if (error instanceof DispatchDoubtfulError) this.parts.onDoubtful(dispatch);
        else this.sendLater(dispatch, job, againMs, error);
      },
    );
  }

  private sendLater(
    dispatch: number,
    job: Parameters<LedgerTransport['dispatch']>[0],
    againMs: number,
    error: unknown,
  ): void {
    const queue = `${job.partition}/${job.queue}`;
    const problem = oneLine(error instanceof Error ? error.message : String(error));
    // One line per queue and cause, not one per job and try.
    if (problem !== this.complaints.get(queue)) {
      this.complaints.set(queue, problem);
      this.parts.log.warn(`A job with a key can't be sent to ${queue} yet: ${problem}; trying on`);
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.send(dispatch, job, Math.min(againMs * 2, AGAIN_MAX_MS));
    }, againMs);
    this.timers.add(timer);
  }
}

/** The lane of the job's own; none, where it has no priority. Most jobs are spared the reading. */
function laneIn(body: string, route: DispatchRoute): Pick<DispatchedJob, 'lane'> {
  const { kind } = route;
  if (kind === 'express' && route.isNow === true) return { lane: 'now' };
  if (kind === 'bury' || !(body.includes('"priority":') || body.includes('"runNow":'))) return {};
  let job: Pick<Job, 'priority' | 'runNow'>;
  try {
    job = JSON.parse(body) as typeof job;
  } catch {
    // Whoever gets it buries it.
    return {};
  }
  const isFirst = kind === 'normal' || kind === 'express';
  const lane: QueueLane = isFirst ? firstLaneOf(job) : homeLaneOf(job);
  return lane === 'normal' || !isLane(lane) ? {} : { lane };
}

/** The token of a job's earlier sending, which would add up from one to the next. */
const TOKEN = /,"ledger":\{"state":"[\w-]*","dispatch":\d+\}\}$/;

/** Its token is added to the envelope, a JSON object, as its last field. What is buried is kept as it was. */
function bytesOf(body: string, route: DispatchRoute, state: string, dispatch: number): Buffer {
  if (route.kind === 'bury') return Buffer.from(body, 'latin1');
  const envelope = body.replace(TOKEN, '}').slice(0, -1);
  return Buffer.from(`${envelope},"ledger":{"state":"${state}","dispatch":${dispatch}}}`, 'latin1');
}
