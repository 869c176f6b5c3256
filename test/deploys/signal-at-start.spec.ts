// SIGTERM may come while the app is still starting: it ends promptly, without a word of complaint, and nothing is lost.
import { setTimeout as sleep } from 'node:timers/promises';
import { served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from '../support/broker';
import type { ChildAppOptions } from '../support/child-app';
import { ChildApp } from '../support/child-app';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { keyedPartition } from '../support/keyed-partition';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { THREADS } from '../support/thread-jobs';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };
/** With the farewells that a broker that doesn't answer is given. */
const PROMPTLY_MS = 10_000;

/** Has it end a while after its app was created; resolves to how it ended. */
async function endAfter(ms: number, options: Omit<ChildAppOptions, 'node'>): Promise<string> {
  const child = await ChildApp.create({ ...options, node: 'child' });
  await sleep(ms);
  const { code, signal } = await child.kill('SIGTERM', PROMPTLY_MS);
  expect(child.errorOutput).toBe('');
  expect(child.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  return String(signal ?? code);
}

const together = testsAtOnce(4);

together(
  'at any moment of the start, with jobs waiting: each runs once, on this node or on another',
  async () => {
    const sightings = new Sightings();
    const { partition, worker, producer } = keyedPartition({ default: 5 });
    const { jobs } = await startApp(producer);
    const ids = Array.from({ length: 200 }, (_, n) => `job-${n}`);
    await Promise.all(
      ids.map((id, n) =>
        n % 2 === 0
          ? jobs.enqueue(Work, { ms: 5 }, { partition, id })
          : jobs.enqueue(KeyedWork, { ms: 5, executionKey: `k${n % 8}` }, { partition, id }),
      ),
    );
    for (const ms of [0, 20, 60, 120, 250]) {
      expect(await endAfter(ms, { roger: worker, sightings })).toBe('SIGTERM');
    }
    await startApp(worker, [...KEYED, sightings.of('heir')]);
    await sightings.ended(ids);
    expect(sightings.repeated('began')).toEqual([]);
  },
  90_000,
);

together('while no broker is there', async () => {
  const sightings = new Sightings();
  const partition = uniquePartition();
  const roger = { connection: { uri: NO_BROKER_URI }, partitions: { [partition]: { default: 1 } } };
  expect(await endAfter(300, { roger, sightings })).toBe('SIGTERM');
});

together('while the broker does not answer', async () => {
  const sightings = new Sightings();
  const proxy = await TcpProxy.before(sharedBrokerUri());
  proxy.silence('up', 'down');
  const partition = uniquePartition();
  const roger = { connection: { uri: proxy.uri }, partitions: { [partition]: { default: 1 } } };
  expect(await endAfter(300, { roger, sightings })).toBe('SIGTERM');
  await proxy.close();
});

together('while nobody answers for the ledger: its keeper is frozen', async () => {
  const sightings = new Sightings();
  const { partition, worker } = keyedPartition();
  const keeper = await ChildApp.start({ node: 'keeper', roger: worker, sightings });
  await keeper.enqueued({ partition, orders: [{ id: 'first', args: { executionKey: 'k' } }] });
  await sightings.ended(['first']);
  keeper.signal('SIGSTOP');
  expect(await endAfter(300, { roger: worker, sightings })).toBe('SIGTERM');
});

together('while threads warm up', async () => {
  const sightings = new Sightings();
  const partition = uniquePartition();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, threads: THREADS };
  const { jobs } = await startApp({ connection, mode: 'producer' });
  const before = await startApp({ connection, partitions: { [partition]: { default: 1 } } }, [
    Work,
    sightings.of('before'),
  ]);
  await served(before, partition);
  await before.close();
  await jobs.enqueue(Work, {}, { partition, id: 'one' });
  expect(await endAfter(30, { roger, sightings })).toBe('SIGTERM');
  await startApp({ connection, partitions: { [partition]: { default: 1 } } }, [Work, sightings.of('heir')]);
  await sightings.ended(['one']);
  expect(sightings.repeated('began')).toEqual([]);
});

together(
  'past the grace: a job that ignores its signal is given back and runs elsewhere, and the process ends',
  async () => {
    const sightings = new Sightings();
    const partition = uniquePartition();
    const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 300 };
    const child = await ChildApp.start({ node: 'child', roger, sightings });
    const { jobs } = await startApp({ connection, mode: 'producer' });
    await jobs.enqueue(Work, { isHeld: true, isStubborn: true }, { partition, id: 'stubborn' });
    await sightings.seen('began', 1, 'child');
    const heir = await startApp(roger, [Work, sightings.of('heir')]);
    await served(heir, partition);
    const { code, signal } = await child.kill('SIGTERM', PROMPTLY_MS);
    expect(signal ?? code).toBe('SIGTERM');
    expect((await sightings.seen('began', 1, 'heir'))[0]).toMatchObject({ id: 'stubborn', attempt: 1 });
    sightings.release();
  },
);
