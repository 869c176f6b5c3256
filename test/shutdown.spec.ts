// An app that stops in mid-load loses nothing and repeats nothing, and never hangs.
import { served, startApp } from './support/app';
import { testsAtOnce } from './support/at-once';
import { NO_BROKER_URI, sharedBrokerUri, uniquePartition } from './support/broker';
import { ChildApp } from './support/child-app';
import { Load } from './support/load';
import { Sightings } from './support/sightings';
import { TcpProxy } from './support/tcp-proxy';
import { within } from './support/within';
import { Work } from './support/work';

const connection = { uri: sharedBrokerUri() };

const together = testsAtOnce(4);

test('twenty shutdowns in mid-load, two apps taking turns, lose nothing and repeat nothing', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const start = (turn: number) =>
    startApp({ connection, partitions: { [partition]: { default: 5 } } }, [
      Work,
      sightings.of(`app ${turn}`),
    ]);
  let app = await start(0);
  await served(app, partition);
  const { jobs } = await startApp({ connection, mode: 'producer' });
  // A backlog, so that each app has its store at hand full when it is told to stop, and a load besides.
  const backlog: string[] = [];
  const topUp = async (): Promise<void> => {
    const more = Array.from({ length: 500 }, (_, n) => `backlog-${backlog.length + n}`);
    const made = more.map((id) => jobs.create(Work, { ms: 1 }, { partition, id }));
    expect(await jobs.enqueueMany(made)).toMatchObject({ failures: [] });
    backlog.push(...more);
  };
  await topUp();
  const load = new Load(jobs, { partition, atOnce: 2, args: { ms: 1 } });

  for (let turn = 1; turn <= 20; turn++) {
    await topUp();
    await sightings.seen('ended', 300, `app ${turn - 1}`);
    const next = await start(turn);
    await app.close();
    app = next;
  }
  await load.stop();
  const ids = [...backlog, ...load.confirmed];
  await sightings.ended(ids, 60_000);

  expect(load.refusals).toEqual([]);
  expect(sightings.repeated('began')).toEqual([]);
  expect(sightings.ids('aborted')).toEqual([]);
  expect(new Set(sightings.ids('ended'))).toEqual(new Set(ids));
});

together('SIGTERM lets running jobs end and enqueue, and then the process ends by itself', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } } };
  const child = await ChildApp.start({ node: 'child', roger, sightings });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, { ms: 2_000, enqueues: ['follow-up'] }, { partition, id: 'long' });
  await jobs.enqueue(Work, {}, { partition, id: 'waiting' });
  await sightings.seen('began', 1, 'child');

  const { code, signal } = await child.kill('SIGTERM');
  // Nest ends a process that was told SIGTERM with that very signal, once its hooks are done.
  expect(signal ?? code).toBe('SIGTERM');
  expect(sightings.ids('ended')).toEqual(['long']);
  expect(sightings.ids('enqueued')).toEqual(['follow-up']);

  await startApp(roger, [Work, sightings.of('heir')]);
  await sightings.ended(['follow-up', 'waiting']);
  expect(sightings.repeated('began')).toEqual([]);
});

together('a process whose app was closed ends without being told to: no handle is left open', async () => {
  const sightings = new Sightings();
  const partition = uniquePartition();
  const child = await ChildApp.start({
    node: 'child',
    roger: { connection, partitions: { [partition]: { default: 5 } } },
    sightings,
  });
  const { jobs } = await startApp({ connection, mode: 'producer' });
  await jobs.enqueue(Work, {}, { partition, id: 'one' });
  await sightings.ended(['one']);
  await child.close();
  expect(await child.gone()).toEqual({ code: 0, signal: null });
});

together(
  'a job that ignores its signal is left behind after shutdownTimeoutMs, and runs on another node',
  async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 100 };
    const first = await startApp(roger, [Work, sightings.of('first')]);
    await first.jobs.enqueue(Work, { isHeld: true, isStubborn: true }, { partition, id: 'stubborn' });
    await sightings.seen('began', 1, 'first');

    const begunAt = performance.now();
    await first.close();
    expect(performance.now() - begunAt).toBeLessThan(10_000);
    await startApp(roger, [Work, sightings.of('second')]);
    const [again] = await sightings.seen('began', 1, 'second');
    expect(again).toMatchObject({ id: 'stubborn', attempt: 1 });
    sightings.release();
    await sightings.seen('ended', 1, 'second');
  },
);

together('a job that heeds its signal goes back to its queue, its attempt uncounted', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  const roger = { connection, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 50 };
  const first = await startApp(roger, [Work, sightings.of('first')]);
  await first.jobs.enqueue(Work, { ms: 60_000 }, { partition, id: 'long' });
  await sightings.seen('began', 1, 'first');
  await first.close();
  expect(sightings.ids('aborted', 'first')).toEqual(['long']);

  await startApp(roger, [Work, sightings.of('second')]);
  expect((await sightings.seen('began', 1, 'second'))[0]).toMatchObject({ id: 'long', attempt: 1 });
});

describe('close() returns within seconds', () => {
  together('while the broker is not there', async () => {
    const uri = NO_BROKER_URI;
    const partition = uniquePartition();
    const app = await startApp({ connection: { uri }, partitions: { [partition]: { default: 1 } } }, []);
    const pending = app.jobs.enqueue(Work, {}, { partition }).catch((error: unknown) => error);
    await within('the app to close', app.close(), undefined, 8_000);
    expect(await pending).toMatchObject({ code: 'ROGER_BROKER_UNAVAILABLE', maybeEnqueued: false });
  });

  together('while the broker does not answer', async () => {
    const proxy = await TcpProxy.before(sharedBrokerUri());
    const partition = uniquePartition();
    const app = await startApp(
      { connection: { uri: proxy.uri }, partitions: { [partition]: { default: 1 } } },
      [],
    );
    await served(app, partition);
    proxy.silence('up', 'down');
    await within('the app to close', app.close(), undefined, 15_000);
    await proxy.close();
  });
});
