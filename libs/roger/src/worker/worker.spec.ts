// The life of a delivery: what cannot run is kept with its bytes and its reason, and nothing of it is logged raw.
import { IsInt } from 'class-validator';
import type { Job } from '../job/job';
import { encodeJob } from '../job/job-codec';
import type { JobContext, JobDefinition } from '../job/job-definition';
import { DefinitionGates } from '../job/definition-gates';
import { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import type { Settlement } from '../transport';
import type { WorkerCallbacks } from './callbacks';
import { BuryJob, DiscardJob, RetryJob, SnoozeJob } from '../job/verdicts';
import { JobTimeoutError, ShutdownError } from '../job/errors';
import { CallbackChain } from './callbacks';
import { Run } from './run';
import type { Outcome } from './outcome';
import type { WorkerParts } from './worker';
import { Worker } from './worker';

const JOB: Job = {
  id: 'j1',
  name: 'mail',
  partition: 'acme',
  queue: 'default',
  args: { n: 1 },
  attempt: 1,
  queuedAt: 0,
};
const ENVELOPE = JSON.parse(encodeJob(JOB).toString()) as object;

const never = (): never => {
  throw new Error('no ledger is asked for a job without keys');
};
const NO_LEDGERS: WorkerParts['ledgers'] = {
  dropOwner: () => undefined,
  newOwner: never,
  claim: never,
  park: never,
  settle: never,
  bidFarewell: never,
  met: never,
  boardOf: never,
  holds: { isMoved: never, met: never, undo: never, takeOver: never },
};

class Args {
  @IsInt() n!: number;
}

class Handler {
  perform(): void {
    // The registered `invoke` stands for it.
  }
}

/** A node's worker with one job, and all that it did. */
class Bench {
  readonly log: string[] = [];
  readonly settlements: Settlement[] = [];
  /** Why the job was cancelled before it began. */
  cancelReason: string | undefined;
  readonly progress: unknown[] = [];
  readonly replies: unknown[] = [];
  readonly gates = new DefinitionGates();
  readonly callbacks: CallbackChain;
  runs = 0;
  /** What the handler does. */
  perform: (args: unknown, context: JobContext) => unknown = () => undefined;
  private readonly worker: Worker;

  constructor(definition: Partial<JobDefinition> = {}) {
    const keep = (message: string): void => void this.log.push(message);
    const log: RogerLog = { log: keep, warn: keep, error: keep, debug: keep };
    const registry = new JobRegistry();
    this.callbacks = new CallbackChain(log);
    registry.register({
      definition: {
        name: 'mail',
        jobClass: Handler,
        queue: 'default',
        argsClass: undefined,
        retryable: true,
        retryLevels: undefined,
        ...definition,
      },
      invoke: (args, context) => {
        this.runs++;
        return this.perform(args, context);
      },
    });
    this.worker = new Worker({
      registry,
      gates: this.gates,
      callbacks: this.callbacks,
      retryLevelsOf: ({ queue }) => (queue === 'default' ? [1, 5] : []),
      retryJitter: 0,
      limits: { maxExecutionTimeSeconds: undefined, abortGraceMs: 1_000, brokerConsumerTimeoutMs: undefined },
      maxJobBytes: 1_000,
      log,
      ledgers: {
        ...NO_LEDGERS,
        met: () => undefined,
        boardOf: () => ({
          movedNote: () => undefined,
          forgetMoved: () => undefined,
          cancelReason: () => this.cancelReason,
        }),
      },
      logFor: () => log,
      strays: { within: (_job, run) => run() },
      progress: { told: (_job, value) => void this.progress.push(value) },
      replies: { reply: ({ id }, ended) => void this.replies.push([id, ended]) },
    });
  }

  /** Resolves to the outcome that the run was told. */
  async run(body: Buffer | string | Job, abortReason?: Error): Promise<Outcome> {
    const bytes = typeof body === 'object' && 'args' in body ? encodeJob(body) : Buffer.from(body);
    const outcomes: Outcome[] = [];
    const run = new Run({ partition: 'acme', queue: 'default' }, 0, {
      onOutcome: (outcome) => void outcomes.push(outcome),
      onAsking: () => undefined,
      onReady: () => Promise.resolve(true),
      onRan: () => undefined,
      onLeftBehind: () => undefined,
      chain: 1,
      shouldYield: false,
    });
    if (abortReason !== undefined) run.abort(abortReason);
    await this.worker.run(
      {
        body: bytes,
        redelivered: false,
        deliveries: 0,
        settle: (settlement) => void this.settlements.push(settlement),
      },
      run,
    );
    const [outcome, ...others] = outcomes;
    if (outcome === undefined || others.length > 0) throw new Error(`${outcomes.length} outcomes`);
    return outcome;
  }

  /** The one settlement. */
  get settlement(): Settlement {
    const [settlement, ...others] = this.settlements;
    if (settlement === undefined || others.length > 0)
      throw new Error(`${this.settlements.length} settlements`);
    return settlement;
  }

  get retried(): Job {
    const { settlement } = this;
    if (settlement.kind !== 'retry') throw new Error(`It was settled by ${settlement.kind}`);
    return JSON.parse(settlement.body.toString()) as Job;
  }
}

describe('what cannot run', () => {
  const wire = (fields: object): string => JSON.stringify({ ...ENVELOPE, ...fields });

  test.each<[what: string, body: string | Buffer, type: string, id: string | undefined]>([
    ['an empty message', '', 'ROGER_MALFORMED_JOB', undefined],
    ['null', 'null', 'ROGER_MALFORMED_JOB', undefined],
    ['bad UTF-8', Buffer.from([0x7b, 0xff]), 'ROGER_MALFORMED_JOB', undefined],
    ['a truncated job', wire({}).slice(0, -5), 'ROGER_MALFORMED_JOB', undefined],
    ['a job larger than allowed', wire({ args: 'x'.repeat(1_000) }), 'ROGER_MALFORMED_JOB', undefined],
    ['a job of a later version', wire({ v: 2 }), 'ROGER_MALFORMED_JOB', undefined],
    ['control characters for an id', wire({ id: '\u001b[31m\r\n\u009b' }), 'ROGER_MALFORMED_JOB', undefined],
    ['attempt -1', wire({ attempt: -1 }), 'ROGER_MALFORMED_JOB', undefined],
    ['__proto__ in the args', wire({}).replace('"n"', '"__proto__"'), 'ROGER_MALFORMED_JOB', undefined],
    ['a job of another partition', wire({ partition: 'umbrella' }), 'ROGER_MISROUTED_JOB', undefined],
    ['a job of another queue', wire({ queue: 'mail' }), 'ROGER_MISROUTED_JOB', undefined],
    ['a job that fails its DTO', wire({ args: { n: 'x' } }), 'ROGER_INVALID_JOB_ARGS', 'j1'],
    ['an unknown job handed on too often', wire({ name: 'nobody', handedOn: 14 }), 'ROGER_UNKNOWN_JOB', 'j1'],
  ])(
    '%s is buried with the reason; callbacks get its bytes; nothing is logged raw',
    async (_what, body, type, id) => {
      const bench = new Bench({ argsClass: Args });
      const buried: unknown[] = [];
      const callbacks: WorkerCallbacks = {
        onBuried: ({ job, body: bytes, error, partition, queue }) =>
          buried.push([
            job?.id,
            bytes.equals(Buffer.from(body as string)),
            error.name.length > 0,
            partition,
            queue,
          ]),
      };
      bench.callbacks.add(callbacks);
      expect(await bench.run(body)).toBe('buried');
      expect(bench.runs).toBe(0);
      expect(bench.settlement).toMatchObject({ kind: 'bury', id, reason: { type } });
      expect(buried).toEqual([[id, true, true, 'acme', 'default']]);
      expect(bench.log).toHaveLength(1);
      expect(bench.log[0]).not.toMatch(/\p{Cc}/u);
    },
  );

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    'a job named %s is as unknown as any other',
    async (name) => {
      const bench = new Bench();
      expect(await bench.run({ ...JOB, name })).toBe('handedOn');
      expect(bench.runs).toBe(0);
    },
  );

  test('an unknown job is handed on with a count, unchanged otherwise, and mentioned once', async () => {
    const bench = new Bench();
    expect(await bench.run({ ...JOB, name: 'nobody' })).toBe('handedOn');
    expect(bench.retried).toEqual({ ...ENVELOPE, name: 'nobody', handedOn: 1 });
    const again = encodeJob(bench.retried);
    bench.settlements.length = 0;
    expect(await bench.run(again)).toBe('handedOn');
    expect(bench.retried).toMatchObject({ handedOn: 2, attempt: 1 });
    expect(bench.log).toEqual([
      'Job nobody j1 is not known on this node; it is handed on to others for some minutes',
    ]);
  });
});

