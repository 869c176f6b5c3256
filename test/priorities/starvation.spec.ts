// No job waits for ever behind those of higher priority, however many of them come: begins counted, on a real broker.
import { RogerJob } from 'nestjs-roger';
import type { JobContext } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

/** So many others begin before a job that is at hand, at most; and where several priorities are as overdue. */
const BOUND = 100;
const BOUND_OF_SEVERAL = 111;
/** Jobs of the flood that have not begun, at any time. */
const BACKLOG = 500;
/** What lies at hand for so long goes back, and is at hand no more. */
const AT_HAND_MS = 500;

let begun: Signals<string>;
let hold: Gate;
/** For each job of the flood that begins there comes another one. */
let follow: () => void;

@RogerJob({ name: 'counted' })
class Counted {
  async perform({ isHeld = false }: { isHeld?: boolean }, { job }: JobContext): Promise<void> {
    begun.add(job.id);
    if (job.id.startsWith('flood')) follow();
    if (isHeld) await hold.opened;
  }
}

beforeEach(() => {
  begun = new Signals();
  hold = new Gate();
  follow = () => undefined;
});

/**
 * Lets a flood of the highest priority go on until the jobs of these lower ones have begun too.
 * @returns how many others began before each of those, since the only worker's node had all of them at hand, and of the
 * flood more than the bound
 */
async function othersBefore(priorities: readonly number[]): Promise<number[]> {
  const partition = uniquePartition();
  const options = { connection: { uri: sharedBrokerUri() }, partitions: { [partition]: { default: 1 } } };
  // The lanes are there before they are served.
  const first = await startApp(options, [Counted]);
  await served(first, partition);
  await first.close();
  const producer = await startApp({ ...options, mode: 'producer' }, [Counted]);
  for (const priority of [9, ...priorities]) {
    await producer.jobs.enqueue(Counted, {}, { partition, priority, id: `first-${priority}` });
  }
  const app = await startApp(options, [Counted]);
  await served(app, partition);
  let enqueued = 1 + priorities.length;
  const enqueue = async (what: string, priority: number, isHeld = false): Promise<string> => {
    const id = `${what}-${++enqueued}`;
    await app.jobs.enqueue(Counted, { isHeld }, { partition, priority, id });
    return id;
  };
  const enqueueFlood = (): Promise<unknown> =>
    Promise.all(Array.from({ length: BACKLOG }, () => enqueue('flood', 9)));
  const enqueueLow = (): Promise<string[]> => Promise.all(priorities.map((one) => enqueue('low', one)));
  const isAtHand = (isEnough: (count: number) => boolean): Promise<boolean> =>
    eventually('', () => isEnough(app.partitions.queues(partition)[0]?.atHand ?? 0), AT_HAND_MS).then(
      () => true,
      () => false,
    );

  for (;;) {
    // Quick jobs make the node take many at hand.
    await enqueueFlood();
    await within('all to begin', begun.count(enqueued), () => `${begun.seen.length} have`);
    hold = new Gate();
    await enqueue('held', 9, true);
    await within('the held one', begun.count(enqueued));
    const heldSince = performance.now();
    const low = await enqueueLow();
    const isLowAtHand = await isAtHand((count) => count === low.length);
    await enqueueFlood();
    const isFloodAtHand = await isAtHand((count) => count > low.length + BOUND_OF_SEVERAL);
    if (isLowAtHand && isFloodAtHand && performance.now() - heldSince < AT_HAND_MS) {
      return await releaseAndCount(low, () => enqueue('flood', 9));
    }
    // It took too long, on a busy machine: once more.
    hold.open();
  }
}

async function releaseAndCount(low: readonly string[], more: () => Promise<unknown>): Promise<number[]> {
  const before = begun.seen.length;
  const following: Promise<unknown>[] = [];
  follow = () => void following.push(more());
  hold.open();
  const place = (id: string): number => begun.seen.indexOf(id, before) - before;
  await eventually('the low ones to begin', () => low.every((id) => place(id) >= 0));
  const { length: soFar } = begun.seen;
  await within('the flood to go on', begun.count(soFar + BACKLOG));
  follow = () => undefined;
  await Promise.all(following);
  return low.map(place);
}

test('a job of the lowest priority begins after 100 others at the latest, while a flood of the highest never ends', async () => {
  const [others] = await othersBefore([0]);
  expect(others).toBeLessThanOrEqual(BOUND);
  // The flood had its priority: else it would prove nothing.
  expect(others).toBeGreaterThan(BOUND / 2);
});

test('nor do jobs of nine priorities, as overdue as each other, wait for more than 111', async () => {
  const others = await othersBefore([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(Math.max(...others)).toBeLessThanOrEqual(BOUND_OF_SEVERAL);
  expect(Math.min(...others)).toBeGreaterThan(BOUND / 2);
});
