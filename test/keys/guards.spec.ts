// Each guard of a ledger is needed: with it the observer sees nothing wrong, in a build without it the observer does.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeFrame } from '../../libs/roger/src/ledger/frame';
import { partsOf } from '../../libs/roger/src/ledger/ledger-snapshot';
import { LogReader } from '../../libs/roger/src/ledger/log-reader';
import type { EnqueueReply } from '../../libs/roger/src/ledger/operation';
import { eventually } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { KeyedNode } from '../support/keyed-node';
import type { Guard } from '../support/keyed-mutants';
import { observe } from '../support/keyed-observer';
import type { KeyedArgs } from '../support/keyed-program';
import type { Happening, TraceEvent } from '../support/trace';
import { readTrace, Trace } from '../support/trace';

const LIMIT_MS = 90_000;
const traces: Trace[] = [];
const folder = mkdtempSync(join(tmpdir(), 'roger-guards-'));

afterEach(async () => {
  await KeyedNode.killAll();
  for (const trace of traces.splice(0)) trace.close();
});

afterAll(() => {
  if (process.env['ROGER_FAULTS_KEEP'] === undefined) rmSync(folder, { recursive: true });
});

/** A scenario's stage: a cluster of its own, of one build. */
class Stage {
  readonly partition = uniquePartition('guard');
  private readonly path: string;
  private readonly trace: Trace;

  constructor(private readonly without: Guard | undefined) {
    this.path = join(folder, this.partition);
    this.trace = new Trace(this.path, 'test');
    traces.push(this.trace);
  }

  producer(node: string): Promise<KeyedNode> {
    return this.start(node, 'producer');
  }

  worker(node: string): Promise<KeyedNode> {
    return this.start(node, 'worker');
  }

  /** Resolves when the node has enqueued a job: it knows then that there is a queue. */
  async warm(node: KeyedNode): Promise<void> {
    const id = `warm-${node.name}`;
    enqueue(node, id, { executionKey: id });
    await eventually(`${node.name} to enqueue`, () =>
      readTrace(this.path).some((event) => event.what === 'enqueued' && event.id === id),
    );
  }

  /** Resolves when so many such events have been written, to all of them. */
  async seen(what: TraceEvent['what'], id: string, count = 1): Promise<readonly TraceEvent[]> {
    const found = (): readonly TraceEvent[] =>
      readTrace(this.path).filter((event) => event.what === what && 'id' in event && event.id === id);
    await eventually(`${count} × ${id} ${what}`, () => found().length >= count, 60_000);
    return found();
  }

  /** Resolves when so many nodes have become keeper, to their names. */
  async keepers(count: number): Promise<readonly string[]> {
    const found = (): readonly string[] =>
      readTrace(this.path).flatMap(({ what, node }) => (what === 'keeping' ? [node] : []));
    await eventually(`${count} keepers`, () => found().length >= count, 60_000);
    return found();
  }

  /** What the observer holds against the build, each promise once. */
  verdict(): string[] {
    return brokenBy(readTrace(this.path));
  }

  private start(node: string, mode: 'producer' | 'worker'): Promise<KeyedNode> {
    return KeyedNode.start({
      node,
      partition: this.partition,
      trace: this.path,
      observed: this.trace,
      brokerUri: sharedBrokerUri(),
      without: this.without,
      // A namespace of its own has ledgers, keepers and nodes of its own.
      roger: { mode, namespace: this.partition, partitions: { [this.partition]: { default: 4 } } },
    });
  }
}

function brokenBy(events: readonly TraceEvent[]): string[] {
  return [...new Set(observe(events).violations.map(({ breaks }) => breaks))].sort();
}

function enqueue(node: KeyedNode, id: string, args: Partial<KeyedArgs> = {}): void {
  node.tell({ order: 'enqueue', id, args: { ms: 0, executionKey: 'e', ...args } });
}

/** Plays the scenario with the build as it is and with one without the guard. */
async function verdicts(
  guard: Guard,
  play: (stage: Stage) => Promise<void>,
): Promise<{ withGuard: string[]; without: string[] }> {
  const [withGuard, without] = await Promise.all(
    [undefined, guard].map(async (off) => {
      const stage = new Stage(off);
      await play(stage);
      return stage.verdict();
    }),
  );
  return { withGuard: withGuard ?? [], without: without ?? [] };
}

test(
  'log before reply: what a keeper accepts and takes to its grave unlogged would be lost',
  async () => {
    const { withGuard, without } = await verdicts('log before reply', async (stage) => {
      const keeper = await stage.producer('keeper');
      await keeper.join();
      const heir = await stage.producer('heir');
      await stage.warm(keeper);
      await stage.warm(heir);
      // Nothing that it sends arrives any more, and it doesn't know.
      keeper.proxy.silence('up');
      enqueue(keeper, 'accepted');
      await sleep(1_000);
      await keeper.kill();
      await stage.worker('worker');
      enqueue(heir, 'later');
      await stage.seen('ended', 'later');
      await stage.seen('ended', 'warm-keeper');
      await stage.seen('ended', 'warm-heir');
    });
    expect(withGuard).toEqual([]);
    expect(without).toEqual(['I1']);
  },
  LIMIT_MS,
);

