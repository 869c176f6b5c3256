// A queue on this node: at most maxWorkers jobs at once, none kept from other nodes, none lost at the end.
import { DeliveryLostError, ShutdownError } from '../job/errors';
import type { Job } from '../job/job';
import { encodeJob } from '../job/job-codec';
import type { JobContext } from '../job/job-definition';
import { DefinitionGates } from '../job/definition-gates';
import { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import type { QueueAddress } from '../job/names';
import type {
  Delivery,
  DeliveryConsumer,
  QueueLane,
  Settlement,
  Subscription,
  Transport,
} from '../transport';
import { CallbackChain } from '../worker/callbacks';
import type { WorkerParts } from '../worker/worker';
import { Worker } from '../worker/worker';
import type { LedgersOfLanes } from './partition.service';
import { PartitionCatalogue } from './partition-catalogue';
import { PartitionService } from './partition.service';

const GRACE_MS = 1_000;

/** A transport that delivers what the test tells it to, within the prefetch, and keeps what it is told. */
class FakeTransport {
  /** What was asked of the subscription, in order. */
  readonly asked: string[] = [];
  readonly settlements = new Map<string, Settlement['kind']>();
  private consumer: DeliveryConsumer | undefined;
  private prefetch = 0;
  private unsettled = 0;
  private sent = 0;

  consume(_address: QueueAddress, prefetch: number, consumer: DeliveryConsumer): Subscription {
    this.prefetch = prefetch;
    this.consumer = consumer;
    consumer.waiting(undefined);
    return {
      consumerCount: 1,
      setPrefetch: (size) => {
        this.prefetch = size;
        this.asked.push(`prefetch ${size}`);
      },
      applied: () => Promise.resolve(),
      stop: () => {
        this.asked.push('stop');
        return Promise.resolve();
      },
      close: () => {
        this.asked.push('close');
        return Promise.resolve();
      },
    };
  }

  followLanes(): void {
    // There are none.
  }

  lanesOf(): Promise<ReadonlySet<QueueLane>> {
    return Promise.resolve(new Set());
  }

  /** Delivers jobs until so many are unsettled, or as many as the prefetch allows. */
  fill(limit = Infinity): void {
    while (this.unsettled < Math.min(this.prefetch, limit)) this.deliver();
  }

  deliver(): string {
    const id = `job-${++this.sent}`;
    const delivery: Delivery = {
      body: encodeJob({ ...JOB, id }),
      redelivered: false,
      deliveries: 0,
      settle: ({ kind }) => {
        if (this.settlements.has(id)) return;
        this.settlements.set(id, kind);
        this.unsettled--;
      },
    };
    this.unsettled++;
    this.consumer?.deliver(delivery);
    return id;
  }

  lose(detail: string): void {
    this.unsettled = 0;
    this.consumer?.lost(detail);
  }

  wait(reason: Error | undefined): void {
    this.consumer?.waiting(reason);
  }

  settled(kind: Settlement['kind']): string[] {
    return [...this.settlements].flatMap(([id, how]) => (how === kind ? [id] : []));
  }
}

const JOB: Job = {
  id: '',
  name: 'Work',
  partition: 'acme',
  queue: 'default',
  args: {},
  attempt: 1,
  queuedAt: 0,
};

/** Nobody has cancelled or paused anything. */
const LEDGERS: LedgersOfLanes = {
  serve: (_partitions, listener) => {
    listener.onCurrentChange();
  },
  leave: () => undefined,
  trouble: undefined,
  boardOf: () => NOTHING_SAID,
};
const NOTHING_SAID = {
  isCurrent: true,
  isPaused: () => false,
  cancelReason: () => undefined,
  movedNote: () => undefined,
  forgetMoved: () => undefined,
};

class Work {
  perform(): void {
    // The registered `invoke` stands for it.
  }
}

interface Running {
  readonly context: JobContext;
  end(): void;
  fail(error: Error): void;
}

/** A node with one queue, whose jobs run until the test ends them. */
class Node {
  readonly transport = new FakeTransport();
  readonly running = new Map<string, Running>();
  readonly warnings: string[] = [];
  readonly begun: string[] = [];
  most = 0;
  readonly partitions: PartitionService;

  static async started(maxWorkers: number): Promise<Node> {
    const node = new Node(maxWorkers);
    // What lanes its queue has is asked for first.
    await turns();
    // How it began is not what these tests are about.
    node.transport.asked.length = 0;
    return node;
  }

  private constructor(maxWorkers: number) {
    const log: RogerLog = {
      log: () => undefined,
      warn: (message) => void this.warnings.push(message),
      error: () => undefined,
      debug: () => undefined,
    };
    const registry = new JobRegistry();
    const definition = {
      name: 'Work',
      jobClass: Work,
      queue: 'default',
      argsClass: undefined,
      retryable: true,
      retryLevels: undefined,
    };
    registry.register({ definition, invoke: (_args, context) => this.run(context) });
    const worker = new Worker({
      registry,
      gates: new DefinitionGates(),
      callbacks: new CallbackChain(log),
      retryLevelsOf: () => [1],
      retryJitter: 0,
      limits: {
        maxExecutionTimeSeconds: undefined,
        abortGraceMs: GRACE_MS,
        brokerConsumerTimeoutMs: undefined,
      },
      maxJobBytes: 10_000,
      log,
      progress: { told: () => undefined },
      replies: { reply: () => undefined },
      logFor: () => log,
      strays: { within: (_job, run) => run() },
      ledgers: LEDGERS as unknown as WorkerParts['ledgers'],
    });
    const transport = this.transport as unknown as Transport;
    this.partitions = new PartitionService({
      catalogue: new PartitionCatalogue({ acme: { default: maxWorkers } }),
      transport,
      worker,
      ledgers: LEDGERS,
      log,
      abortGraceMs: GRACE_MS,
      shutdownTimeoutMs: 5_000,
    });
    this.partitions.startAll();
  }

  get status() {
    const [status] = this.partitions.queues('acme');
    if (status === undefined) throw new Error('no queue');
    return status;
  }

  /** Ends the job that has run longest. */
  async endOne(): Promise<void> {
    const [first] = this.running.values();
    first?.end();
    await turns();
  }

  /** Runs so many jobs through, each as long as given by the faked clock, so that the lane knows them. */
  async seeJobs(count: number, ms: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      this.transport.deliver();
      await jest.advanceTimersByTimeAsync(ms);
      await this.endOne();
    }
  }

  private run(context: JobContext): Promise<void> {
    const { id } = context.job;
    this.begun.push(id);
    return new Promise<void>((resolve, reject) => {
      this.running.set(id, { context, end: resolve, fail: reject });
      this.most = Math.max(this.most, this.running.size);
    }).finally(() => this.running.delete(id));
  }
}

