// The main promise: what is enqueued runs, is retried, is buried.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { eventually, startApp } from './support/app';
import { sharedBrokerUri, uniquePartition } from './support/broker';
import { Signals } from './support/signal';
import { within } from './support/within';

const runs = new Signals<{ n: number; attempt: number }>();

@RogerJob({ retryable: { levels: [1] } })
class Failing implements JobHandler<{ n: number; failures: number }> {
  perform({ n, failures }: { n: number; failures: number }, { attempt }: JobContext): void {
    runs.add({ n, attempt });
    if (attempt <= failures) throw new Error(`failure ${attempt} of ${failures}`);
  }
}

beforeEach(() => {
  runs.seen.length = 0;
});

const connection = { uri: sharedBrokerUri() };

test('an enqueued job runs', async () => {
  const partition = uniquePartition();
  const { jobs } = await startApp({ connection, partitions: { [partition]: { default: 2 } } }, [Failing]);
  await jobs.enqueue(Failing, { n: 1, failures: 0 });
  expect(await within('the run', runs.count(1))).toEqual([{ n: 1, attempt: 1 }]);
});

test('a job that fails runs again after its level, and is buried after the last one', async () => {
  const partition = uniquePartition();
  const { jobs, info } = await startApp({ connection, partitions: { [partition]: { default: 2 } } }, [
    Failing,
  ]);
  await jobs.enqueue(Failing, { n: 2, failures: 2 });
  expect(await within('two attempts', runs.count(2))).toEqual([
    { n: 2, attempt: 1 },
    { n: 2, attempt: 2 },
  ]);
  await eventually(
    'the job to be buried',
    async () => (await info.queueDepth(partition, 'default'))?.buried === 1,
  );
});
