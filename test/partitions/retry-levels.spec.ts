// A job that fails after its queue was reconfigured is retried by the new retry levels.
import type { AfterFailure, ErrorEvent, RogerModuleOptions, WorkerCallbacks } from 'nestjs-roger';
import { RogerCallbacks, RogerJob } from 'nestjs-roger';
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Signals } from '../support/signal';
import { within } from '../support/within';

const failures = new Signals<AfterFailure>();

@RogerJob({ name: 'always-failing' })
class AlwaysFailing {
  perform(): void {
    throw new Error('as ever');
  }
}

@RogerCallbacks()
class Failures implements WorkerCallbacks {
  onError({ next }: ErrorEvent): void {
    failures.add(next);
  }
}

const transports: [string, RogerModuleOptions][] = [
  ['RabbitMQ', { connection: { uri: sharedBrokerUri() } }],
  ['memory', {}],
];

test.each(transports)('retry levels follow a reconfiguration, over %s', async (_name, options) => {
  failures.seen.length = 0;
  const partition = uniquePartition();
  const queues = (retryLevels?: number[]) => ({ default: { maxWorkers: 1, retryLevels } });
  const app = await startApp({ ...options, retryLevels: [100], partitions: { [partition]: queues([200]) } }, [
    AlwaysFailing,
    Failures,
  ]);
  await served(app, partition);
  const fail = async (count: number): Promise<void> => {
    await app.jobs.enqueue(AlwaysFailing, {}, { partition });
    await within(`failure ${count}`, failures.count(count));
  };
  await fail(1);
  await app.partitions.reconfigure(partition, queues([400]));
  await fail(2);
  await app.partitions.reconfigure(partition, queues());
  await fail(3);
  expect(failures.seen).toEqual([200, 400, 100].map((afterSeconds) => ({ kind: 'retry', afterSeconds })));
});