describe('what runs', () => {
  test('and ends well is done', async () => {
    const bench = new Bench();
    expect(await bench.run(JOB)).toBe('done');
    expect(bench.settlement).toEqual({ kind: 'done' });
    expect(bench.log).toEqual([]);
  });

  test('and fails comes back with the next attempt after its level, unchanged otherwise', async () => {
    const bench = new Bench();
    bench.perform = () => Promise.reject(new Error('no net'));
    expect(await bench.run({ ...JOB, attempt: 2 })).toBe('retried');
    expect(bench.settlement).toMatchObject({ kind: 'retry', id: 'j1', afterSeconds: 5 });
    expect(bench.retried).toEqual({ ...ENVELOPE, attempt: 3 });
    expect(bench.log).toEqual(['Job mail j1 failed in attempt 2: no net; again in 5 s']);
  });

  test('comes back with the args that it came with, whatever its handler did to them', async () => {
    const bench = new Bench();
    bench.perform = (args) => {
      Object.assign(args as object, { n: 2, at: new Date(), loop: args });
      throw new Error('x');
    };
    expect(await bench.run(JOB)).toBe('retried');
    expect(bench.retried).toEqual({ ...ENVELOPE, attempt: 2 });
  });

  test('keeps what a newer producer has added', async () => {
    const bench = new Bench();
    bench.perform = () => Promise.reject(new Error('x'));
    await bench.run(JSON.stringify({ ...ENVELOPE, color: 'red' }));
    expect(bench.retried).toEqual({ ...ENVELOPE, attempt: 2, color: 'red' });
  });

  test('and fails after its last level is buried, with code or name, message and stack', async () => {
    const bench = new Bench();
    bench.perform = () => Promise.reject(new RangeError('too far'));
    expect(await bench.run({ ...JOB, attempt: 3 })).toBe('buried');
    expect(bench.settlement).toEqual({
      kind: 'bury',
      id: 'j1',
      reason: {
        type: 'RangeError',
        message: 'too far',
        stack: expect.stringContaining('RangeError') as string,
      },
    });
  });

  test('and fails without being retryable is over', async () => {
    const bench = new Bench({ retryable: false });
    bench.perform = () => Promise.reject(new Error('x'));
    expect(await bench.run(JOB)).toBe('failed');
    expect(bench.settlement).toEqual({ kind: 'done' });
  });

  test('is settled once, after all callbacks have ended, however they end', async () => {
    const bench = new Bench();
    bench.callbacks.add({
      beforeRun: () => Promise.reject(new Error('x')),
      afterRun: () => {
        expect(bench.settlements).toEqual([]);
        throw new Error('x');
      },
    });
    expect(await bench.run(JOB)).toBe('done');
    expect(bench.settlement).toEqual({ kind: 'done' });
  });

  test('with an unusual error is never logged over two lines by Roger itself', async () => {
    const bench = new Bench();
    bench.perform = () => {
      throw 'a\u001b[2J\r\nb'; // eslint-disable-line @typescript-eslint/only-throw-error
    };
    await bench.run(JOB);
    expect(bench.log[0]).not.toMatch(/\p{Cc}/u);
  });

  test('and has told its progress: what is told after its end is not', async () => {
    const bench = new Bench();
    let late: JobContext | undefined;
    bench.perform = (_args, context) => {
      context.progress(50);
      late = context;
    };
    const run = bench.run(JOB);
    await run;
    expect(bench.progress).toEqual([50]);
    expect(() => late?.progress(101)).toThrow('progress');
  });
});

