// What keys cost: enqueueing under one, running in turn, a keeper's death, and the keeper's memory.
import { randomBytes } from 'node:crypto';
import { Arena, PARTITION } from './arena';
import type { Benchmark, Conditions, Result, Row } from './benchmark';
import { ARGS, KeyedJob } from './jobs';
import { KeeperProcess } from './keeper';
import { inFlight, RawPublisher } from './raw';
import type { Contestant, Span } from './rounds';
import { compete, median, startSpan } from './rounds';

const ENQUEUED = 20_000;
const QUICK_ENQUEUED = 1_000;
const ROUNDS = 5;
const IN_FLIGHT = 100;
const SERIAL_JOBS = 5_000;
const SERIAL_KEYS = 500;
const ONE_KEY_JOBS = 2_000;
const MAX_WORKERS = 100;
const FAILOVERS = 10;
const WAITING = 100_000;
const WAITING_KEYS = 10_000;
/** A drain that stands still for longer than this has paused. */
const PAUSE_MS = 1_000;

export const keys: Benchmark = async (conditions) => {
  const parts = [
    await Arena.during(conditions, (arena) => enqueueing(arena, conditions)),
    await Arena.during(conditions, (arena) => running(arena, conditions)),
    await failingOver(conditions),
    await Arena.during(conditions, (arena) => weighing(arena, conditions)),
  ];
  return {
    rows: parts.flatMap(({ rows }) => rows),
    fields: Object.assign({}, ...parts.map(({ fields }) => fields)) as Result['fields'],
  };
};

/** The keeper is another process, as it is for all but one of an app's. */
async function enqueueing(arena: Arena, { uri, isQuick }: Conditions): Promise<Result> {
  const raw = await RawPublisher.open(await arena.connect(), await arena.messageOf(KeyedJob));
  const keeper = await KeeperProcess.start({ uri, namespace: arena.namespace, partition: PARTITION });
  const app = await arena.startProducer();
  await app.jobs.enqueue(KeyedJob, { queueKey: 'seat' });
  const total = isQuick ? QUICK_ENQUEUED : ENQUEUED;
  const timed =
    (task: () => Promise<unknown>): Contestant =>
    async () => {
      const endSpan = startSpan();
      await task();
      const span = endSpan(total);
      await arena.empty();
      return span;
    };
  let number = 0;
  const scores = await compete(
    {
      raw: timed(() => inFlight(IN_FLIGHT, total, () => raw.publish())),
      roger: timed(() =>
        inFlight(IN_FLIGHT, total, () =>
          app.jobs.enqueue(KeyedJob, { ...ARGS, queueKey: `key-${number++}` }),
        ),
      ),
    },
    { rounds: ROUNDS, isQuick },
  );
  await app.close();
  await keeper.kill();
  const ratio = scores.roger.ratioTo(scores.raw);
  return {
    rows: [
      {
        name: `enqueue under a queue key, ${IN_FLIGHT} in flight`,
        unit: 'jobs/s',
        raw: scores.raw.jobsPerSecond,
        roger: scores.roger.jobsPerSecond,
        cpuUs: { raw: scores.raw.cpuUsPerJob, roger: scores.roger.cpuUsPerJob },
        ratio,
        goal: { atLeast: 0.4 },
      },
    ],
    fields: { keyed_enqueue_per_s: scores.roger.jobsPerSecond, keyed_enqueue_vs_raw: ratio },
  };
}

async function running(arena: Arena, { uri, isQuick }: Conditions): Promise<Result> {
  const keeper = await KeeperProcess.start({ uri, namespace: arena.namespace, partition: PARTITION });
  const app = await arena.startWorker({ default: MAX_WORKERS });
  const scale = isQuick ? 10 : 1;
  const timed =
    (jobs: number, keyCount: number): Contestant =>
    () =>
      held(app, jobs / scale, (index) => ({ ...ARGS, executionKey: `key-${index % keyCount}` }));
  const { serial, oneKey } = await compete(
    { serial: timed(SERIAL_JOBS, SERIAL_KEYS), oneKey: timed(ONE_KEY_JOBS, 1) },
    { rounds: ROUNDS, isQuick },
  );
  const drained = await draining(app, isQuick ? WAITING / 100 : WAITING);
  await app.close();
  await keeper.kill();
  return {
    rows: [
      {
        name: `${SERIAL_JOBS} jobs over ${SERIAL_KEYS} execution keys`,
        unit: 'jobs/s',
        roger: serial.jobsPerSecond,
        goal: { atLeast: 6_000 },
      },
      {
        name: `${ONE_KEY_JOBS} jobs of one execution key`,
        unit: 'jobs/s',
        roger: oneKey.jobsPerSecond,
        goal: { atLeast: 1_500 },
      },
      {
        name: `longest pause in the run of ${drained.jobs} jobs over ${WAITING_KEYS} execution keys`,
        unit: 'ms',
        roger: drained.longestPauseMs,
        goal: { atMost: PAUSE_MS },
      },
    ],
    fields: {
      drain_jobs_per_s: drained.jobsPerSecond,
      drain_longest_pause_ms: drained.longestPauseMs,
      serial_jobs_per_s: serial.jobsPerSecond,
      serial_one_key_per_s: oneKey.jobsPerSecond,
    },
  };
}

