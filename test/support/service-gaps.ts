// Reads from a trace how long jobs waited while none began, and how long a job waited at most.
import type { Micros, TraceEvent } from './trace';

export interface Service {
  /** The longest time in which jobs waited and none began, in ms. */
  readonly gapMs: number;
  /** From its being asked for to its first run, of the job that waited longest, in ms. */
  readonly longestWaitMs: number;
  readonly begun: number;
}

/** Of one queue, or of all together, from the first job that began to the last that was asked for. */
export function serviceOf(events: readonly TraceEvent[], queue?: string): Service {
  const asked = new Map<string, Micros>();
  const begun = new Set<string>();
  let waiting = 0;
  let waitingSince: Micros | undefined;
  let gap: Micros = 0;
  let longestWait: Micros = 0;
  const known = new Set<string>();
  for (const event of events) {
    if (event.what === 'asked') {
      if (event.isProbe === true || (queue !== undefined && event.queue !== queue)) continue;
      asked.set(event.id, event.at);
    } else if (event.what === 'enqueued' && asked.has(event.id) && !begun.has(event.id)) {
      known.add(event.id);
      waiting++;
      if (begun.size > 0) waitingSince ??= event.at;
    } else if (event.what === 'began') {
      const askedAt = asked.get(event.id);
      if (askedAt === undefined) continue;
      if (waitingSince !== undefined) gap = Math.max(gap, event.at - waitingSince);
      // A run that follows on a failure is a start like any other, but of no job that waits.
      if (!begun.has(event.id)) {
        begun.add(event.id);
        longestWait = Math.max(longestWait, event.at - askedAt);
        if (known.delete(event.id)) waiting--;
      }
      waitingSince = waiting > 0 ? event.at : undefined;
    }
  }
  return { gapMs: gap / 1_000, longestWaitMs: longestWait / 1_000, begun: begun.size };
}