describe('callbacks', () => {
  /** Two providers that take their time and throw in the end, and what they were told, in order. */
  function told(bench: Bench): string[] {
    const calls: string[] = [];
    for (const who of ['first', 'second']) {
      const slow =
        (name: string) =>
        async (event: object): Promise<string> => {
          await new Promise((resolve) => setImmediate(resolve));
          calls.push(`${who} ${name}${'result' in event ? ` ${String(event.result)}` : ''}`);
          expect(bench.settlements).toEqual([]);
          throw new Error('x');
        };
      bench.callbacks.add({
        beforeRun: slow('beforeRun'),
        afterRun: slow('afterRun'),
        onError: slow('onError'),
        onCancel: slow('onCancel'),
        onBuried: slow('onBuried'),
      });
    }
    return calls;
  }
  const both = (...names: string[]): string[] => names.flatMap((name) => [`first ${name}`, `second ${name}`]);

  test('are all told in order, before the job is settled, however they end', async () => {
    const bench = new Bench();
    const calls = told(bench);
    bench.perform = () => 42;
    expect(await bench.run(JOB)).toBe('done');
    expect(calls).toEqual(both('beforeRun', 'afterRun 42'));
  });

  test('of a job that is buried are told of its error before', async () => {
    const bench = new Bench();
    const calls = told(bench);
    bench.perform = () => Promise.reject(new Error('x'));
    expect(await bench.run({ ...JOB, attempt: 3 })).toBe('buried');
    expect(calls).toEqual(both('beforeRun', 'onError', 'onBuried'));
  });

  test('of a job that is cancelled are told of that alone', async () => {
    const bench = new Bench();
    const calls = told(bench);
    bench.cancelReason = 'enough';
    expect(await bench.run(JOB)).toBe('cancelled');
    expect(calls).toEqual(both('onCancel'));
  });
});

