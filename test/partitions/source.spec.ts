// Partitions come from a source of the user's: read at the start, followed as it changes, asked again when it fails.
import { Injectable, Module } from '@nestjs/common';
import type { PartitionChange, PartitionQueuesById, PartitionSource, RogerModuleOptions } from 'nestjs-roger';
import { InvalidOptionsError, RogerCron } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import type { TestApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Gate, Signals } from '../support/signal';
import { Work } from '../support/work';

const connection = { uri: sharedBrokerUri() };

/** Like a table of tenants with a feed of its changes. */
@Injectable()
class Tenants implements PartitionSource {
  table: PartitionQueuesById = {};
  failure: Error | undefined;
  readonly loads = new Signals<void>();
  /** Opened when somebody listens. */
  listened = new Gate();
  signal: AbortSignal | undefined;
  private tell: (change: PartitionChange | Error | undefined) => void = () => undefined;

  load(): Promise<PartitionQueuesById> {
    this.loads.add();
    return this.failure === undefined ? Promise.resolve(this.table) : Promise.reject(this.failure);
  }

  async *changes(signal: AbortSignal): AsyncGenerator<PartitionChange> {
    this.signal = signal;
    const told: (PartitionChange | Error | undefined)[] = [];
    let wake = (): void => undefined;
    this.tell = (change) => {
      told.push(change);
      wake();
    };
    this.listened.open();
    for (;;) {
      while (told.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const change = told.shift();
      if (change === undefined) return;
      if (change instanceof Error) throw change;
      yield change;
    }
  }

  change(partition: string, queues: PartitionChange['queues']): void {
    this.tell({ partition, queues });
  }

  /** Ends the feed, with an error or without. */
  break(error?: Error): void {
    this.listened = new Gate();
    this.tell(error);
  }
}

@Module({ providers: [Tenants], exports: [Tenants] })
class TenantsModule {}

function stopped({ partitions }: TestApp, partition: string): Promise<void> {
  return eventually(`${partition} to be gone`, () => !partitions.ids.includes(partition));
}

test('a factory is given providers of the app, and is called again when it fails', async () => {
  const partition = uniquePartition();
  const sightings = new Sightings();
  let calls = 0;
  const useFactory = (tenants: Tenants): PartitionQueuesById => {
    if (++calls === 1) throw new Error('the table is locked');
    return tenants.table;
  };
  const app = await startApp(
    { connection, partitions: { useFactory, inject: [Tenants] } },
    [Work, sightings.of('node')],
    { imports: [TenantsModule] },
  );
  app.app.get(Tenants, { strict: false }).table = { [partition]: { default: 1 } };
  await served(app, partition);
  await app.jobs.enqueue(Work, {}, { id: 'only-partition' });
  await sightings.ended(['only-partition']);
  expect(app.log.messages('warn')).toContain(
    "The partitions can't be read: the table is locked; trying on with those that are known",
  );
});

test('a provider tells of partitions that come, change and go, and a wrong one harms no other', async () => {
  const [first, second, third] = [uniquePartition(), uniquePartition(), uniquePartition()];
  const app = await startApp({ connection, partitions: { useExisting: Tenants } }, [], {
    imports: [TenantsModule],
  });
  const tenants = app.app.get(Tenants, { strict: false });
  await tenants.listened.opened;
  tenants.change(first, { default: 1 });
  tenants.change(second, { default: -1 });
  tenants.change('no id', { default: 1 });
  tenants.change(third, { default: 1, mail: 2 });
  await served(app, first);
  await served(app, third);
  expect(app.partitions.ids).toEqual([first, third]);
  const refusals = app.log.messages('error');
  expect(refusals).toEqual([
    expect.stringContaining(`queues of partition ${second}: default: must be a whole number`),
    expect.stringContaining('no id'),
  ]);

  tenants.change(third, { mail: 5 });
  await eventually('the change', () => app.partitions.queues(third).length === 1);
  expect(app.partitions.queues(third)).toMatchObject([{ queue: 'mail', maxWorkers: 5 }]);
  tenants.change(first, undefined);
  await stopped(app, first);
  await app.close();
  expect(tenants.signal?.aborted).toBe(true);
});

test.each([
  ['fails', new Error('the feed broke')],
  ['ends', undefined],
])('a feed that %s is begun again with what stands in the table then', async (_how, error) => {
  const [stays, goes, comes] = [uniquePartition(), uniquePartition(), uniquePartition()];
  @Injectable()
  class Full extends Tenants {
    override table: PartitionQueuesById = { [stays]: { default: 1 }, [goes]: { default: 1 } };
  }
  const app = await startApp({ partitions: { useExisting: Full } }, [Full]);
  const tenants = app.app.get(Full);
  await served(app, stays);
  await served(app, goes);
  await app.partitions.start('by-hand', { default: 1 });
  tenants.failure = new Error('nobody there');
  tenants.break(error);
  await tenants.loads.count(2);
  // What is known is served on.
  expect(app.partitions.ids).toEqual([stays, goes, 'by-hand']);
  tenants.failure = undefined;
  tenants.table = { [stays]: { default: 2 }, [comes]: { default: 1 } };
  await served(app, comes);
  await stopped(app, goes);
  expect(app.partitions.queues(stays)).toMatchObject([{ maxWorkers: 2 }]);
  expect(app.partitions.ids).toEqual([stays, 'by-hand', comes]);
  const lines = app.log.messages('warn').filter((line) => line.includes('partitions'));
  expect(lines).toEqual([
    expect.stringContaining(error === undefined ? 'its changes have ended' : 'the feed broke'),
    expect.stringContaining('nobody there'),
  ]);
});

test('a producer learns of them too, so that it can leave out the only one', async () => {
  const partition = uniquePartition();
  const options: RogerModuleOptions = {
    connection,
    mode: 'producer',
    partitions: { useFactory: () => ({ [partition]: { default: 1 } }) },
  };
  const app = await startApp(options, [Work, new Sightings().of('node')]);
  await eventually('the job to be taken', async () =>
    app.jobs.enqueue(Work, {}).then(
      () => true,
      () => false,
    ),
  );
  expect(app.partitions.ids).toEqual([]);
  expect((await app.info.queueDepth(partition, 'default'))?.ready).toBe(1);
});

test('a provider that the app does not have is named in the log, and the app runs', async () => {
  const app = await startApp({ partitions: { useExisting: Tenants } });
  await eventually('the line', () => app.log.messages('warn').some((line) => line.includes('Tenants')));
});

test('an option beside the source is refused with the nearest name', async () => {
  const partitions = { useFactory: () => ({}), injects: [] } as never;
  await expect(startApp({ partitions })).rejects.toThrow(InvalidOptionsError);
  await expect(startApp({ partitions })).rejects.toThrow(/partitions\.injects.*inject/);
});

test('what code declares to recur ticks in a partition that comes at run time, and no more when it is gone', async () => {
  const ticked = new Signals<string>();
  @RogerJob()
  @RogerCron('* * * * * *')
  class EverySecond {
    perform(_args: object, { job }: { job: { partition: string } }): void {
      ticked.add(job.partition);
    }
  }
  const partition = uniquePartition();
  const app = await startApp({ connection }, [EverySecond]);
  await app.partitions.start(partition, { default: 1 });
  expect(new Set(await ticked.count(2))).toEqual(new Set([partition]));
  await app.partitions.stop(partition);
  const seen = ticked.seen.length;
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(await app.info.queueDepth(partition, 'default')).toMatchObject({ ready: 0 });
  expect(ticked.seen).toHaveLength(seen);
});
