// What a recorder is told of deliveries: each attempt once from begin to end, and each job that ends without one.
import { DeliveryLostError, JobTimeoutError, ShutdownError } from '../job/errors';
import type { Job } from '../job/job';
import { encodeJob } from '../job/job-codec';
import type { JobEnd, JobRecorder, RunRecord } from '../job/job-recorder';
import type { JobContext } from '../job/job-definition';
import { DefinitionGates } from '../job/definition-gates';
import { JobRegistry } from '../job/job-registry';
import type { RogerLog } from '../job/log';
import { DiscardJob, RetryJob, SnoozeJob } from '../job/verdicts';
import { JobRecorders } from '../reports/job-recorders';
import { CallbackChain } from './callbacks';
import { Run } from './run';
import { Worker } from './worker';
import type { WorkerParts } from './worker';

const JOB: Job = {
  id: 'j1',
  name: 'mail',
  partition: 'acme',
  queue: 'default',
  args: { n: 1 },
  attempt: 1,
  queuedAt: 5,
};

class Handler {
  perform(): void {
    // The registered `invoke` stands for it.
  }
}

class Bench implements JobRecorder {
  readonly told: string[] = [];
  readonly begun: RunRecord[] = [];
  readonly ends: JobEnd[] = [];
  readonly log: string[] = [];
  readonly recorders: JobRecorders;
  perform: (args: unknown, context: JobContext) => unknown = () => undefined;
  cancelReason: string | undefined;
  accepted: boolean | undefined = true;
  /** What it takes until a begin is recorded. */
  recorded: Promise<void> | undefined;
  /** The run under way. */
  current: Run | undefined;

  constructor() {
    const keep = (message: string): void => void this.log.push(message);
    this.recorders = new JobRecorders('node-1', { log: keep, warn: keep, error: keep, debug: keep });
    this.recorders.add(this);
  }

  began(run: RunRecord): Promise<void> | undefined {
    this.told.push(`began ${run.id}`);
    this.begun.push(run);
    return this.recorded;
  }

  ending({ run, outcome }: JobEnd): void {
    this.told.push(`ending ${run?.id ?? 'none'} ${outcome}`);
  }

  ended(end: JobEnd): void {
    this.told.push(`ended ${end.run?.id ?? 'none'} ${end.outcome}`);
    this.ends.push(end);
  }

  /** Runs a job whose begin is being recorded until `letGo` is called. */
  async runHeldUp(): Promise<{ readonly ran: Promise<Run>; readonly letGo: () => void }> {
    let letGo: () => void = () => undefined;
    this.recorded = new Promise((resolve) => (letGo = resolve));
    this.perform = () => void this.told.push('performs');
    const ran = this.run(JOB);
    await new Promise((resolve) => setImmediate(resolve));
    return { ran, letGo };
  }