describe('whoever awaits a job', () => {
  const AWAITED: Job = { ...JOB, replyTo: { node: 'n1', token: 'a'.repeat(22) } };

  test('is told what it gave', async () => {
    const bench = new Bench();
    bench.perform = () => 42;
    await bench.run(AWAITED);
    expect(bench.replies).toEqual([['j1', { kind: 'done', result: 42 }]]);
  });

  test('is not told of an attempt that is followed by another, which carries the address on', async () => {
    const bench = new Bench();
    bench.perform = () => Promise.reject(new Error('x'));
    await bench.run(AWAITED);
    expect(bench.replies).toEqual([]);
    expect(bench.retried).toMatchObject({ attempt: 2, replyTo: AWAITED.replyTo });
  });

  test.each([
    ['buried', {}, 3],
    ['failed', { retryable: false }, 1],
  ] as const)('is told when it is %s', async (kind, definition, attempt) => {
    const bench = new Bench(definition);
    bench.perform = () => Promise.reject(new RangeError('too far'));
    await bench.run({ ...AWAITED, attempt });
    expect(bench.replies).toMatchObject([['j1', { kind, type: 'RangeError', message: 'too far' }]]);
  });

  test('is told when it was cancelled', async () => {
    const bench = new Bench();
    bench.cancelReason = 'enough';
    await bench.run(AWAITED);
    expect(bench.replies).toEqual([['j1', { kind: 'cancelled', reason: 'enough' }]]);
  });

  test('is nobody for most jobs', async () => {
    const bench = new Bench();
    await bench.run(JOB);
    expect(bench.replies).toEqual([]);
  });
});

