// How many jobs come to their queues later.
import type { JobHandler } from 'nestjs-roger';
import { MemoryBroker, RetryJob, RogerJob } from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';

@RogerJob({ name: 'levelled' })
class Levelled implements JobHandler<{ againMs: number }> {
  perform({ againMs }: { againMs: number }): void {
    throw againMs === 0 ? new Error('not yet') : new RetryJob({ delayMs: againMs });
  }
}

describe.each<[string, () => RogerModuleOptions]>([
  ['RabbitMQ', () => ({ connection: { uri: sharedBrokerUri() } })],
  ['memory', () => ({ memory: new MemoryBroker() })],
])('%s', (_, transport) => {
  test('delayed jobs and retries are counted, the retries by their level', async () => {
    const partition = uniquePartition();
    const app = await startApp(
      {
        ...transport(),
        namespace: uniquePartition('n'),
        partitions: { [partition]: { default: { maxWorkers: 5, retryLevels: [777] } } },
      },
      [Levelled],
    );
    await served(app, partition);
    const { jobs, info } = app;
    expect(await info.levels()).toEqual({ delayed: 0, retrying: new Map(), homeless: 0 });
    for (let count = 0; count < 3; count++) {
      await jobs.enqueue(Levelled, { againMs: 0 }, { delayMs: 3_600_000 + count * 1_000 });
      await jobs.enqueue(Levelled, { againMs: 0 });
      await jobs.enqueue(Levelled, { againMs: 60_000 });
    }
    const expected = {
      delayed: 3,
      retrying: new Map([
        [60, 3],
        [777, 3],
      ]),
      homeless: 0,
    };
    await eventually('the levels to be filled', async () => {
      const { delayed, retrying } = await info.levels();
      return delayed === 3 && retrying.get(60) === 3 && retrying.get(777) === 3;
    });
    expect(await info.levels()).toEqual(expected);
  });
});
