// A persister of the user's own keeps what the ledgers know from one life of the app to the next.
import { MemoryBroker, RogerJob } from 'nestjs-roger';
import type { StatePersister } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';

/** As small as one can be. */
class OwnPersister implements StatePersister {
  readonly stored = new Map<string, Uint8Array>();
  readonly made: string[] = [];

  init(id: string): Promise<void> {
    this.made.push(id);
    return Promise.resolve();
  }

  load(id: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.stored.get(id));
  }

  store(id: string, data: Uint8Array): Promise<void> {
    this.stored.set(id, Uint8Array.from(data));
    return Promise.resolve();
  }
}

@RogerJob({ queueKey: (args: { key: string }) => args.key })
class Keyed {
  perform(): void {
    // Only its key matters.
  }
}

test('in memory, pauses and cancels are there again after a restart', async () => {
  const persister = new OwnPersister();
  const partitions = { acme: { default: 1 } };
  const first = await startApp({ partitions, persister, memory: new MemoryBroker() });
  await served(first, 'acme');
  await first.globalState.pauseQueue('acme', 'default');
  await first.globalState.cancelJob('acme', 'gone', { reason: 'enough' });
  await first.close();

  const second = await startApp({ partitions, persister, memory: new MemoryBroker() });
  await served(second, 'acme');
  expect(second.partitions.queues('acme')[0]?.paused).toBe(true);
  expect(await second.globalState.pausedQueues('acme')).toEqual(['default']);
  expect(await second.globalState.isCancelled('acme', 'gone')).toBe(true);
  expect(new Set(persister.made).size).toBe(1);
});

test('on RabbitMQ, what was stored is the state where the log was lost, and is about a second behind at most', async () => {
  const persister = new OwnPersister();
  const namespace = (): string => uniquePartition('log');
  const options = {
    connection: { uri: sharedBrokerUri() },
    partitions: { acme: { default: 1 } },
    persister,
  };
  const lost = namespace();
  const first = await startApp({ ...options, namespace: lost }, [Keyed]);
  await served(first, 'acme');
  await first.globalState.pauseQueue('acme', 'default');
  await first.jobs.enqueue(Keyed, { key: 'a' }, { id: 'holder' });
  await eventually('the state to be stored', () => persister.stored.size > 0);
  await eventually('the key to be in it', () =>
    [...persister.stored.values()].some((bytes) => Buffer.from(bytes).includes('holder')),
  );
  await first.close();

  // Another namespace has no log: that of a broker whose data were lost.
  const found = namespace();
  for (const [id, bytes] of [...persister.stored]) persister.stored.set(id.replace(lost, found), bytes);
  const second = await startApp({ ...options, namespace: found }, [Keyed]);
  await served(second, 'acme');
  expect(second.partitions.queues('acme')[0]?.paused).toBe(true);
  expect(await second.jobs.enqueue(Keyed, { key: 'a' })).toMatchObject({
    status: 'duplicate',
    existingJobId: 'holder',
  });
});