describe('what a handler says itself', () => {
  const told: string[] = [];
  const callbacks: WorkerCallbacks = {
    afterRun: () => void told.push('afterRun'),
    onError: ({ next }) => void told.push(`onError ${next.kind}`),
    onBuried: ({ error }) => void told.push(`onBuried ${error.message}`),
  };

  /** Of a job that is not retryable, in an attempt beyond all levels. */
  async function verdict(thrown: Error, abortReason?: Error): Promise<{ bench: Bench; outcome: Outcome }> {
    told.length = 0;
    const bench = new Bench({ retryable: false });
    bench.callbacks.add(callbacks);
    bench.perform = () => Promise.reject(thrown);
    return { bench, outcome: await bench.run({ ...JOB, attempt: 7 }, abortReason) };
  }

  test('by RetryJob is tried again after its delay, and the attempt counts', async () => {
    const { bench, outcome } = await verdict(new RetryJob({ delayMs: 2_500, reason: 'busy' }));
    expect(outcome).toBe('retried');
    expect(bench.settlement).toMatchObject({ kind: 'retry', id: 'j1', afterSeconds: 3 });
    expect(bench.retried).toEqual({ ...ENVELOPE, attempt: 8 });
    expect(told).toEqual(['onError retry']);
    expect(bench.log).toEqual(['Job mail j1 failed in attempt 7: busy; again in 3 s']);
  });

  test('is obeyed when it comes after the limit of its time, for it says more than that', async () => {
    const late = new JobTimeoutError(5, 'its maxExecutionTimeSeconds');
    expect((await verdict(new BuryJob('broken'), late)).bench.settlement).toMatchObject({
      kind: 'bury',
      reason: { type: 'BuryJob', message: 'broken' },
    });
    expect((await verdict(new RetryJob({ delayMs: 2_500 }), late)).bench.settlement).toMatchObject({
      kind: 'retry',
      afterSeconds: 3,
    });
    expect((await verdict(new DiscardJob('gone'), late)).outcome).toBe('discarded');
    expect((await verdict(new SnoozeJob({ delayMs: 0 }), late)).outcome).toBe('snoozed');
    expect((await verdict(new Error('x'), late)).bench.log.join()).toContain('ran longer than 0.005 s');
  });

  test('by BuryJob is buried with its reason', async () => {
    const { bench, outcome } = await verdict(new BuryJob('broken'));
    expect(outcome).toBe('buried');
    expect(bench.settlement).toMatchObject({ kind: 'bury', reason: { type: 'BuryJob', message: 'broken' } });
    expect(told).toEqual(['onError bury', 'onBuried broken']);
  });

  test('by DiscardJob is over, with a line in the log that stays one line, and no callback', async () => {
    const { bench, outcome } = await verdict(new DiscardJob('gone\nfor good'));
    expect(outcome).toBe('discarded');
    expect(bench.settlement).toEqual({ kind: 'done' });
    expect(told).toEqual([]);
    expect(bench.log).toEqual(['Job mail j1 is discarded by its handler: gone\\u000afor good']);
  });

  test('by SnoozeJob comes back unchanged, as the same attempt, and no callback is told', async () => {
    const { bench, outcome } = await verdict(new SnoozeJob({ delayMs: 0 }));
    expect(outcome).toBe('snoozed');
    expect(bench.settlement).toMatchObject({ kind: 'retry', id: 'j1', afterSeconds: 1 });
    expect(bench.retried).toEqual({ ...ENVELOPE, attempt: 7 });
    expect(told).toEqual([]);
  });

  test('holds also when the node shuts down; any other error then gives the job back', async () => {
    const shutdown = new ShutdownError(1);
    expect((await verdict(new SnoozeJob({ delayMs: 0 }), shutdown)).outcome).toBe('snoozed');
    expect((await verdict(new BuryJob('broken'), shutdown)).outcome).toBe('buried');
    expect((await verdict(new Error('x'), shutdown)).outcome).toBe('handedBack');
  });

  test("a function for retryable that throws is logged in one line, and the queue's levels hold", async () => {
    const bench = new Bench({
      retryRule: () => {
        throw new Error('a\nslip');
      },
    });
    bench.perform = () => Promise.reject(new Error('x'));
    expect(await bench.run({ ...JOB, attempt: 2 })).toBe('retried');
    expect(bench.settlement).toMatchObject({ afterSeconds: 5 });
    expect(bench.log[0]).toContain(
      "The function retryable of job mail can't be followed: it threw a\\u000aslip",
    );
  });
});
