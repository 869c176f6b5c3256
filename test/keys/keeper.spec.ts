// Whatever happens to the process that keeps a ledger, another goes on with it: nothing is lost, doubled or let past a key.
import type { RogerModuleOptions } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { sharedBrokerUri } from '../support/broker';
import { ChildApp } from '../support/child-app';
import type { KeyedPartition } from '../support/keyed-partition';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';

/** A take-over takes about a second; after a freeze, two heartbeats. The rest is for a busy machine. */
const LONGEST_GAP_MS = 10_000;
const HEARTBEAT = { heartbeatSeconds: 2 };
/** Longer than that takes. */
const FROZEN_MS = 20_000;

const together = testsAtOnce(3);

interface Stage extends Pick<KeyedPartition, 'partition'> {
  readonly sightings: Sightings;
  /** A worker in this process that doesn't keep the ledger: the child came first. */
  readonly app: TestApp;
  readonly keeper: ChildApp;
}

/** @param keeperOptions of the child that keeps the ledger, and runs nothing */
async function stage(keeperOptions: (producer: RogerModuleOptions) => RogerModuleOptions): Promise<Stage> {
  const connection = { uri: sharedBrokerUri(), ...HEARTBEAT };
  const names = keyedPartition({ default: 5 }, { connection, ledgerTimeoutMs: 30_000 });
  const { partition, producer, worker } = names;
  const sightings = new Sightings();
  const keeper = await ChildApp.start({
    node: 'keeper',
    roger: keeperOptions(producer),
    sightings,
    isStartEnough: true,
  });
  // Its first use makes it the keeper.
  const [opener] = await keeper.enqueued({
    partition,
    orders: [{ id: 'opener', args: { queueKey: 'opener' } }],
  });
  expect(opener).toMatchObject({ status: 'enqueued' });
  const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(app, partition);
  await sightings.ended(['opener']);
  return { ...names, sightings, app, keeper };
}

interface Trial {
  /** Stops it and tells the longest time between two enqueues that resolved. */
  readonly stop: () => Promise<number>;
  readonly confirmed: readonly string[];
  readonly refusals: readonly Error[];
}

const LINES = 5;

