// Fifty cancels a second against jobs in threads, for ten seconds (a minute in the long form): each ends its job and no other, and nothing piles up.
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Told } from '../support/stubborn';
import { THREADED, Threaded, THREADS } from '../support/thread-jobs';

const CANCELS_PER_SECOND = 50;
const SECONDS = process.env['ROGER_FAULTS'] === 'long' ? 60 : 10;
const DOOMED = CANCELS_PER_SECOND * SECONDS;
const OTHERS = DOOMED / 10;

test('every cancelled job ends as cancelled, every other one is done, and the threads go on', async () => {
  const partition = uniquePartition();
  const connection = { uri: sharedBrokerUri() };
  const app = await startApp({ connection, threads: THREADS, partitions: { [partition]: { default: 4 } } }, [
    ...THREADED,
    Told,
  ]);
  const told = app.app.get(Told);
  await served(app, partition);
  const doomed = Array.from({ length: DOOMED }, (_, n) => `doomed-${n}`);
  const others = Array.from({ length: OTHERS }, (_, n) => `other-${n}`);
  await app.jobs.enqueueMany(
    doomed.flatMap((id, n) => [
      app.jobs.create(Threaded, { does: 'wait' }, { partition, id }),
      ...(n % 10 === 0
        ? [app.jobs.create(Threaded, { does: 'answer' }, { partition, id: others[n / 10] ?? '' })]
        : []),
    ]),
  );

  const begunAt = performance.now();
  const cancels: Promise<unknown>[] = [];
  for (const [n, id] of doomed.entries()) {
    const dueMs = begunAt + (n * 1_000) / CANCELS_PER_SECOND - performance.now();
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    cancels.push(app.globalState.cancelJob(partition, id));
  }
  await Promise.all(cancels);
  await eventually('all to end', () => told.cancelled.length + told.done.length >= DOOMED + OTHERS, 90_000);
  expect(new Set(told.cancelled)).toEqual(new Set(doomed));
  expect(told.cancelled).toHaveLength(doomed.length);
  expect(new Set(told.done)).toEqual(new Set(others));
  expect(told.errors).toEqual([]);
  await eventually('nothing to run', () => app.partitions.queues(partition)[0]?.running === 0);
  expect(app.partitions.queues(partition)[0]).toMatchObject({
    leftBehind: 0,
    counts: { cancelled: DOOMED, done: OTHERS, failed: 0 },
  });
});