async function draining(
  app: Awaited<ReturnType<Arena['startWorker']>>,
  jobs: number,
): Promise<{ jobs: number; jobsPerSecond: number; longestPauseMs: number }> {
  let lastAt = Number.POSITIVE_INFINITY;
  let longestPauseMs = 0;
  app.tally.onCount = () => {
    const now = performance.now();
    longestPauseMs = Math.max(longestPauseMs, now - lastAt);
    lastAt = now;
  };
  const { ms } = await held(app, jobs, (index) => ({
    ...ARGS,
    executionKey: `drain-${index % WAITING_KEYS}`,
  }));
  app.tally.onCount = undefined;
  return { jobs, jobsPerSecond: (jobs * 1_000) / ms, longestPauseMs };
}

/** All are enqueued before the first runs: the clock is for the running. */
async function held(
  { jobs, partitions, tally }: Awaited<ReturnType<Arena['startWorker']>>,
  count: number,
  args: (index: number) => object,
): Promise<Span> {
  partitions.pauseAll(PARTITION);
  const ended = tally.expect(count);
  await jobs.enqueueMany(
    KeyedJob,
    Array.from({ length: count }, (_, index) => args(index)),
  );
  partitions.resume(PARTITION);
  return ended;
}

async function failingOver(conditions: Conditions): Promise<Result> {
  const gaps: number[] = [];
  for (let round = 0; round < (conditions.isQuick ? 1 : FAILOVERS); round++) {
    await Arena.during(conditions, async (arena) => {
      gaps.push(await gapAtDeath(arena, conditions, () => Promise.resolve()));
      return { rows: [], fields: {} };
    });
  }
  const fields = { failover_ms_median: median(gaps), failover_ms_worst: Math.max(...gaps) };
  const times = `of ${gaps.length}`;
  return {
    rows: [
      {
        name: `keyed enqueues pause at a keeper's kill -9, median ${times}`,
        unit: 'ms',
        roger: fields.failover_ms_median,
        goal: { atMost: 300 },
      },
      {
        name: `the same, worst ${times}`,
        unit: 'ms',
        roger: fields.failover_ms_worst,
        goal: { atMost: 1_000 },
      },
    ],
    fields,
  };
}

async function weighing(arena: Arena, conditions: Conditions): Promise<Result> {
  const waiting = conditions.isQuick ? WAITING / 100 : WAITING;
  const keyCount = conditions.isQuick ? WAITING_KEYS / 100 : WAITING_KEYS;
  let bytesPerKey = 0;
  let bytesPerJob = 0;
  const gap = await gapAtDeath(arena, conditions, async (keeper, app) => {
    const empty = await keeper.heapUsed();
    await app.jobs.enqueueMany(
      KeyedJob,
      Array.from({ length: waiting }, (_, index) => ({ ...ARGS, queueKey: `key-${index}` })),
    );
    const withKeys = await keeper.heapUsed();
    bytesPerKey = (withKeys - empty) / waiting;
    await app.jobs.enqueueMany(
      KeyedJob,
      Array.from({ length: waiting }, (_, index) => ({ ...ARGS, executionKey: `key-${index % keyCount}` })),
    );
    bytesPerJob = ((await keeper.heapUsed()) - withKeys) / waiting;
  });
  const fields = { replay_ms: gap, bytes_per_held_key: bytesPerKey, bytes_per_waiting_job: bytesPerJob };
  const rows: Row[] = [
    {
      name: `pause at a keeper's kill -9 with ${waiting} jobs in line and ${waiting} keys held`,
      unit: 'ms',
      roger: gap,
      goal: { atMost: 1_300 },
    },
    { name: "the keeper's memory per held queue key", unit: 'B', roger: bytesPerKey },
    { name: "the keeper's memory per job in line", unit: 'B', roger: bytesPerJob },
  ];
  return { rows, fields };
}

/** Ten at a time enqueue without end under keys of their own; the longest time in which none is answered, around the kill. */
async function gapAtDeath(
  arena: Arena,
  { uri }: Conditions,
  prepare: (keeper: KeeperProcess, app: Awaited<ReturnType<Arena['startProducer']>>) => Promise<void>,
): Promise<number> {
  const settings = { uri, namespace: arena.namespace, partition: PARTITION };
  const keeper = await KeeperProcess.start(settings);
  const successor = await KeeperProcess.start(settings);
  const app = await arena.startProducer();
  await prepare(keeper, app);
  let isOver = false;
  let lastAt = performance.now();
  let longest = 0;
  const asking = inFlight(10, Number.POSITIVE_INFINITY, async () => {
    if (isOver) throw new Over();
    await app.jobs.enqueue(KeyedJob, { queueKey: randomBytes(8).toString('hex') });
    const now = performance.now();
    longest = Math.max(longest, now - lastAt);
    lastAt = now;
  }).catch((error: unknown) => {
    if (!(error instanceof Over)) throw error;
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  longest = 0;
  await keeper.kill();
  const killedAt = performance.now();
  while (lastAt < killedAt + 500) await new Promise((resolve) => setTimeout(resolve, 20));
  isOver = true;
  await asking;
  await app.close();
  await successor.kill();
  return longest;
}

class Over extends Error {}
