// The number of ledgers is one for all nodes: written down at first use, and a node that believes in another does nothing.
import { LedgerShardsMismatchError, MemoryBroker, RogerJob } from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';

@RogerJob({ queueKey: (args: { key: string }) => args.key })
class Keyed {
  perform(): void {
    // Only its key matters.
  }
}

test.each<[string, () => Partial<RogerModuleOptions>]>([
  ['on RabbitMQ', () => ({ connection: { uri: sharedBrokerUri() }, namespace: uniquePartition('shards') })],
  ['in memory', () => ({ memory: new MemoryBroker() })],
])(
  '%s a node with another number of ledgers enqueues nothing under a key and serves no partition',
  async (_, make) => {
    const options = make();
    const first = await startApp({ ...options, partitions: { acme: { default: 1 } }, ledgerShards: 8 }, [
      Keyed,
    ]);
    await served(first, 'acme');
    await first.jobs.enqueue(Keyed, { key: 'a' });

    const other = await startApp({ ...options, partitions: { acme: { default: 1 } }, ledgerShards: 4 }, [
      Keyed,
    ]);
    const refusal = await other.jobs.enqueue(Keyed, { key: 'b' }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(LedgerShardsMismatchError);
    expect((refusal as Error).message).toMatch(/ledgerShards is 4 on this node, but 8 was written down/);
    await eventually(
      'the reason to be known',
      () => other.partitions.queues('acme')[0]?.waitingFor instanceof LedgerShardsMismatchError,
    );
    const lines = other.log.messages('error').filter((line) => line.startsWith('ledgerShards is 4'));
    expect(lines).toHaveLength(1);
    expect(await first.jobs.enqueue(Keyed, { key: 'c' })).toMatchObject({ status: 'enqueued' });
  },
);