/** Lets what promises have begun go on, under faked timers too. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}

/** A node whose quick jobs have made it hold 125 at hand. */
async function nodeWithStock(maxWorkers: number): Promise<Node> {
  const node = await Node.started(maxWorkers);
  await node.seeJobs(32, 0);
  expect(node.transport.asked).toEqual([`prefetch ${maxWorkers + 125}`]);
  return node;
}

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

describe('how many jobs run at once', () => {
  test.each([1, 3, 50])(
    'never more than maxWorkers (%d), and always as many where there is work',
    async (maxWorkers) => {
      const node = await nodeWithStock(maxWorkers);
      node.transport.fill();
      await turns();
      expect(node.status).toMatchObject({ running: maxWorkers, atHand: 125, maxWorkers });
      for (let n = 0; n < 100; n++) {
        await node.endOne();
        expect(node.running.size).toBe(maxWorkers);
      }
      expect(node.most).toBe(maxWorkers);
    },
  );

  test('jobs begin in the order in which they came', async () => {
    const node = await nodeWithStock(2);
    node.transport.fill(20);
    for (let n = 0; n < 20; n++) await node.endOne();
    expect(node.begun).toEqual(Array.from({ length: 52 }, (_, index) => `job-${index + 1}`));
  });

  test('one that fails makes room as one that ends well does', async () => {
    const node = await Node.started(1);
    const id = node.transport.deliver();
    await turns();
    node.running.get(id)?.fail(new Error('x'));
    await turns();
    const next = node.transport.deliver();
    await turns();
    expect([...node.running.keys()]).toEqual([next]);
    expect(node.transport.settlements.get(id)).toBe('retry');
    expect(node.status.counts).toMatchObject({ retried: 1, done: 0 });
  });
});

