// Where the jobs with keys of a partition stand.
import type { KeyedJobPlace, SurveyReply } from '../operation';
import type { KeyedJob, PartitionState } from './partition-state';

/** @param at the present, in ms since the epoch */
export function placeOf({ phase, route, runAt }: KeyedJob, at: number): KeyedJobPlace {
  if (phase === 'waiting' || phase === 'running' || phase === 'held') return phase;
  if (route?.kind === 'retry') return 'retrying';
  return route?.kind === 'delay' && (runAt ?? 0) > at ? 'delayed' : 'queued';
}

const NONE = { waiting: 0, queued: 0, delayed: 0, retrying: 0, running: 0, held: 0 };

/** Counts all, and lists the first of those that wait in line. */
export function survey(partition: PartitionState | undefined, count: number, at: number): SurveyReply {
  const counts = new Map<string, Record<KeyedJobPlace, number>>();
  const waiting: KeyedJob[] = [];
  for (const job of partition?.jobs.values() ?? []) {
    const ofQueue = counts.get(job.queue) ?? { ...NONE };
    counts.set(job.queue, ofQueue);
    const place = placeOf(job, at);
    ofQueue[place]++;
    if (place === 'waiting') waiting.push(job);
  }
  waiting.sort((a, b) => a.place - b.place);
  return {
    counts: Object.fromEntries(counts),
    waiting: waiting
      .slice(0, count)
      .map(({ id, queue, executionKey = '' }) => [id, queue, executionKey] as const),
  };
}