  async run(job: Job | string, abortReason?: Error): Promise<Run> {
    const quiet: RogerLog = { log: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
    const registry = new JobRegistry();
    registry.register({
      definition: {
        name: 'mail',
        jobClass: Handler,
        queue: 'default',
        argsClass: undefined,
        retryable: true,
        retryLevels: [1],
        maxExecutionTimeSeconds: 60,
      },
      invoke: (args, context) => this.perform(args, context),
    });
    const ledgers = {
      newOwner: () => 'o',
      dropOwner: () => undefined,
      claim: (asked: Job) =>
        Promise.resolve({
          claim: 'granted',
          fence: 7,
          jobs: [{ id: asked.id, cancelled: undefined, body: undefined }],
        }),
      settle: () => {
        this.told.push('asked');
        return Promise.resolve(this.accepted === true);
      },
      met: () => undefined,
      boardOf: () => ({ cancelReason: () => this.cancelReason, movedNote: () => undefined }),
    } as unknown as WorkerParts['ledgers'];
    const worker = new Worker({
      registry,
      callbacks: new CallbackChain(quiet),
      retryLevelsOf: () => [1],
      retryJitter: 0,
      limits: { maxExecutionTimeSeconds: undefined, abortGraceMs: 1_000, brokerConsumerTimeoutMs: undefined },
      maxJobBytes: 1_000,
      log: quiet,
      ledgers,
      logFor: () => quiet,
      strays: { within: (_job, perform) => perform() },
      progress: { told: () => undefined },
      replies: { reply: () => undefined },
      recorders: this.recorders,
      gates: new DefinitionGates(),
    });
    const run = new Run({ partition: 'acme', queue: 'default' }, 0);
    if (abortReason !== undefined) run.abort(abortReason);
    this.current = run;
    const body = typeof job === 'string' ? Buffer.from(job) : encodeJob(job);
    await worker.run({ body, deliveries: 0, settle: () => undefined } as never, run);
    await new Promise((resolve) => setImmediate(resolve));
    return run;
  }
}

test('a run is told from its begin, with its time limit, to its end, with what it returned', async () => {
  const bench = new Bench();
  bench.perform = () => ({ sent: 3 });
  const before = Date.now();
  await bench.run(JOB);
  expect(bench.told).toEqual(['began node-1/1', 'ended node-1/1 done']);
  const [run] = bench.begun;
  expect(run).toMatchObject({ node: 'node-1', job: JOB, isolation: 'process', fence: undefined });
  expect(run?.timeLimitAt).toBeGreaterThanOrEqual(before + 60_000);
  expect(bench.ends[0]).toMatchObject({ result: { sent: 3 }, again: undefined });
  expect(bench.ends[0]?.at).toBeGreaterThanOrEqual(run?.startedAt ?? Infinity);
});

test('the args are still as they came when a run begins', async () => {
  const bench = new Bench();
  let seen = '';
  bench.began = ({ job }) => void (seen = JSON.stringify(job.args));
  bench.perform = (args) => void ((args as { n: number }).n = 2);
  await bench.run(JOB);
  expect(seen).toBe('{"n":1}');
});

test.each([
  ['fails, to be tried again', new Error('no'), 'retried', { attempt: 2 }, 'Error'],
  ['asks for another attempt', new RetryJob({ delayMs: 5_000 }), 'retried', { attempt: 2 }, 'RetryJob'],
  ['asks for a later time', new SnoozeJob({ delayMs: 1_000 }), 'snoozed', { attempt: 1 }, 'SnoozeJob'],
  ['is discarded', new DiscardJob('nothing to do'), 'discarded', undefined, 'DiscardJob'],
])(
  'a run that %s is told as such, with the reason and what follows',
  async (_what, error, outcome, again, type) => {
    const bench = new Bench();
    bench.perform = () => Promise.reject(error);
    await bench.run(JOB);
    expect(bench.ends).toHaveLength(1);
    expect(bench.ends[0]).toMatchObject({ outcome, reason: { type } });
    expect(bench.ends[0]?.again?.attempt).toBe(again?.attempt);
  },
);

test('the stack of a failure that is tried again is made when a recorder reads it, and not before', async () => {
  const bench = new Bench();
  let times = 0;
  const error = Object.defineProperty(new Error('no'), 'stack', { get: () => `stack ${++times}` });
  bench.perform = () => Promise.reject(error);
  await bench.run(JOB);
  expect(times).toBe(0);
  expect(bench.ends[0]?.reason).toMatchObject({ type: 'Error', message: 'no', stack: 'stack 1' });
});

test('the last attempt that fails is told as buried, a time limit by its code', async () => {
  const bench = new Bench();
  bench.perform = (_args, { job }) =>
    Promise.reject(
      job.id === 'slow' ? new JobTimeoutError(5, 'its maxExecutionTimeSeconds') : new Error('no'),
    );
  await bench.run({ ...JOB, attempt: 2 });
  await bench.run({ ...JOB, id: 'slow', attempt: 2 });
  expect(bench.ends.map(({ outcome, reason }) => [outcome, reason?.type])).toEqual([
    ['buried', 'Error'],
    ['buried', 'ROGER_JOB_TIMEOUT'],
  ]);
});

test('a run that a shutdown ended is told as handed back, one that lost its delivery as lost', async () => {
  const bench = new Bench();
  bench.perform = () => Promise.reject(new Error('aborted'));
  await bench.run(JOB, new ShutdownError(0));
  bench.perform = () => {
    bench.current?.abort(new DeliveryLostError('gone'));
    return Promise.resolve('too late');
  };
  await bench.run(JOB);
  expect(bench.ends.map(({ outcome, reason }) => [outcome, reason?.type])).toEqual([
    ['handedBack', 'ROGER_SHUTDOWN'],
    ['lost', 'ROGER_DELIVERY_LOST'],
  ]);
});

test('what ends without a run is told without one', async () => {
  const bench = new Bench();
  bench.cancelReason = 'not wanted';
  await bench.run(JOB);
  await bench.run('{ no job');
  bench.cancelReason = undefined;
  await bench.run({ ...JOB, name: 'unknown' });
  expect(bench.told).toEqual(['ended none cancelled', 'ended none buried', 'ended none handedOn']);
  expect(bench.ends[0]?.reason?.message).toBe('not wanted');
  expect(bench.ends[1]?.job).toBeUndefined();
});

test('of a job with a key, what its ledger refuses is told as lost', async () => {
  const bench = new Bench();
  const keyed = { ...JOB, executionKey: 'k', ledger: { state: 's', dispatch: 1 } };
  await bench.run(keyed);
  bench.accepted = false;
  await bench.run(keyed);
  expect(bench.begun.map(({ fence }) => fence)).toEqual([7, 7]);
  expect(bench.ends.map(({ outcome, reason }) => [outcome, reason?.type])).toEqual([
    ['done', undefined],
    ['lost', 'OutcomeRefused'],
  ]);
});

test('how a job with a key ended is told before its ledger is asked, and without a key only once', async () => {
  const bench = new Bench();
  await bench.run({ ...JOB, executionKey: 'k', ledger: { state: 's', dispatch: 1 } });
  await bench.run(JOB);
  bench.cancelReason = 'not wanted';
  await bench.run({ ...JOB, executionKey: 'k', ledger: { state: 's', dispatch: 1 } });
  expect(bench.told).toEqual([
    ...['began node-1/1', 'ending node-1/1 done', 'asked', 'ended node-1/1 done'],
    ...['began node-1/2', 'ended node-1/2 done'],
    ...['ending none cancelled', 'asked', 'ended none cancelled'],
  ]);
});

test('a handler is not called before its begin is recorded', async () => {
  const bench = new Bench();
  const { ran, letGo } = await bench.runHeldUp();
  expect(bench.told).toEqual(['began node-1/1']);
  letGo();
  await ran;
  expect(bench.told).toEqual(['began node-1/1', 'performs', 'ended node-1/1 done']);
});

test('a delivery that is lost while its begin is being recorded never performs', async () => {
  const bench = new Bench();
  const { ran, letGo } = await bench.runHeldUp();
  bench.current?.abort(new DeliveryLostError('gone'));
  letGo();
  await ran;
  expect(bench.told).toEqual(['began node-1/1', 'ended node-1/1 lost']);
});

test('a begin that can not be recorded is told of once, and harms no job', async () => {
  const bench = new Bench();
  bench.recorders.add({ began: () => Promise.reject(new Error('disk full')) });
  await bench.run(JOB);
  await bench.run(JOB);
  expect(bench.ends.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  expect(bench.log).toEqual(['A recorder of jobs threw: disk full; the jobs go on']);
});

test('a recorder that throws harms no job, and is told of once', async () => {
  const bench = new Bench();
  bench.recorders.add({
    ended: () => {
      throw new Error('disk full');
    },
  });
  await bench.run(JOB);
  await bench.run(JOB);
  expect(bench.told).toHaveLength(4);
  expect(bench.log).toEqual(['A recorder of jobs threw: disk full; the jobs go on']);
});

test('a recorder that was taken off is told nothing more, and without any nothing is kept', async () => {
  const bench = new Bench();
  const told: string[] = [];
  const recorders = new JobRecorders('n', {
    log: () => {},
    warn: () => {},
    error: () => {},
    debug: () => {},
  });
  const takeOff = recorders.add({ enqueued: ({ id }) => void told.push(id) });
  recorders.enqueued(JOB);
  takeOff();
  recorders.enqueued(JOB);
  expect(told).toEqual(['j1']);
  expect(
    recorders.begin(JOB, { fence: undefined, isolation: 'process', timeLimitAt: undefined }),
  ).toBeUndefined();
  expect(() => bench.recorders.add(undefined as never)).toThrow('recorder: must be an object');
});
