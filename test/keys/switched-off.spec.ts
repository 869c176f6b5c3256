// A definition that is switched off: its jobs are refused, what is queued is held in order, and runs when it is on again.
import type { RogerModuleOptions } from 'nestjs-roger';
import { DefinitionGates, JobDefinitionInactiveError } from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const KINDS = [
  ['with keys', true, 'keyed-work'],
  ['without keys', false, 'work'],
] as const;

interface Stage {
  readonly partition: string;
  readonly producer: TestApp;
  readonly sightings: Sightings;
  readonly start: (off: readonly string[], node?: string) => Promise<TestApp>;
}

async function stage(more: RogerModuleOptions = {}, maxWorkers = 1): Promise<Stage> {
  const { partition, worker, producer } = keyedPartition({ default: maxWorkers }, more);
  const sightings = new Sightings();
  return {
    partition,
    sightings,
    producer: await startApp(producer, [...KEYED, sightings.of('producer')]),
    start: async (off, node = 'worker') => {
      const switches = {
        provide: 'switches',
        inject: [DefinitionGates],
        useFactory: (gates: DefinitionGates) => {
          gates.setInactive(off);
        },
      };
      const app = await startApp(worker, [...KEYED, sightings.of(node), switches]);
      await served(app, partition);
      return app;
    },
  };
}

async function enqueue(isKeyed: boolean, { jobs }: TestApp, partition: string, id: string): Promise<void> {
  if (isKeyed) await jobs.enqueue(KeyedWork, { queueKey: id, executionKey: 'line' }, { partition, id });
  else await jobs.enqueue(Work, {}, { partition, id });
}

function sorted(ids: readonly string[]): readonly string[] {
  return [...ids].sort();
}

function gatesOf({ app }: TestApp): DefinitionGates {
  return app.get(DefinitionGates);
}

// Two of them wait for the same minute.
const together = testsAtOnce(6);

together('jobs of a definition that is off are refused, by name, and others are not', async () => {
  const { producer, partition, start, sightings } = await stage();
  gatesOf(producer).setInactive(['work']);
  const { jobs } = producer;
  const refusal = { code: 'ROGER_JOB_DEFINITION_INACTIVE', jobName: 'work' };
  await expect(jobs.enqueue(Work, {}, { partition })).rejects.toMatchObject(refusal);
  await expect(jobs.enqueue(Work, {}, { partition, held: true })).rejects.toMatchObject(refusal);
  expect(() => jobs.create(Work, {}, { partition })).toThrow(JobDefinitionInactiveError);
  const { enqueued, failures } = await jobs.enqueueMany(Work, [{}, {}], { partition });
  expect(enqueued).toBe(0);
  expect(failures).toMatchObject([{ error: refusal }, { error: refusal }]);
  await jobs.enqueue(KeyedWork, { queueKey: 'other' }, { partition, id: 'other' });
  gatesOf(producer).setInactive([]);
  await jobs.enqueue(Work, {}, { partition, id: 'on' });
  await start([]);
  await sightings.ended(['other', 'on']);
  expect(sightings.ids('began').sort()).toEqual(['on', 'other']);
});

describe.each(KINDS)('jobs %s', (_kind, isKeyed, name) => {
  together(
    'that are queued when their definition is off are held, and run when it is on, those with keys in their order',
    async () => {
      const { producer, partition, sightings, start } = await stage();
      const { globalState } = producer;
      const ids = Array.from({ length: 40 }, (_, n) => `job-${n}`);
      for (const id of ids) await enqueue(isKeyed, producer, partition, id);
      const worker = await start([name]);
      const why = `definition:${name}`;
      await eventually('all to be held', async () => {
        return (await globalState.heldJobs(partition, { why })).length === ids.length;
      });
      // Jobs without keys have no order that is promised: several are handed in at a time, or given back meanwhile.
      const inOrder = (found: readonly string[]): readonly string[] => (isKeyed ? found : sorted(found));
      const expected = inOrder(ids);
      expect(inOrder((await globalState.heldJobs(partition)).map(({ id }) => id))).toEqual(expected);
      expect(sightings.all).toEqual([]);
      if (isKeyed) expect(await globalState.isQueued(partition, 'job-7')).toBe('job-7');
      // Others are served meanwhile.
      await enqueue(!isKeyed, producer, partition, 'other');
      await sightings.ended(['other']);

      gatesOf(worker).setInactive([]);
      await sightings.ended(ids);
      expect(inOrder(sightings.ids('began').filter((id) => id !== 'other'))).toEqual(expected);
      expect(await globalState.heldJobs(partition)).toEqual([]);
      expect(sightings.all.every(({ attempt }) => attempt === 1)).toBe(true);
    },
  );

  together('that a node holds which has not heard yet that their definition is on do not stay', async () => {
    const { producer, partition, sightings, start } = await stage();
    const behind = await start([name], 'behind');
    await enqueue(isKeyed, producer, partition, 'late');
    await eventually('it to be held', () => producer.globalState.isHeld(partition, 'late'));
    // The node that held it never hears: it is gone before.
    await behind.close();
    expect(sightings.whatOf('late')).toEqual([]);
    await start([], 'well');
    await sightings.ended(['late']);
    expect(sightings.whatOf('late')).toEqual(['began', 'ended']);
  });

  together('that are held for their definition can be released by hand only when it is on', async () => {
    const { producer, partition, sightings, start } = await stage();
    const { globalState } = producer;
    const worker = await start([name]);
    await enqueue(isKeyed, producer, partition, 'held');
    await eventually('it to be held', () => globalState.isHeld(partition, 'held'));
    expect(await globalState.release(partition, 'held')).toMatchObject({ released: true });
    await eventually('it to be held again', () => globalState.isHeld(partition, 'held'));
    expect(sightings.whatOf('held')).toEqual([]);
    gatesOf(worker).setInactive([]);
    await sightings.ended(['held']);
    expect(sightings.whatOf('held')).toEqual(['began', 'ended']);
  });
});

