// Jobs of a higher priority go first, those of one in their order, whatever brings them; on every transport.
import { RogerJob } from 'nestjs-roger';
import type { JobContext, RogerModuleOptions } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { keyedPartition } from '../support/keyed-partition';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

let begun: Signals<string>;
let first: Gate;

beforeEach(() => {
  begun = new Signals();
  first = new Gate();
});

interface Args {
  isHeld?: boolean;
  failures?: number;
  executionKey?: string;
}

@RogerJob({
  retryable: { levels: [1] },
  executionKey: ({ executionKey }: Args) => executionKey,
})
class Ranked {
  async perform({ isHeld = false, failures = 0 }: Args, { job, attempt }: JobContext): Promise<void> {
    begun.add(attempt === 1 ? job.id : `${job.id} again`);
    if (isHeld) await first.opened;
    if (attempt <= failures) throw new Error('as asked');
  }
}

@RogerJob({ priority: 8 })
class Urgent {
  perform(_args: object, { job }: JobContext): void {
    begun.add(job.id);
  }
}

const BY_PRIORITY = ['now-1', 'now-2', 'p9-1', 'p9-2', 'p8', 'p5-1', 'p5-2', 'p1', 'p0-1', 'p0-2'];
const priorityOf = (id: string): number => Number(id[1]);

describe.each<[string, () => RogerModuleOptions]>([
  ['RabbitMQ', () => ({ connection: { uri: sharedBrokerUri() } })],
  ['memory', () => ({})],
])('on %s', (_transport, common) => {
  async function start(more: RogerModuleOptions = {}) {
    const partition = uniquePartition();
    const app = await startApp({ ...common(), partitions: { [partition]: { default: 1 } }, ...more }, [
      Ranked,
      Urgent,
    ]);
    await served(app, partition);
    return { ...app, partition };
  }

  /** All of them while the only worker is taken. */
  async function enqueueAll({ jobs, partition }: Awaited<ReturnType<typeof start>>): Promise<void> {
    await jobs.enqueue(Ranked, { isHeld: true }, { partition, id: 'held' });
    await within('the first', begun.count(1));
    for (const id of ['p0-1', 'p5-1', 'p9-1', 'p1', 'p0-2', 'now-1', 'p5-2', 'p9-2', 'now-2']) {
      const order = id.startsWith('now') ? { runNow: true } : { priority: priorityOf(id) };
      await jobs.enqueue(Ranked, {}, { partition, id, ...order });
    }
    await jobs.enqueue(Urgent, {}, { partition, id: 'p8' });
  }

  test('after long jobs, for which nothing is held at hand: now, then 9 to 0, each in its order', async () => {
    const app = await start();
    await enqueueAll(app);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    first.open();
    await within('all', begun.count(1 + BY_PRIORITY.length));
    expect(begun.seen.slice(1)).toEqual(BY_PRIORITY);
    await eventually('nothing to be left', async () => {
      return (await app.info.queueDepth(app.partition, 'default'))?.ready === 0;
    });
  });

  test('while jobs are held at hand, only those go before higher ones, and each lane keeps its order', async () => {
    const app = await start();
    await enqueueAll(app);
    // One of each of the six lanes; or it has lain there for so long on a slow machine that it went back.
    const since = performance.now();
    await eventually('one of each lane to be at hand', () => {
      const atHand = app.partitions.queues(app.partition)[0]?.atHand;
      return atHand === 6 || performance.now() - since > 3_000;
    });
    first.open();
    await within('all', begun.count(1 + BY_PRIORITY.length));
    const order = begun.seen.slice(1);
    for (const [place, id] of order.entries()) {
      const rank = BY_PRIORITY.indexOf(id);
      const passed = BY_PRIORITY.slice(0, rank).filter((higher) => order.indexOf(higher) > place);
      // One worker: one job of each lane is at hand.
      if (id.endsWith('-2')) expect({ id, passed }).toEqual({ id, passed: [] });
      expect(passed.filter((higher) => !higher.endsWith('-2'))).toEqual([]);
    }
  });

  test('a retried job, and a delayed one, come back before those of lower priority; what ran now, by its priority', async () => {
    const app = await start();
    const { jobs, partition } = app;
    await jobs.enqueue(Ranked, { failures: 1 }, { partition, id: 'p7', priority: 7 });
    await jobs.enqueue(Ranked, { failures: 1 }, { partition, id: 'now', runNow: true, priority: 2 });
    await within('both attempts', begun.count(2));
    await jobs.enqueue(Ranked, { isHeld: true }, { partition, id: 'held', runNow: true });
    await within('the held', begun.count(3));
    await jobs.enqueue(Ranked, {}, { partition, id: 'later', priority: 6, delayMs: 1_000 });
    await jobs.enqueue(Ranked, {}, { partition, id: 'p4', priority: 4 });
    await jobs.enqueue(Ranked, {}, { partition, id: 'p0' });
    // All are home again.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    first.open();
    await within('all', begun.count(8));
    expect(begun.seen.slice(3)).toEqual(['p7 again', 'later', 'p4', 'now again', 'p0']);
  });
});

test('with keys: priorities hold between keys, the order of enqueueing within one', async () => {
  const { partition, worker } = keyedPartition({ default: 1 });
  const app = await startApp(worker, [Ranked]);
  await served(app, partition);
  const { jobs } = app;
  await jobs.enqueue(Ranked, { isHeld: true, executionKey: 'a' }, { partition, id: 'held' });
  await within('the first', begun.count(1));
  const enqueue = (id: string, executionKey: string, order: object) =>
    jobs.enqueue(Ranked, { executionKey }, { partition, id, ...order });
  await enqueue('b-low', 'b', {});
  await enqueue('c-high', 'c', { priority: 9 });
  await enqueue('c-later-low', 'c', {});
  await enqueue('d-now', 'd', { runNow: true });
  await enqueue('e-first-of-its-key', 'e', {});
  await enqueue('e-of-high-priority', 'e', { priority: 9 });
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  first.open();
  await within('all', begun.count(7));
  const order = begun.seen.slice(1);
  expect(order.slice(0, 2)).toEqual(['d-now', 'c-high']);
  expect(order.indexOf('c-high')).toBeLessThan(order.indexOf('c-later-low'));
  expect(order.indexOf('e-first-of-its-key')).toBeLessThan(order.indexOf('e-of-high-priority'));
});
