// Who sends SIGTERM a second time doesn't wait: the process ends at once, and its jobs run elsewhere, none of them failed.
import { served, startApp } from '../support/app';
import { uniquePartition, sharedBrokerUri } from '../support/broker';
import type { Exit } from '../support/child-app';
import { ChildApp } from '../support/child-app';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { keyedPartition } from '../support/keyed-partition';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
/** The promise is a second by the clock of the process; what is more is this machine's, which is busy. */
const AT_ONCE_MS = 1_500;

/** Sends the second signal, and tells how the process ended and how long that took. */
async function endNow(child: ChildApp, signal: 'SIGTERM' | 'SIGINT'): Promise<Exit & { tookMs: number }> {
  const sentAt = performance.now();
  const exit = await child.kill(signal);
  return { ...exit, tookMs: performance.now() - sentAt };
}

/** Resolves when the child has begun to drain, and a signal counts as the second. */
async function drains(child: ChildApp): Promise<void> {
  child.signal('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 500));
}

test('a job of a minute is given back by a second SIGTERM and runs on another node at once, its attempt not counted', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 2 }, { shutdownTimeoutMs: 0 });
  const sightings = new Sightings();
  const child = await ChildApp.start({
    node: 'child',
    roger: { ...worker, shutdownTimeoutMs: 60_000 },
    sightings,
  });
  const { jobs } = await startApp(producer);
  await jobs.enqueue(Work, { ms: 60_000 }, { partition, id: 'long' });
  await jobs.enqueue(KeyedWork, { ms: 60_000, executionKey: 'k' }, { partition, id: 'keyed' });
  await sightings.seen('began', 2, 'child');
  const heir = await startApp(worker, [...KEYED, sightings.of('heir')]);
  await served(heir, partition);
  await drains(child);
  expect(sightings.ids('began', 'heir')).toEqual([]);

  const { code, signal, tookMs } = await endNow(child, 'SIGTERM');
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  // Nest's own end, when all was given back in time; else that of Roger, which a shell shows as the same.
  expect(['SIGTERM', 143]).toContain(signal ?? code);
  expect(sightings.ids('aborted', 'child').sort()).toEqual(['keyed', 'long']);
  const begun = await sightings.seen('began', 2, 'heir');
  expect(begun.map(({ id, attempt }) => `${id} ${attempt}`).sort()).toEqual(['keyed 1', 'long 1']);
  expect(child.lines.filter((line) => line.includes('second time'))).toEqual([
    'warn Told a second time to end (SIGTERM): running jobs are given back, and the process ends',
  ]);
  expect(child.errorOutput).toBe('');
});

test('a job that ignores its signal does not hold up a second SIGINT', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 60_000 };
  const child = await ChildApp.start({ node: 'child', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { isHeld: true, isStubborn: true }, { partition, id: 'stubborn' });
  await sightings.seen('began', 1, 'child');
  const heir = await startApp(roger, [Work, sightings.of('heir')]);
  await served(heir, partition);
  await drains(child);

  const { tookMs } = await endNow(child, 'SIGINT');
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
  expect((await sightings.seen('began', 1, 'heir'))[0]).toMatchObject({ id: 'stubborn', attempt: 1 });
  sightings.release();
});

test('a hook of the app that hangs does not hold it up either: the exit code tells of the signal', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } } };
  const child = await ChildApp.start({ node: 'child', roger, sightings, hangsAtShutdown: true });
  await drains(child);
  const { code, signal, tookMs } = await endNow(child, 'SIGTERM');
  expect({ code, signal }).toEqual({ code: 143, signal: null });
  expect(tookMs).toBeLessThan(AT_ONCE_MS);
});

test('the first signal while the app is being closed by code is the first: the running job ends', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } } };
  const child = await ChildApp.start({ node: 'child', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { ms: 3_000 }, { partition, id: 'long' });
  await sightings.seen('began', 1, 'child');
  void child.close().catch(() => undefined);
  await drains(child);
  await child.gone();
  expect(sightings.ids('ended')).toEqual(['long']);
  expect(sightings.ids('aborted')).toEqual([]);
});

test('a signal that a wrapper such as npm passes on once more, within an instant, is the same one', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } } };
  const child = await ChildApp.start({ node: 'child', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { ms: 2_000 }, { partition, id: 'long' });
  await sightings.seen('began', 1, 'child');
  child.signal('SIGINT');
  child.signal('SIGTERM');
  await child.gone();
  expect(sightings.ids('ended')).toEqual(['long']);
});
