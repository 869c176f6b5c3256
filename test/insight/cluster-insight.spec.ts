// What all nodes together tell: partitions, running jobs, queues, rates. Who is silent is named.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { ClusterService, MemoryBroker, RogerJob } from 'nestjs-roger';
import type { RogerModuleOptions } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Gate, Signals } from '../support/signal';
import { within } from '../support/within';

let gate = new Gate();
const begun = new Signals<string>();

@RogerJob({ name: 'insight-held' })
class Held implements JobHandler {
  async perform(_args: unknown, context: JobContext): Promise<void> {
    context.progress(42);
    begun.add(context.job.id);
    await gate.opened;
  }
}

@RogerJob({ name: 'insight-quick' })
class Quick implements JobHandler {
  perform(): void {
    // Only counted.
  }
}

beforeEach(() => {
  gate = new Gate();
  begun.seen.length = 0;
});

describe.each<[string, () => RogerModuleOptions]>([
  ['RabbitMQ', () => ({ connection: { uri: sharedBrokerUri() } })],
  ['memory', () => ({ memory: new MemoryBroker() })],
])('%s', (_, makeTransport) => {
  test('the partitions, queues and running jobs of all nodes are told by any of them', async () => {
    const transport = { ...makeTransport(), namespace: uniquePartition('n') };
    const [shared, own] = [uniquePartition(), uniquePartition()];
    const one = await startApp({ ...transport, partitions: { [shared]: { default: 1 } } }, [Held, Quick]);
    const two = await startApp(
      { ...transport, partitions: { [shared]: { default: 1 }, [own]: { default: 2, mail: 1 } } },
      [Held, Quick],
    );
    const producer = await startApp({ ...transport, mode: 'producer' }, [Held, Quick]);
    await Promise.all([served(one, shared), served(two, shared), served(two, own)]);
    const [idOfOne, idOfTwo] = [one, two].map(({ app }) => app.get(ClusterService).nodeId);

    await eventually('all to know each other', async () => {
      const { partitions } = await producer.info.partitions();
      return partitions.length === 2 && partitions.flatMap(({ nodes }) => nodes).length === 3;
    });
    const { partitions, missing } = await producer.info.runningPartitions();
    expect(missing).toEqual([]);
    const nodesOf = (id: string) => partitions.find(({ partition }) => partition === id)?.nodes ?? [];
    expect(new Set(nodesOf(shared).map(({ node }) => node))).toEqual(new Set([idOfOne, idOfTwo]));
    expect(nodesOf(own)).toEqual([{ node: idOfTwo, state: 'running', reason: undefined }]);
    expect((await one.info.runningPartitionIds()).ids).toEqual([shared, own].sort());
    expect((await one.info.waitingPartitions()).partitions).toEqual([]);

    const before = Date.now();
    for (const id of ['a', 'b', 'c']) {
      await producer.jobs.enqueue(Held, {}, { partition: id === 'c' ? own : shared, id });
    }
    await within('all three to run', begun.count(3));
    const running = await producer.info.runningJobs();
    expect(running.jobs.map(({ id }) => id).sort()).toEqual(['a', 'b', 'c']);
    expect(running).toMatchObject({ total: 3, missing: [] });
    for (const job of running.jobs) {
      expect(job).toMatchObject({ name: 'insight-held', attempt: 1, progress: 42 });
      expect(job.startedAt).toBeGreaterThanOrEqual(before);
    }
    expect(new Set(running.jobs.map(({ node }) => node))).toEqual(new Set([idOfOne, idOfTwo]));
    expect((await one.info.runningJobs(own)).jobs).toMatchObject([
      { id: 'c', node: idOfTwo, partition: own },
    ]);

    const { queues } = await producer.info.queues(own);
    expect(queues).toMatchObject([
      { queue: 'default', node: idOfTwo, maxWorkers: 2, running: 1, consumers: 1, paused: false },
      { queue: 'mail', node: idOfTwo, maxWorkers: 1, running: 0, waitingFor: undefined },
    ]);
    gate.open();
  });

  test('rates are those of all nodes', async () => {
    const partition = uniquePartition();
    const transport = { ...makeTransport(), namespace: uniquePartition('n') };
    const app = await startApp({ ...transport, partitions: { [partition]: { default: 5 } } }, [Quick]);
    await served(app, partition);
    const measured = app.info.rates(partition, 'default', 1_500);
    const enqueueing = setInterval(() => void app.jobs.enqueue(Quick, {}), 10);
    const { perSecond } = await measured.finally(() => {
      clearInterval(enqueueing);
    });
    expect(perSecond.done).toBeGreaterThan(1);
    expect(perSecond.failed).toBe(0);
    await expect(app.info.rates(partition, 'default', 5)).rejects.toThrow(/overMs/);
  });
});

test('a queue that waits is told with its reason', async () => {
  const partition = uniquePartition();
  const connection = { uri: sharedBrokerUri() };
  const namespace = uniquePartition('n');
  const first = await startApp(
    { connection, namespace, partitions: { [partition]: { default: 1 } }, deliveryLimit: 5 },
    [Quick],
  );
  await served(first, partition);
  const second = await startApp(
    { connection, namespace, partitions: { [partition]: { default: 1 } }, deliveryLimit: 6 },
    [Quick],
  );
  const { nodeId } = second.app.get(ClusterService);
  await eventually('it to wait', async () => {
    const { partitions } = await first.info.waitingPartitions();
    const nodes = partitions.flatMap((one) => one.nodes).filter(({ state }) => state === 'waiting');
    return nodes.length === 1 && nodes[0]?.node === nodeId && /x-delivery-limit/.test(nodes[0].reason ?? '');
  });
});

test('a node that answers nonsense is named as missing', async () => {
  const partition = uniquePartition();
  const memory = new MemoryBroker();
  const options = { memory, partitions: { [partition]: { default: 1 } } };
  const app = await startApp(options, [Quick]);
  const other = await startApp(options, [Quick]);
  await eventually('both to be known', () => app.app.get(ClusterService).nodes().length === 2);
  jest.spyOn(other.partitions, 'queues').mockReturnValue([{ queue: 5 }] as never);
  const { queues, missing } = await app.info.queues(partition);
  expect(queues).toHaveLength(1);
  expect(missing).toEqual([other.app.get(ClusterService).nodeId]);
});
