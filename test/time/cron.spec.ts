// Each tick of a recurring job enqueues it once in the whole cluster, whoever comes and goes.
import type { RecurringJobStatus } from 'nestjs-roger';
import {
  CronService,
  InvalidArgumentError,
  MemoryBroker,
  QueueNotFoundError,
  RogerCron,
  RogerJob,
} from 'nestjs-roger';
import type { TestApp } from '../support/app';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { ChildApp } from '../support/child-app';
import { keyedPartition } from '../support/keyed-partition';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const EVERY_SECOND = '* * * * * *';

@RogerJob({ name: 'ticking' })
@RogerCron(EVERY_SECOND)
class Ticking extends Work {}

/** Far enough apart for a restart between two of them. */
const SPARSE_SECONDS = 6;

@RogerJob({ name: 'ticking' })
@RogerCron(`*/${SPARSE_SECONDS} * * * * *`)
class Sparse extends Work {}

@RogerJob({ name: 'ticking' })
@RogerCron(`*/${SPARSE_SECONDS} * * * * *`, { catchUp: 'once' })
class SparseCatchingUp extends Work {}

const cronsOf = ({ app }: TestApp): CronService => app.get(CronService);
const only = async (app: TestApp, partition: string): Promise<RecurringJobStatus | undefined> =>
  (await cronsOf(app).list(partition))[0];

/** The ticks whose jobs have begun, in seconds since the epoch, in the order of their beginning. */
function ticksOf(sightings: Sightings, name = 'ticking'): number[] {
  const prefix = `cron/${name}/`;
  return sightings
    .ids('began')
    .filter((id) => id.startsWith(prefix) && !id.includes('/now/'))
    .map((id) => Date.parse(id.slice(prefix.length)) / 1_000);
}

function ticked(sightings: Sightings, count: number, name?: string): Promise<void> {
  return eventually(`${count} ticks`, () => ticksOf(sightings, name).length >= count, 40_000);
}

/** By how much the job of each tick began late, in ms. */
function latenessOf(sightings: Sightings, name = 'ticking'): number[] {
  const offset = Date.now() - Number(process.hrtime.bigint()) / 1e6;
  return sightings.all
    .filter(({ what, id }) => what === 'began' && id.startsWith(`cron/${name}/`))
    .map(({ id, at }) => at + offset - Date.parse(id.slice(`cron/${name}/`.length)));
}

function expectEachOnce(ticks: readonly number[]): void {
  const [first = 0] = ticks;
  expect([...ticks].sort((a, b) => a - b)).toEqual(ticks.map((_, index) => first + index));
}

const nextSecond = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1_000 - (Date.now() % 1_000) + 50));

test('the death of the keeper costs no tick, doubles none, and makes none later than the next', async () => {
  const { partition, worker, producer } = keyedPartition();
  const sightings = new Sightings();
  const keeper = await ChildApp.start({ node: 'keeper', roger: producer, sightings, isStartEnough: true });
  // Its first use makes it the keeper.
  await keeper.enqueued({ partition, orders: [{ id: 'opener', args: { queueKey: 'opener' } }] });
  const apps = await Promise.all(
    ['a', 'b'].map((node) => startApp(worker, [Ticking, ...KEYED, sightings.of(node)])),
  );
  await ticked(sightings, 3);
  await keeper.kill();
  await ticked(sightings, 9);
  await Promise.all(apps.map((app) => app.close()));
  expectEachOnce(ticksOf(sightings));
  expect(Math.max(...latenessOf(sightings))).toBeLessThan(2_000);
});

const together = testsAtOnce(4);

together('of three nodes one enqueues each tick', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const apps = await Promise.all(
    ['a', 'b', 'c'].map((node) => startApp(worker, [Ticking, sightings.of(node)])),
  );
  await Promise.all(apps.map((app) => served(app, partition)));
  await ticked(sightings, 8);
  await Promise.all(apps.map((app) => app.close()));
  expectEachOnce(ticksOf(sightings));
});

