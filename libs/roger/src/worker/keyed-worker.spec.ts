// The life of a delivered job with a key: it runs only when its ledger grants it, and its message goes only when that knows.
import { DeliveryLostError, LedgerUnavailableError } from '../job/errors';
import type { Job } from '../job/job';
import { decodeJob, encodeForLedger, encodeJob } from '../job/job-codec';
import type { JobContext } from '../job/job-definition';
import { DefinitionGates } from '../job/definition-gates';
import { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import type { Claimed, SettledAs } from '../ledger/ledgers';
import type { Settlement } from '../transport';
import { CallbackChain } from './callbacks';
import type { Outcome } from './outcome';
import { Run } from './run';
import { Worker } from './worker';

const JOB: Job = {
  id: 'first',
  name: 'sync',
  partition: 'acme',
  queue: 'default',
  executionKey: 'k',
  args: {},
  attempt: 1,
  queuedAt: 0,
  ledger: { state: 's', dispatch: 7 },
};
const FENCE = 3;

const none = (): never => {
  throw new Error('no job here is one without keys');
};

class Handler {
  perform(): void {
    // The registered `invoke` stands for it.
  }
}

/** A worker with a ledger that answers what the test says, and all that it did, in order. */
class Bench {
  readonly did: string[] = [];
  /** Deliveries, by their owners. */
  readonly inHand = new Set<string>();
  readonly settledAs = new Map<string, SettledAs>();
  readonly cancelled = new Map<string, string>();
  claimed: Claimed = granted('first');
  perform: (job: Job, context: JobContext) => unknown = () => undefined;
  /** What the ledger says to a settlement, asked for the n-th time. */
  onSettle: (id: string, time: number) => boolean = () => true;
  onPark = true;
  hasWorker = true;
  private asked = 0;
  readonly run = new Run({ partition: 'acme', queue: 'default' }, 0, {
    onOutcome: (outcome: Outcome) => void this.did.push(`counted ${outcome}`),
    onAsking: () => void this.did.push('left its worker'),
    onReady: () => Promise.resolve(this.hasWorker),
    onRan: () => void this.did.push('freed its worker'),
    onLeftBehind: () => undefined,
    chain: 8,
    shouldYield: false,
  });

  async work(job = JOB): Promise<string[]> {
    const log: RogerLog = {
      log: () => undefined,
      warn: () => undefined,
      error: () => undefined,
      debug: () => undefined,
    };
    const registry = new JobRegistry();
    registry.register({
      definition: {
        name: 'sync',
        jobClass: Handler,
        queue: 'default',
        argsClass: undefined,
        retryable: true,
        retryLevels: undefined,
      },
      invoke: (_args, context) => {
        this.did.push(`ran ${context.job.id} under ${context.fence ?? 'none'}`);
        return this.perform(context.job, context);
      },
    });
    const callbacks = new CallbackChain(log);
    callbacks.add({ onCancel: (event) => void this.did.push(`onCancel ${event.job.id}: ${event.reason}`) });
    const worker = new Worker({
      registry,
      gates: new DefinitionGates(),
      callbacks,
      retryLevelsOf: () => [5],
      retryJitter: 0,
      progress: { told: () => undefined },
      replies: { reply: () => undefined },
      limits: { maxExecutionTimeSeconds: undefined, abortGraceMs: 1_000, brokerConsumerTimeoutMs: undefined },
      maxJobBytes: 10_000,
      log,
      logFor: () => log,
      strays: { within: (_job, run) => run() },
      ledgers: {
        newOwner: () => {
          this.inHand.add('me');
          return 'me';
        },
        dropOwner: (owner) => void this.inHand.delete(owner),
        claim: () => Promise.resolve(this.claimed),
        park: () => {
          this.did.push('parked');
          return Promise.resolve(this.onPark);
        },
        settle: (_partition, id, fence, outcome) => this.settle(id, fence, outcome),
        bidFarewell: () => {
          this.did.push('bade farewell');
          return Promise.resolve(true);
        },
        met: () => void this.did.push('met'),
        holds: { isMoved: none, met: none, undo: none, takeOver: none },
        boardOf: () => ({
          movedNote: () => undefined,
          forgetMoved: () => undefined,
          cancelReason: (_partition, id, fence) => this.cancelled.get(`${id} ${fence ?? ''}`),
        }),
      },
    });
    await worker.run(
      {
        body: encodeJob(job),
        redelivered: false,
        deliveries: 0,
        settle: ({ kind }: Settlement) => void this.did.push(`message: ${kind}`),
      },
      this.run,
    );
    return this.did.filter((line) => !line.startsWith('counted') && !line.endsWith('its worker'));
  }

  private settle(id: string, fence: number, outcome: SettledAs): Promise<boolean> {
    if (fence !== FENCE) throw new Error(`settled under ${fence}`);
    this.settledAs.set(id, outcome);
    this.did.push(`settled ${id} as ${outcome.kind}`);
    return new Promise((resolve) => {
      resolve(this.onSettle(id, ++this.asked));
    });
  }
}

function granted(...ids: string[]): Claimed {
  return {
    claim: 'granted',
    fence: FENCE,
    jobs: ids.map((id) => ({
      id,
      cancelled: undefined,
      body: id === 'first' ? undefined : encodeForLedger({ ...JOB, id }),
    })),
  };
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

test('it runs when it is granted, is settled, and only then its message goes', async () => {
  expect(await bench.work()).toEqual(['ran first under 3', 'settled first as done', 'message: done']);
  expect(bench.did.filter((line) => line.includes('worker') || line.startsWith('counted'))).toEqual([
    'left its worker',
    'counted done',
    'freed its worker',
  ]);
});

test('the ledger can learn that its delivery is in hand as long as it is, and no longer', async () => {
  const working = bench.work();
  expect(bench.inHand.size).toBe(1);
  await working;
  expect(bench.inHand.size).toBe(0);
});

test('a copy that does not count never runs, and its message goes', async () => {
  bench.claimed = { claim: 'stale' };
  expect(await bench.work()).toEqual(['message: done']);
});

test('one whose key is taken is handed in, and only then its message goes', async () => {
  bench.claimed = { claim: 'wait' };
  expect(await bench.work()).toEqual(['parked', 'message: done']);
});

test('one that was granted to another meanwhile keeps its message', async () => {
  bench.claimed = { claim: 'wait' };
  bench.onPark = false;
  expect(await bench.work()).toEqual(['parked', 'message: handBack']);
});

test('a cancelled one never runs, and the callbacks hear of it', async () => {
  bench.claimed = { claim: 'cancelled', reason: 'enough' };
  expect(await bench.work()).toEqual(['onCancel first: enough', 'bade farewell', 'message: done']);
});

test('nor does one that was cancelled while its grant was on its way', async () => {
  bench.cancelled.set('first 3', 'enough');
  expect(await bench.work()).toEqual([
    'onCancel first: enough',
    'settled first as cancelled',
    'message: done',
  ]);
});

test('without a worker it is given back, and the ledger needs no word of it', async () => {
  bench.hasWorker = false;
  expect(await bench.work()).toEqual(['message: handBack']);
});

describe('jobs that are granted together', () => {
  beforeEach(() => {
    bench.claimed = granted('first', 'second', 'third');
  });

  test('run one after the other, and the message goes when all are settled', async () => {
    expect(await bench.work()).toEqual([
      ...['ran first under 3', 'settled first as done'],
      ...['ran second under 3', 'settled second as done'],
      ...['ran third under 3', 'settled third as done'],
      'message: done',
    ]);
  });

  test('one that fails is retried, and the others go on', async () => {
    bench.perform = ({ id }) => {
      if (id === 'second') throw new Error('no');
    };
    expect(await bench.work()).toContain('ran third under 3');
    const second = bench.settledAs.get('second');
    if (second?.kind !== 'retry') throw new Error(`settled as ${second?.kind ?? 'nothing'}`);
    expect(second.afterSeconds).toBe(5);
    expect(decodeJob(second.body, 10_000)).toMatchObject({ id: 'second', attempt: 2 });
  });

  test('those that have not begun are released when the run has to end', async () => {
    bench.perform = ({ id }) => {
      if (id === 'first') bench.run.abort(new Error('the node shuts down'));
    };
    expect(await bench.work()).toEqual([
      ...['ran first under 3', 'settled first as done'],
      ...['settled second as release', 'settled third as release'],
      'message: done',
    ]);
  });

  test('one that was cancelled does not run, and the others do', async () => {
    bench.cancelled.set('second 3', 'enough');
    const did = await bench.work();
    expect(did).toContain('onCancel second: enough');
    expect(did).toContain('ran third under 3');
    expect(did).not.toContain('ran second under 3');
  });

  test('none is settled any more once the delivery is lost', async () => {
    bench.perform = ({ id }) => {
      if (id === 'second') bench.run.abort(new DeliveryLostError('cut'));
    };
    expect(await bench.work()).toEqual(['ran first under 3', 'settled first as done', 'ran second under 3']);
  });
});

test('the retry of the delivered job leaves its old token behind', async () => {
  bench.perform = () => {
    throw new Error('no');
  };
  await bench.work();
  const first = bench.settledAs.get('first');
  if (first?.kind !== 'retry') throw new Error(`settled as ${first?.kind ?? 'nothing'}`);
  expect(decodeJob(first.body, 10_000).ledger).toBeUndefined();
});

test('an outcome that is refused leaves the message to whoever has the right', async () => {
  bench.onSettle = () => false;
  expect(await bench.work()).toEqual(['ran first under 3', 'settled first as done', 'message: handBack']);
});

test('a ledger that does not answer is asked again, and the message waits', async () => {
  bench.onSettle = (_id, time) => {
    if (time === 1) throw new LedgerUnavailableError('acme', 10, { maybeEnqueued: true });
    return true;
  };
  expect(await bench.work()).toEqual([
    'ran first under 3',
    'settled first as done',
    'settled first as done',
    'message: done',
  ]);
});
