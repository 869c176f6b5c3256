// Waits for the end of a load of keyed jobs, and looks whether its keys are free. What is missing is the observer's to say.
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyedArgs, KeyedOrder } from './keyed-program';
import type { Trace, TraceEvent } from './trace';
import { readTrace } from './trace';

const LOOK_MS = 300;
const ASK_AGAIN_MS = 2_000;

/** Resolves when every job that has to end has ended, which the trace is told, or when the time is over. */
export async function allEnded(trace: Trace, tracePath: string, limitMs: number): Promise<void> {
  await until(tracePath, limitMs, (events) => {
    const ended = idsOf(events, 'ended', 'duplicate', 'enqueue failed', 'cancel asked');
    const killed = new Set(events.flatMap(({ what, node }) => (what === 'killed' ? [node] : [])));
    return events.every(
      (event) => event.what !== 'asked' || ended.has(event.id) || isNeverAnswered(event, events, killed),
    );
  });
  trace.add({ what: 'over' });
}

/** Its producer was killed before it had the answer. */
function isNeverAnswered(
  asked: TraceEvent & { what: 'asked' },
  events: readonly TraceEvent[],
  killed: ReadonlySet<string>,
): boolean {
  return (
    killed.has(asked.node) && !events.some((event) => event.what === 'enqueued' && event.id === asked.id)
  );
}

/** Enqueues a job under every key that was used, again and again until each was taken and has run. */
export async function probeKeys(
  tracePath: string,
  limitMs: number,
  tellProducer: (order: KeyedOrder) => void,
): Promise<void> {
  const keys = readTrace(tracePath).flatMap((event) => (event.what === 'asked' ? [event] : []));
  const unseen = new Map<string, Pick<KeyedArgs, 'queueKey' | 'executionKey'>>();
  for (const { queueKey, executionKey } of keys) {
    if (queueKey !== undefined) unseen.set(`queue ${queueKey}`, { queueKey });
    if (executionKey !== undefined) unseen.set(`execution ${executionKey}`, { executionKey });
  }
  let round = 0;
  const ask = (): void => {
    round++;
    for (const [key, { queueKey, executionKey }] of unseen) {
      if (round > 1 && executionKey !== undefined) continue;
      tellProducer({
        order: 'enqueue',
        id: `probe ${key} ${round}`.replaceAll(' ', '-'),
        args: { queueKey, executionKey, ms: 0 },
        isProbe: true,
      });
    }
  };
  ask();
  let askedAt = performance.now();
  await until(tracePath, limitMs, (events) => {
    const ended = idsOf(events, 'ended');
    const enqueued = idsOf(events, 'enqueued');
    for (const event of events) {
      if (event.what !== 'asked' || event.isProbe !== true || !ended.has(event.id)) continue;
      if (event.queueKey !== undefined && enqueued.has(event.id)) unseen.delete(`queue ${event.queueKey}`);
      if (event.executionKey !== undefined) unseen.delete(`execution ${event.executionKey}`);
    }
    if (unseen.size > 0 && performance.now() - askedAt > ASK_AGAIN_MS) {
      askedAt = performance.now();
      ask();
    }
    return unseen.size === 0;
  });
}

function idsOf(events: readonly TraceEvent[], ...kinds: readonly TraceEvent['what'][]): Set<string> {
  return new Set(events.flatMap((event) => ('id' in event && kinds.includes(event.what) ? [event.id] : [])));
}

/** Waits for what the trace shows, but not longer than that. */
async function until(
  tracePath: string,
  limitMs: number,
  isSo: (events: readonly TraceEvent[]) => boolean,
): Promise<void> {
  const giveUpAt = performance.now() + limitMs;
  while (performance.now() < giveUpAt && !isSo(readTrace(tracePath))) await sleep(LOOK_MS);
}