test(
  'fence: the late outcome of a run that was taken over would end the job while its heir is at it',
  async () => {
    const { withGuard, without } = await verdicts('fence', async (stage) => {
      const producer = await stage.producer('producer');
      await producer.join();
      const blocked = await stage.worker('blocked');
      // It loses its connections without knowing, and ends its work before it looks at them.
      enqueue(producer, 'long', { ms: 12_000, blocks: { node: blocked.name, ms: 10_000 } });
      await stage.seen('began', 'long');
      enqueue(producer, 'next');
      await stage.worker('heir');
      await stage.seen('ended', 'long', 2);
      await stage.seen('ended', 'next');
    });
    expect(withGuard).toEqual([]);
    expect(without).toContain('I4');
  },
  LIMIT_MS,
);

test(
  'idempotence: an enqueue that is asked again, for its answer got lost, would run again after its end',
  async () => {
    const { withGuard, without } = await verdicts('idempotence', async (stage) => {
      const keeper = await stage.producer('keeper');
      await keeper.join();
      const [producer] = await Promise.all([stage.producer('producer'), stage.worker('worker')]);
      await stage.warm(producer);
      producer.proxy.silence('down');
      enqueue(producer, 'once');
      await stage.seen('ended', 'once');
      // It asks again after a second.
      await sleep(1_500);
      producer.proxy.heal();
      await stage.seen('enqueued', 'once');
      enqueue(producer, 'last');
      await stage.seen('ended', 'last');
    });
    expect(withGuard).toEqual([]);
    expect(without).toEqual(['I3']);
  },
  LIMIT_MS,
);

test(
  'dispatch number: of a job that was sent twice, for nobody knew whether it had arrived, both copies would run',
  async () => {
    const { withGuard, without } = await verdicts('dispatch number', async (stage) => {
      const keeper = await stage.producer('keeper');
      await keeper.join();
      const heir = await stage.producer('heir');
      await stage.warm(keeper);
      await stage.warm(heir);
      await stage.worker('worker');
      // The job goes out as it is accepted; that it has arrived would be known 2.5 s later.
      keeper.proxy.delay(2_500);
      enqueue(keeper, 'twice', { ms: 3_000 });
      await stage.seen('enqueued', 'twice');
      await sleep(200);
      await keeper.kill();
      expect(await stage.keepers(2)).toEqual(['keeper', 'heir']);
      // A job that goes out after both copies.
      enqueue(heir, 'last', { executionKey: undefined, queueKey: 'last' });
      await Promise.all([stage.seen('ended', 'twice'), stage.seen('ended', 'last')]);
      await sleep(2_000);
    });
    expect(withGuard).toEqual([]);
    expect(without).toContain('I3');
  },
  LIMIT_MS,
);

test('epoch, shown on a log alone (one broker node lets nothing of a keeper through once it has chosen another): what a keeper of the past still writes would undo what was accepted since', () => {
  expect(verdictOfLateSnapshot(LogReader)).toEqual([]);
  expect(verdictOfLateSnapshot(WithoutEpoch)).toEqual(['I5']);
});

class WithoutEpoch extends LogReader {
  protected override counts(): boolean {
    return true;
  }
}

/** A keeper freezes while it writes a snapshot, another takes over, and the rest of the snapshot comes late. */
function verdictOfLateSnapshot(Reader: typeof LogReader): string[] {
  const events: TraceEvent[] = [];
  const see = (happening: Happening): number => events.push({ at: events.length, node: 'log', ...happening });
  const reader = new Reader({ dispatch: () => undefined }, fail, 'reader');
  const claim = (by: string): unknown => reader.read(encodeFrame({ kind: 'claim', by, stateId: 'state' }));
  let number = 0;
  const enqueueUnder = (by: string, id: string, queueKey: string): void => {
    see({ what: 'asked', id, queueKey });
    const operation = { op: 'enqueue', partition: 'acme', id, queue: 'default', queueKey, body: 0 };
    number++;
    const head = { node: 'n', session: 's', low: number, operations: [[number, operation]] };
    const request = encodeFrame(head, ['{}']);
    const record = encodeFrame({ kind: 'requests', by, at: 0, maxWaitingJobs: 10, own: [] }, [request]);
    reader.read(record, ({ reply }) => {
      const { duplicate } = reply as EnqueueReply;
      see(duplicate === undefined ? { what: 'enqueued', id } : { what: 'duplicate', id, of: duplicate });
    });
  };

  claim('first');
  enqueueUnder('first', 'a', 'q1');
  const parts = [...partsOf(reader.state)].map((part, index) =>
    encodeFrame({ kind: 'snapshot', by: 'first', first: index === 0 }, [part]),
  );
  claim('second');
  enqueueUnder('second', 'b', 'q2');
  for (const part of parts) reader.read(part);
  enqueueUnder('second', 'c', 'q2');

  for (const [index, id] of ['a', 'b', 'c'].entries()) {
    if (!events.some((event) => event.what === 'enqueued' && event.id === id)) continue;
    const run = { id, run: id, fence: index + 1, attempt: 1 };
    see({ what: 'began', ...run });
    see({ what: 'ended', ...run });
  }
  return brokenBy(events);
}

function fail(problem: string): void {
  throw new Error(problem);
}