together('clocks that differ by seconds double no tick, and make none come before its time', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const keeper = await startApp(worker, [...KEYED, sightings.of('keeper')]);
  await served(keeper, partition);
  await cronsOf(keeper).schedule(partition, 'skewed', Work, EVERY_SECOND);
  await Promise.all(
    [3_000, -3_000].map((clockAheadMs) =>
      ChildApp.start({ node: String(clockAheadMs), roger: worker, sightings, clockAheadMs }),
    ),
  );
  const before = ticksOf(sightings, 'skewed').length;
  await ticked(sightings, before + 6, 'skewed');
  expectEachOnce(ticksOf(sightings, 'skewed'));
  // A second's difference is let pass.
  expect(Math.min(...latenessOf(sightings, 'skewed'))).toBeGreaterThan(-1_100);
});

together('any node makes, holds, runs and removes it, for all', async () => {
  const { partition, worker, producer } = keyedPartition({ default: 5, mail: 5 });
  const sightings = new Sightings();
  const node = await startApp(worker, [...KEYED, sightings.of('worker')]);
  await served(node, partition);
  const crons = cronsOf(await startApp(producer));
  expect(await crons.list(partition)).toEqual([]);
  const options = { queue: 'mail', args: { executionKey: 'e' }, timeZone: 'Europe/Berlin' };
  await crons.schedule(partition, 'often', KeyedWork, EVERY_SECOND, options);
  await ticked(sightings, 2, 'often');
  const [listed] = await crons.list(partition);
  expect(listed).toMatchObject({ name: 'often', job: 'keyed-work', expression: EVERY_SECOND, paused: false });
  expect(listed).toMatchObject({ source: 'run time', timeZone: 'Europe/Berlin', catchUp: 'skip' });
  expect(listed?.last?.getTime()).toBeLessThan(listed?.next?.getTime() ?? 0);
  expect(await only(node, partition)).toMatchObject({ name: 'often' });

  await crons.pause(partition, 'often');
  const { last } = (await crons.list(partition))[0] ?? {};
  await nextSecond(2);
  expect((await crons.list(partition))[0]).toMatchObject({ last, paused: true, next: undefined });
  const ran = await crons.runNow(partition, 'often');
  if (ran.status === 'enqueued') await sightings.ended([ran.jobId]);
  expect(ran.status).toBe('enqueued');

  const count = ticksOf(sightings, 'often').length;
  const resumedAt = Date.now();
  await cronsOf(node).resume(partition, 'often');
  await ticked(sightings, count + 1, 'often');
  expect((ticksOf(sightings, 'often')[count] ?? 0) * 1_000).toBeGreaterThan(resumedAt - 1_000);

  expect(await crons.unschedule(partition, 'often')).toBe(true);
  expect(await crons.unschedule(partition, 'often')).toBe(false);
  expect(await cronsOf(node).list(partition)).toEqual([]);
  const left = ticksOf(sightings, 'often');
  await nextSecond(2);
  expect(ticksOf(sightings, 'often').length - left.length).toBeLessThanOrEqual(1);
});

together('a job that goes without keys otherwise is retried and cancelled as any', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const app = await startApp(worker, [...KEYED, sightings.of('app')]);
  const crons = cronsOf(app);
  await crons.schedule(partition, 'rare', Work, '@yearly', { args: { failures: 1 } });
  const failing = await crons.runNow(partition, 'rare');
  if (failing.status === 'enqueued') await sightings.ended([failing.jobId]);
  await crons.schedule(partition, 'rare', Work, '@yearly', { args: { isHeld: true } });
  const held = await crons.runNow(partition, 'rare');
  const id = held.status === 'enqueued' ? held.jobId : '';
  await sightings.seenOf(id, 'began');
  expect(await app.globalState.cancelJob(partition, id)).toMatchObject({ met: 'running' });
  await sightings.seenOf(id, 'cancelled');
});

together('it outlives a restart of everything, and a pause does, too', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const before = await startApp(worker, [...KEYED, sightings.of('before')]);
  await cronsOf(before).schedule(partition, 'made', Work, EVERY_SECOND);
  await cronsOf(before).schedule(partition, 'held', Work, EVERY_SECOND);
  await cronsOf(before).pause(partition, 'held');
  await ticked(sightings, 2, 'made');
  await before.close();
  const count = ticksOf(sightings, 'made').length;
  const after = await startApp(worker, [...KEYED, sightings.of('after')]);
  await ticked(sightings, count + 2, 'made');
  const listed = await cronsOf(after).list(partition);
  expect(listed.map(({ name, paused }) => [name, paused])).toEqual([
    ['made', false],
    ['held', true],
  ]);
  expect(sightings.repeated('began')).toEqual([]);
});

