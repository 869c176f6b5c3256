// When a failed job comes back: by its queue's levels, or by its definition's own function.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Signals } from '../support/signal';
import { within } from '../support/within';

const runs = new Signals<{ attempt: number; at: number }>();
const connection = { uri: sharedBrokerUri() };

beforeEach(() => {
  runs.seen.length = 0;
});

@RogerJob()
class Failing implements JobHandler {
  perform(_args: unknown, { attempt }: JobContext): void {
    runs.add({ attempt, at: performance.now() });
    throw new Error('as always');
  }
}

/** Beyond the one level of its queue, and over after its third attempt. */
@RogerJob({
  retryable: (error, attempt) => error.message === 'as always' && attempt < 3 && { delayMs: 1_000 },
})
class Ruled extends Failing {}

test("a queue's own levels go before the module's", async () => {
  const partition = uniquePartition();
  const queue = { maxWorkers: 1, retryLevels: [2] };
  const { jobs, info } = await startApp(
    { connection, partitions: { [partition]: { default: queue } }, retryLevels: [1, 1, 1, 1] },
    [Failing],
  );
  await jobs.enqueue(Failing, {});
  await within('two runs', runs.count(2));
  await eventually('it to be buried', async () => {
    return (await info.queueDepth(partition, 'default'))?.buried === 1;
  });
  const [first, second] = runs.seen;
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(1_900);
  expect(runs.seen).toHaveLength(2);
});

test('a function rules for as long as it says so, and then the job is over and not buried', async () => {
  const partition = uniquePartition();
  const queue = { maxWorkers: 1, retryLevels: [60] };
  const { jobs, info, partitions } = await startApp(
    { connection, partitions: { [partition]: { default: queue } } },
    [Ruled],
  );
  await jobs.enqueue(Ruled, {});
  await within('three runs', runs.count(3));
  await eventually('it to be over', () => partitions.queues(partition)[0]?.counts.failed === 1);
  expect(runs.seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(await info.queueDepth(partition, 'default')).toMatchObject({ ready: 0, buried: 0 });
});