describe('jobs at hand that nobody begins', () => {
  test('are given back for other nodes, and no more are held', async () => {
    const node = await nodeWithStock(2);
    node.transport.fill();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(node.transport.settled('handBack')).toHaveLength(125);
    expect(node.status).toMatchObject({ running: 2, atHand: 0 });
    expect(node.transport.asked.at(-1)).toBe('prefetch 2');
  });

  test('are kept while others are begun', async () => {
    const node = await nodeWithStock(1);
    node.transport.fill(51);
    for (let n = 0; n < 50; n++) {
      await jest.advanceTimersByTimeAsync(100);
      await node.endOne();
    }
    expect(node.transport.settled('handBack')).toEqual([]);
    expect(node.begun).toHaveLength(32 + 51);
  });

  test('are watched again after a first stall', async () => {
    const node = await nodeWithStock(1);
    node.transport.fill(10);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(node.transport.settled('handBack')).toHaveLength(9);
    node.transport.deliver();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(node.transport.settled('handBack')).toHaveLength(10);
  });

  test('leave no timer behind once they are begun', async () => {
    const node = await nodeWithStock(1);
    node.transport.fill(3);
    for (let n = 0; n < 3; n++) await node.endOne();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a drain', () => {
  test('takes no more jobs, gives back those that wait, lets the running ones end, and then closes', async () => {
    const node = await nodeWithStock(2);
    node.transport.fill(6);
    const running = [...node.running.keys()];
    const drained = node.partitions.drainAll(60_000);
    await turns();
    expect(node.transport.asked.slice(1)).toEqual(['stop']);
    expect(node.transport.settled('handBack')).toHaveLength(4);
    expect(node.running.size).toBe(2);

    await jest.advanceTimersByTimeAsync(30_000);
    await node.endOne();
    await node.endOne();
    await drained;
    expect(node.transport.asked.slice(1)).toEqual(['stop', 'close']);
    expect(node.transport.settled('done')).toEqual(expect.arrayContaining(running));
    expect(jest.getTimerCount()).toBe(0);
  });

  test('begins no job that comes late, and gives it back', async () => {
    const node = await Node.started(2);
    const drained = node.partitions.drainAll(1_000);
    const late = node.transport.deliver();
    await drained;
    expect(node.begun).toEqual([]);
    expect(node.transport.settlements.get(late)).toBe('handBack');
  });

  test('of an idle node is over at once', async () => {
    const node = await Node.started(2);
    await node.partitions.drainAll(60_000);
    expect(node.transport.asked).toEqual(['stop', 'close']);
  });

  test('may be told again, with less time: then it is over for both, whether the jobs heed their signal or not', async () => {
    const node = await Node.started(2);
    const [heeds, ignores] = [node.transport.deliver(), node.transport.deliver()];
    await turns();
    const run = node.running.get(heeds);
    run?.context.signal.addEventListener('abort', () => run.fail(run.context.signal.reason as Error));
    const drained = node.partitions.drainAll(60_000);
    await turns();
    const hurried = node.partitions.drainAll(0, 200);
    await jest.advanceTimersByTimeAsync(200);
    await Promise.all([drained, hurried]);
    expect(node.transport.settlements.get(heeds)).toBe('handBack');
    expect(node.transport.settlements.has(ignores)).toBe(false);
    expect(node.running.get(ignores)?.context.signal.aborted).toBe(true);
    expect(node.transport.asked).toContain('close');
  });

  test('aborts those that take too long with ShutdownError; who heeds it is given back, its attempt not counted', async () => {
    const node = await Node.started(2);
    const id = node.transport.deliver();
    await turns();
    const run = node.running.get(id);
    run?.context.signal.addEventListener('abort', () => run.fail(run.context.signal.reason as Error));
    const drained = node.partitions.drainAll(5_000);
    await jest.advanceTimersByTimeAsync(4_999);
    expect(run?.context.signal.aborted).toBe(false);
    await jest.advanceTimersByTimeAsync(1);
    await drained;
    expect(run?.context.signal.reason).toBeInstanceOf(ShutdownError);
    expect(node.transport.settlements.get(id)).toBe('handBack');
    expect(jest.getTimerCount()).toBe(0);
  });

  test('counts a job that ends well although it was told to stop', async () => {
    const node = await Node.started(2);
    const id = node.transport.deliver();
    await turns();
    const drained = node.partitions.drainAll(5_000);
    await jest.advanceTimersByTimeAsync(5_500);
    await node.endOne();
    await drained;
    expect(node.transport.settlements.get(id)).toBe('done');
  });

  test('waits for nobody for ever; what such a job says in the end is refused', async () => {
    const node = await Node.started(2);
    const id = node.transport.deliver();
    await turns();
    const run = node.running.get(id);
    const drained = node.partitions.drainAll(5_000);
    await jest.advanceTimersByTimeAsync(7_000);
    await drained;
    expect(node.transport.asked).toEqual(['stop', 'close']);
    expect(node.transport.settlements.get(id)).toBe('handBack');
    run?.end();
    await turns();
    expect(node.transport.settlements.get(id)).toBe('handBack');
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a lost delivery', () => {
  test('aborts its run with DeliveryLostError, and its late result is refused', async () => {
    const node = await Node.started(1);
    const id = node.transport.deliver();
    await turns();
    const run = node.running.get(id);
    const { signal } = run?.context ?? {};
    node.transport.lose('the connection was cut');
    expect(signal?.reason).toBeInstanceOf(DeliveryLostError);
    expect((signal?.reason as Error).message).toContain('the connection was cut');
    run?.end();
    await turns();
    expect(node.transport.settlements.has(id)).toBe(false);
    expect(node.status.counts).toMatchObject({ lost: 1, done: 0 });
    expect(node.warnings).toEqual([expect.stringContaining(`Job Work ${id}: The job's delivery was lost`)]);
  });

  test('is known to a handler that asks for its signal only afterwards', async () => {
    const node = await Node.started(1);
    const id = node.transport.deliver();
    await turns();
    node.transport.lose('cut');
    expect(node.running.get(id)?.context.signal.reason).toBeInstanceOf(DeliveryLostError);
  });

  test('counts no failure, whatever its run throws', async () => {
    const node = await Node.started(1);
    const id = node.transport.deliver();
    await turns();
    node.transport.lose('cut');
    node.running.get(id)?.fail(new Error('aborted'));
    await turns();
    expect(node.transport.settlements.has(id)).toBe(false);
    expect(node.status.counts).toMatchObject({ lost: 1, retried: 0 });
  });

  test('that has not begun never begins here', async () => {
    const node = await nodeWithStock(1);
    node.transport.fill(10);
    await turns();
    const begun = node.begun.length;
    node.transport.lose('cut');
    expect(node.status.atHand).toBe(0);
    await node.endOne();
    expect(node.begun).toHaveLength(begun);
    expect(node.transport.settled('handBack')).toEqual([]);
  });

  test('keeps its place among the running ones until its handler ends: no more than maxWorkers', async () => {
    const node = await Node.started(1);
    node.transport.deliver();
    await turns();
    node.transport.lose('cut');
    node.transport.deliver();
    await turns();
    expect(node.running.size).toBe(1);
    await node.endOne();
    expect([...node.running.keys()]).toEqual(['job-2']);
  });
});

test('why no jobs come is told until they come again', async () => {
  const node = await Node.started(1);
  const reason = new Error('no connection');
  node.transport.wait(reason);
  expect(node.partitions.isRunning('acme')).toBe(false);
  expect(node.status.waitingFor).toBe(reason);
  node.transport.wait(undefined);
  expect(node.partitions.isRunning('acme')).toBe(true);
});