for (const [does, job, madeUp] of [
  ['skips', Sparse, 0],
  ['makes up for', SparseCatchingUp, 1],
] as const) {
  together(`it ${does} the tick that nobody was there for`, async () => {
    const { partition, worker } = keyedPartition();
    const sightings = new Sightings();
    const before = await startApp(worker, [job, sightings.of('before')]);
    await ticked(sightings, 1);
    await before.close();
    const [first = 0] = ticksOf(sightings);
    await eventually('a tick that is missed', () => Date.now() > (first + SPARSE_SECONDS) * 1_000, 20_000);
    const app = await startApp(worker, [job, sightings.of('after')]);
    await served(app, partition);
    await ticked(sightings, 2 + madeUp);
    const missed = first + SPARSE_SECONDS;
    expect(ticksOf(sightings)).toEqual([first, ...(madeUp === 1 ? [missed] : []), missed + SPARSE_SECONDS]);
  });
}

test('what is under @RogerCron alone refuses the start', async () => {
  @RogerCron('@hourly')
  class Stray {
    perform(): void {
      // Nothing runs here.
    }
  }
  await expect(startApp({}, [Stray])).rejects.toThrow(
    'Stray: it is under @RogerCron and not under @RogerJob',
  );
});

together('one whose code is gone stays in the list, and ticks no more', async () => {
  const { partition, worker } = keyedPartition();
  const sightings = new Sightings();
  const before = await startApp(worker, [Ticking, sightings.of('before')]);
  await ticked(sightings, 1);
  await before.close();
  const after = await startApp(worker, [...KEYED, sightings.of('after')]);
  await served(after, partition);
  const last = (await only(after, partition))?.last;
  await nextSecond(2);
  expect(await only(after, partition)).toMatchObject({ name: 'ticking', source: 'definition', last });
  expect(await cronsOf(after).unschedule(partition, 'ticking')).toBe(true);
  expect(await cronsOf(after).list(partition)).toEqual([]);
});

together('in one process without a broker it is the same', async () => {
  const partition = 'acme';
  const options = { partitions: { [partition]: { default: 5 } }, memory: new MemoryBroker() };
  const sightings = new Sightings();
  const apps = await Promise.all(['a', 'b'].map((node) => startApp(options, [Ticking, sightings.of(node)])));
  await ticked(sightings, 3);
  await Promise.all(apps.map((app) => app.close()));
  expectEachOnce(ticksOf(sightings));
});

test('what is no schedule is refused, and the culprit named', async () => {
  const partition = 'acme';
  const options = { partitions: { [partition]: { default: 5 } } };
  const sightings = new Sightings();
  const crons = cronsOf(await startApp(options, [Ticking, ...KEYED, sightings.of('app')]));
  const refused = async (asked: Promise<unknown>, argument: string, problem: RegExp): Promise<void> => {
    const error = await asked.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect(error).toMatchObject({ argument, problem: expect.stringMatching(problem) as string });
  };
  await refused(crons.schedule(partition, 'n', Work, 'often'), 'expression', /"often" is no cron expression/);
  await refused(crons.schedule(partition, 'n', Work, '@hourly', { timeZone: 'Mars' }), 'timeZone', /"Mars"/);
  await refused(crons.schedule(partition, 'a b', Work, '@hourly'), 'name', /"a b"/);
  await refused(crons.schedule('a b', 'n', Work, '@hourly'), 'partition', /"a b"/);
  const timezone = { timezone: 'UTC' } as never;
  await refused(
    crons.schedule(partition, 'n', Work, '@hourly', timezone),
    'timezone',
    /did you mean .*timeZone/,
  );
  await eventually('the definition', async () => (await crons.list(partition)).length === 1);
  await refused(crons.schedule(partition, 'ticking', Work, '@hourly'), 'name', /declared by @RogerCron/);
  await refused(crons.pause(partition, 'nobody'), 'name', /no recurring job nobody/);
  await refused(crons.resume(partition, 'nobody'), 'name', /no recurring job nobody/);
  await refused(crons.runNow(partition, 'nobody'), 'name', /no recurring job nobody/);
  const toNowhere = crons.schedule(partition, 'n', Work, '@hourly', { queue: 'nowhere' });
  await expect(toNowhere).rejects.toThrow(QueueNotFoundError);
});
