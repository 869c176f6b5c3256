// What a class says of its recurring jobs is checked at the start, and the culprit is named.
import { IsInt } from 'class-validator';
import { InvalidJobDefinitionError } from '../job/errors';
import { readDefinition } from '../job/define-job';
import type { JobClass } from '../job/job-definition';
import { JobRegistry } from '../job/job-registry';
import { JobQueue } from '../enqueue/job-queue';
import { RogerCron } from '../nest/roger-cron.decorator';
import { RogerJob } from '../nest/roger-job.decorator';
import type { CronOptions } from './cron-definition';
import { declaredJobs } from './declared-jobs';

class Numbers {
  @IsInt() number!: number;
}

function declared(...jobClasses: JobClass[]) {
  const registry = new JobRegistry();
  const jobs = new JobQueue({ registry, maxJobBytes: 1_000, configured: {} } as never);
  return declaredJobs({ jobs, registry, maxJobBytes: 1_000 }, jobClasses.map(readDefinition), [
    'acme',
    'beta',
  ]);
}

function jobWith(expression: string, options?: CronOptions): JobClass {
  @RogerJob({
    name: 'count',
    queue: 'numbers',
    args: Numbers,
    queueKey: ({ number }: Numbers) => String(number),
  })
  @RogerCron(expression, options)
  class Count {
    perform(): void {
      // Nothing runs here.
    }
  }
  return Count;
}

test('a class declares as many recurring jobs as it says, in the partitions that it says', async () => {
  @RogerJob({ name: 'sweep' })
  @RogerCron('@hourly')
  @RogerCron('0 3 * * *', { name: 'nightly', timeZone: 'Europe/Berlin', partitions: ['beta', 'elsewhere'] })
  class Sweep {
    perform(): void {
      // Nothing runs here.
    }
  }
  const found = await declared(Sweep);
  expect(found.map(({ partition, name, job, timeZone }) => [partition, name, job, timeZone])).toEqual([
    ['acme', 'sweep', 'sweep', 'UTC'],
    ['beta', 'sweep', 'sweep', 'UTC'],
    ['beta', 'nightly', 'sweep', 'Europe/Berlin'],
  ]);
});

test('its jobs have the queue, the keys and the args that they have when they are enqueued', async () => {
  const [found] = await declared(jobWith('@hourly', { args: { number: 7 } }));
  expect(found).toMatchObject({ queue: 'numbers', queueKey: '7', catchUp: 'skip', source: 'definition' });
  expect(JSON.parse(found?.body.toString() ?? '')).toMatchObject({ name: 'count', args: { number: 7 } });
  const again = await declared(jobWith('@hourly', { args: { number: 7 } }));
  expect(again[0]?.body).toEqual(found?.body);
});

const good = { args: { number: 7 } };

test.each<[string, string, CronOptions, RegExp]>([
  ['an expression', '61 * * * *', good, /Count: @RogerCron\("61 \* \* \* \*"\): .*minute: 61/],
  ['a zone', '@hourly', { ...good, timeZone: 'Mars/Olympus' }, /"Mars\/Olympus" is no time zone/],
  ['args', '@hourly', { args: { number: 'x' } }, /@RogerCron count: .*number/],
  ['args that are no JSON', '@hourly', { args: { number: NaN } }, /@RogerCron count: .*number/],
  ['args that are too large', '@hourly', { args: { number: 7, x: 'x'.repeat(1_000) } }, /1000/],
  ['a name', '@hourly', { ...good, name: 'a b' }, /"a b" is no name of a recurring job/],
  ['a queue', '@hourly', { ...good, queue: 'A-B' }, /"A-B" is no queue name/],
  ['a partition', '@hourly', { ...good, partitions: ['a b'] }, /"a b" is no partition id/],
  ['partitions', '@hourly', { ...good, partitions: 'acme' as never }, /partitions must be a list/],
  ['catchUp', '@hourly', { ...good, catchUp: 'all' as never }, /must be 'once' or 'skip', not "all"/],
  ['an unknown option', '@hourly', { ...good, timezone: 'UTC' } as never, /did you mean .*timeZone/],
])('%s that is wrong refuses the start', async (_what, expression, options, message) => {
  const refused = declared(jobWith(expression, options));
  await expect(refused).rejects.toThrow(InvalidJobDefinitionError);
  await expect(refused).rejects.toThrow(message);
});

test('two recurring jobs of one name refuse the start', async () => {
  @RogerJob({ name: 'sweep' })
  @RogerCron('@hourly')
  @RogerCron('@daily')
  class Sweep {
    perform(): void {
      // Nothing runs here.
    }
  }
  await expect(declared(Sweep)).rejects.toThrow('Sweep declares a recurring job of that name, too');
});
