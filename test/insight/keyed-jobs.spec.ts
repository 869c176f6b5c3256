// What a ledger tells of the jobs with keys of a partition.
import type { JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

const connection = { uri: sharedBrokerUri() };

@RogerJob({ name: 'keyed-held', queue: 'mail', executionKey: ({ key }: { key: string }) => key })
class Held implements JobHandler<{ key: string }> {
  static readonly begun = new Signals<string>();
  static readonly gate = new Gate();
  async perform({ key }: { key: string }): Promise<void> {
    Held.begun.add(key);
    await Held.gate.opened;
  }
}

test('a partition that never used a key has none, and no ledger is made by asking', async () => {
  const partition = uniquePartition();
  const namespace = uniquePartition('n');
  const { info } = await startApp({ connection, namespace, partitions: { [partition]: { mail: 1 } } }, [
    Held,
  ]);
  expect(await info.keyedJobs(partition)).toEqual({ counts: new Map(), waiting: [] });
});

test('jobs in line are listed in their order, and all are counted where they stand', async () => {
  const partition = uniquePartition();
  const app = await startApp({ connection, partitions: { [partition]: { mail: 1 } } }, [Held]);
  await served(app, partition);
  const ids = Array.from({ length: 20 }, (_, index) => `a-${index}`);
  for (const id of ids) await app.jobs.enqueue(Held, { key: 'a' }, { id });
  await app.jobs.enqueue(Held, { key: 'b' }, { id: 'b-1', delayMs: 60_000 });
  await within('a job to run', Held.begun.count(1));
  const { counts, waiting } = await app.info.keyedJobs(partition, 2);
  // A run takes some of those behind it along; the others wait in line.
  const { running = 0, waiting: inLine = 0 } = counts.get('mail') ?? {};
  expect(inLine).toBeGreaterThan(0);
  expect(counts.get('mail')).toEqual({
    running,
    waiting: 20 - running,
    delayed: 1,
    queued: 0,
    retrying: 0,
    held: 0,
  });
  const firstTwo = ids.slice(running, running + 2);
  expect(waiting).toEqual(firstTwo.map((id) => ({ id, queue: 'mail', executionKey: 'a' })));
  await app.globalState.cancelJob(partition, 'b-1');
  Held.gate.open();
  await within('all to run', Held.begun.count(20));
});