/** Of two jobs, for the second of which there is no room at first; it comes back after a minute. @returns what they did, in order */
async function waitForRoom(isKeyed: boolean, name: string): Promise<(string | number)[][]> {
  const { producer, partition, sightings, start } = await stage({ maxWaitingJobs: 1 });
  const { globalState, info } = producer;
  const worker = await start([name]);
  await enqueue(isKeyed, producer, partition, 'first');
  await eventually('the first to be held', () => globalState.isHeld(partition, 'first'));
  await enqueue(isKeyed, producer, partition, 'second');
  await eventually('the second to be on its way back', async () => {
    if (isKeyed) {
      const { counts } = await info.keyedJobs(partition);
      return counts.get('default')?.retrying === 1;
    }
    return (await info.levels()).retrying.get(60) === 1;
  });
  expect(await globalState.isHeld(partition, 'second')).toBe(false);
  gatesOf(worker).setInactive([]);
  await sightings.ended(['first', 'second'], 90_000);
  return sightings.inOrder().map(({ id, what, attempt }) => [id, what, attempt]);
}

// Both kinds in the same minute.
together(
  'jobs for which the ledger has no room come back later, and their attempts are not counted, with keys or without',
  async () => {
    const did = await Promise.all(KINDS.map(([, isKeyed, name]) => waitForRoom(isKeyed, name)));
    const inOrder = [
      ['first', 'began', 1],
      ['first', 'ended', 1],
      ['second', 'began', 1],
      ['second', 'ended', 1],
    ];
    expect(did).toEqual([inOrder, inOrder]);
  },
  150_000,
);

together(
  'whoever keeps the ledger is killed while jobs are held, and again while they are released: each runs, in order',
  async () => {
    const { partition, worker, producer } = keyedPartition({ default: 1 }, { ledgerTimeoutMs: 30_000 });
    const sightings = new Sightings();
    // The first to use the ledger keeps it, and the second is behind it in line.
    const keepers: ChildApp[] = [];
    for (const node of ['first', 'second']) {
      const keeper = await ChildApp.start({ node, roger: producer, sightings, isStartEnough: true });
      await keeper.enqueued({ partition, orders: [{ id: node, args: { queueKey: node } }] });
      keepers.push(keeper);
    }
    const app = await startApp(worker, [...KEYED, sightings.of('worker')]);
    await served(app, partition);
    await sightings.ended(['first', 'second']);
    const ids = Array.from({ length: 600 }, (_, n) => `job-${n}`);
    await app.globalState.pauseQueue(partition, 'default');
    for (const id of ids)
      await app.jobs.enqueue(KeyedWork, { queueKey: id, executionKey: 'line' }, { partition, id });
    gatesOf(app).setInactive(['keyed-work']);
    await app.globalState.resumeQueue(partition, 'default');
    await eventually('some to be held', async () => (await app.globalState.heldJobs(partition)).length > 20);
    await keepers[0]?.kill();
    await eventually(
      'all to be held',
      async () => (await app.globalState.heldJobs(partition, { count: 10_000 })).length === ids.length,
      60_000,
    );
    expect(sightings.ids('began').sort()).toEqual(['first', 'second']);
    gatesOf(app).setInactive([]);
    await sightings.seenOf('job-0', 'began');
    await keepers[1]?.kill();
    await sightings.ended(ids, 90_000);
    expect(sightings.repeated('began')).toEqual([]);
    expect(sightings.ids('began').filter((id) => id.startsWith('job'))).toEqual(ids);
  },
  240_000,
);
