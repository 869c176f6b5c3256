// Reads from a trace how long a service stood still, how long answers took, and whether pauses held.
import type { Micros, TraceEvent } from './trace';

/** I9: from the acknowledgement of a pause. */
const PAUSE_HOLDS_WITHIN: Micros = 500_000;

/** What the service may stand still while a broker node goes. */
export const MAX_GAP_MS = 10_000;
/** I11: `enqueue` settles within 10 s by default; a busy machine tells of it later. */
export const MAX_ANSWER_MS = 12_000;

export interface Gaps {
  /** The greatest time between the begins of two jobs, in ms. */
  readonly overall: number;
  /** The same for each queue, which some pauses may lengthen, and for the keyed jobs of each partition. */
  readonly byQueue: Readonly<Record<string, number>>;
}

/** From the first begin until the load ended. */
export function gapsOf(events: readonly TraceEvent[]): Gaps {
  const end = events.find(({ what }) => what === 'unloading')?.at ?? Infinity;
  const queues = queuesOf(events);
  const keyed = new Map(
    events.flatMap((event) => {
      if (event.what !== 'asked' || (event.executionKey ?? event.queueKey) === undefined) return [];
      return [[event.id, `${event.partition} keyed`] as const];
    }),
  );
  const last = new Map<string, Micros>();
  const greatest = new Map<string, number>();
  const note = (queue: string, at: Micros): void => {
    const before = last.get(queue) ?? at;
    greatest.set(queue, Math.max(greatest.get(queue) ?? 0, Math.round((at - before) / 1_000)));
    last.set(queue, at);
  };
  for (const event of events) {
    if (event.at > end) break;
    if (event.what !== 'began') continue;
    note('', event.at);
    note(queues.get(event.id) ?? 'unknown', event.at);
    const keyedOf = keyed.get(event.id);
    if (keyedOf !== undefined) note(keyedOf, event.at);
  }
  // What stands still at the end does so, too.
  if (end !== Infinity) for (const queue of last.keys()) note(queue, end);
  const { '': overall = Infinity, ...byQueue } = Object.fromEntries(greatest);
  return { overall, byQueue };
}

export interface Answers {
  /** The longest that an `enqueue` took to settle, in ms; Infinity when one never did. */
  readonly slowestMs: number;
  readonly refused: number;
  /** Each kind once. */
  readonly refusals: readonly string[];
}

export function answersOf(events: readonly TraceEvent[]): Answers {
  const asked = new Map<string, Micros>();
  const refusals = new Set<string>();
  let refused = 0;
  let slowest = 0;
  for (const event of events) {
    if (event.what === 'asked') asked.set(event.id, event.at);
    if (event.what === 'enqueue failed') {
      refused++;
      refusals.add(event.error.replace(event.id, '…'));
    }
    if (event.what === 'enqueued' || event.what === 'duplicate' || event.what === 'enqueue failed') {
      slowest = Math.max(slowest, event.at - (asked.get(event.id) ?? 0));
      asked.delete(event.id);
    }
  }
  return {
    slowestMs: asked.size > 0 ? Infinity : Math.round(slowest / 1_000),
    refused,
    refusals: [...refusals].slice(0, 5),
  };
}

/** What began in a queue while it was surely paused. */
export function brokenPauses(events: readonly TraceEvent[]): string[] {
  const queues = queuesOf(events);
  const paused = new Map<string, Micros>();
  const broken: string[] = [];
  for (const event of events) {
    if (event.what === 'paused' && event.missing.length === 0) {
      paused.set(`${event.partition}-${event.queue}`, event.at + PAUSE_HOLDS_WITHIN);
    } else if (event.what === 'resuming') {
      paused.delete(`${event.partition}-${event.queue}`);
    } else if (event.what === 'began') {
      const queue = queues.get(event.id) ?? '';
      if (event.at > (paused.get(queue) ?? Infinity)) {
        broken.push(`I9 ${event.id} began on ${event.node} while ${queue} was paused`);
      }
    }
  }
  return broken;
}

function queuesOf(events: readonly TraceEvent[]): Map<string, string> {
  return new Map(
    events.flatMap((event) =>
      event.what === 'asked' ? [[event.id, `${event.partition}-${event.queue}`] as const] : [],
    ),
  );
}