/** Enqueues jobs one after the other for each of some lines. */
function load({ app, partition }: Stage): Trial {
  let isOver = false;
  let lastAt = performance.now();
  let longest = 0;
  const confirmed: string[] = [];
  const refusals: Error[] = [];
  const loop = async (line: number): Promise<void> => {
    for (let n = 0; !isOver; n++) {
      const id = `${line}/${n}`;
      try {
        const args = { executionKey: `line-${line}`, queueKey: id, ms: 1 };
        await app.jobs.enqueue(KeyedWork, args, { partition, id });
        confirmed.push(id);
        const now = performance.now();
        longest = Math.max(longest, now - lastAt);
        lastAt = now;
      } catch (error) {
        refusals.push(error as Error);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const loops = Array.from({ length: LINES }, (_, line) => loop(line));
  return {
    confirmed,
    refusals,
    stop: async () => {
      isOver = true;
      await Promise.all(loops);
      return longest;
    },
  };
}

/** With a keeper whose connection to the broker can be tampered with. */
async function behindProxy(run: (proxy: TcpProxy, staged: Stage) => Promise<void>): Promise<void> {
  const proxy = await TcpProxy.before(sharedBrokerUri());
  try {
    const connection = { uri: proxy.uri, ...HEARTBEAT };
    await run(proxy, await stage((producer) => ({ ...producer, connection })));
  } finally {
    await proxy.close();
  }
}

async function more({ confirmed }: Trial, count: number, limitMs: number): Promise<void> {
  const goal = confirmed.length + count;
  await eventually(`${count} more jobs to be confirmed`, () => confirmed.length >= goal, limitMs);
}

/** Or it was not the keeper, and the test has shown nothing. */
function expectToHaveStoodDown({ keeper }: Stage): void {
  expect(keeper.lines).toContainEqual(expect.stringMatching(/^warn Ledger \d is no longer kept here/));
}

/** Everything confirmed has run once, alone in its line, in order. */
async function expectAllWell({ sightings, app, partition }: Stage, trial: Trial): Promise<void> {
  expect(trial.refusals).toEqual([]);
  await sightings.ended(trial.confirmed, 30_000);
  expect(sightings.repeated('began')).toEqual([]);
  for (let line = 0; line < LINES; line++) {
    const isOfLine = (id: string): boolean => id.startsWith(`${line}/`);
    expect(sightings.peakOf(isOfLine)).toBe(1);
    const numbers = sightings
      .inOrder()
      .filter(({ what, id }) => what === 'began' && isOfLine(id))
      .map(({ id }) => Number(id.split('/')[1]));
    expect(numbers).toEqual(numbers.map((_, n) => n));
  }
  // And no key is stuck.
  let left = trial.confirmed.slice(-20);
  await eventually('every key to be free: who has ended tells its ledger a moment later', async () => {
    const { duplicates, failures } = await app.jobs.enqueueMany(
      left.map((queueKey) => app.jobs.create(KeyedWork, { queueKey }, { partition })),
    );
    expect(failures).toEqual([]);
    left = duplicates.flatMap(({ index }) => left[index] ?? []);
    return left.length === 0;
  });
}

together(
  'a keeper that is killed is followed by another, and nothing is lost, doubled or let past a key',
  async () => {
    const staged = await stage((producer) => producer);
    const trial = load(staged);
    await more(trial, 200, 15_000);
    await staged.keeper.kill('SIGKILL');
    await more(trial, 300, 30_000);
    expect(await trial.stop()).toBeLessThan(LONGEST_GAP_MS);
    await expectAllWell(staged, trial);
  },
  120_000,
);

together(
  'a keeper that is frozen until another is in its place, and then comes back, changes nothing',
  async () => {
    const staged = await stage((producer) => producer);
    const trial = load(staged);
    await more(trial, 200, 15_000);
    staged.keeper.signal('SIGSTOP');
    const frozenAt = performance.now();
    await more(trial, 300, 30_000);
    await eventually('its time to be over', () => performance.now() - frozenAt > FROZEN_MS);
    const before = trial.confirmed.length;
    staged.keeper.signal('SIGCONT');
    await more(trial, 300, 30_000);
    expectToHaveStoodDown(staged);
    // Two heartbeats of two seconds are four to six.
    expect(await trial.stop()).toBeLessThan(LONGEST_GAP_MS + 6_000);
    expect(trial.confirmed.length).toBeGreaterThan(before);
    await expectAllWell(staged, trial);
    // The one that was frozen is of use again.
    const [late] = await staged.keeper.enqueued(
      { partition: staged.partition, orders: [{ id: 'late', args: { queueKey: 'late' } }] },
      30_000,
    );
    expect(late).toMatchObject({ status: 'enqueued' });
    await staged.sightings.ended(['late']);
  },
  180_000,
);

together(
  'a keeper whose connection is cut again and again loses, doubles and lets past nothing',
  () =>
    behindProxy(async (proxy, staged) => {
      const trial = load(staged);
      for (let cut = 0; cut < 4; cut++) {
        await more(trial, 150, 30_000);
        proxy.cut();
      }
      await more(trial, 150, 30_000);
      expectToHaveStoodDown(staged);
      expect(await trial.stop()).toBeLessThan(LONGEST_GAP_MS);
      await expectAllWell(staged, trial);
    }),
  120_000,
);

together(
  'a keeper whose connection goes silent is followed by another',
  () =>
    behindProxy(async (proxy, staged) => {
      const trial = load(staged);
      await more(trial, 150, 30_000);
      proxy.silence('up', 'down');
      await more(trial, 150, 30_000);
      proxy.heal();
      await more(trial, 150, 30_000);
      expectToHaveStoodDown(staged);
      expect(await trial.stop()).toBeLessThan(LONGEST_GAP_MS + 6_000);
      await expectAllWell(staged, trial);
    }),
  120_000,
);

together('what a ledger knows outlives the death of all processes', async () => {
  const { partition, worker, producer } = keyedPartition();
  const sightings = new Sightings();
  const start = (node: string): Promise<ChildApp> =>
    ChildApp.start({ node, roger: producer, sightings, isStartEnough: true });
  const [first, second] = await Promise.all([start('first'), start('second')]);
  const orders = Array.from({ length: 50 }, (_, n) => ({
    id: `job-${n}`,
    args: { queueKey: `key-${n}`, executionKey: 'line' },
  }));
  for (const order of orders) await first.enqueued({ partition, orders: [order] });
  await second.enqueued({ partition, orders: [{ id: 'other', args: { queueKey: 'other' } }] });
  await Promise.all([first.kill(), second.kill()]);

  const app = await startApp(producer, [...KEYED, sightings.of('producer')]);
  expect(await app.globalState.isQueued(partition, 'key-30')).toBe('job-30');
  expect(
    await app.jobs.enqueue(KeyedWork, { queueKey: 'other' }, { partition, id: 'refused' }),
  ).toMatchObject({ status: 'duplicate', existingJobId: 'other' });
  await served(await startApp(worker, [...KEYED, sightings.of('worker')]), partition);
  const ids = orders.map(({ id }) => id);
  await sightings.ended([...ids, 'other']);
  expect(sightings.ids('began').filter((id) => id !== 'other')).toEqual(ids);
});

together(
  'a new keeper reads a long log: three thousand waiting jobs survive all processes',
  async () => {
    const { partition, worker, producer } = keyedPartition({ default: 20 }, { ledgerTimeoutMs: 30_000 });
    const sightings = new Sightings();
    const child = await ChildApp.start({ node: 'child', roger: producer, sightings, isStartEnough: true });
    const orders = Array.from({ length: 3_000 }, (_, n) => ({
      id: `${n % 10}/${Math.floor(n / 10)}`,
      args: { executionKey: `line-${n % 10}` },
    }));
    // One by one for each line, so that the log has many records.
    for (let n = 0; n < orders.length; n += 10)
      await child.enqueued({ partition, orders: orders.slice(n, n + 10) });
    await child.kill();

    await served(await startApp(worker, [...KEYED, sightings.of('worker')]), partition);
    await sightings.ended(
      orders.map(({ id }) => id),
      30_000,
    );
    expect(sightings.repeated('began')).toEqual([]);
    for (let line = 0; line < 10; line++) {
      const numbers = sightings
        .inOrder()
        .filter(({ what, id }) => what === 'began' && id.startsWith(`${line}/`))
        .map(({ id }) => Number(id.split('/')[1]));
      expect(numbers).toEqual(numbers.map((_, n) => n));
    }
  },
  120_000,
);
