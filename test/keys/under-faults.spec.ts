// Keyed jobs while processes are killed and frozen and connections cut, judged from outside by what the processes wrote.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { allEnded, probeKeys } from '../support/keyed-endings';
import { KeyedNode } from '../support/keyed-node';
import type { Counts } from '../support/keyed-observer';
import { observe } from '../support/keyed-observer';
import type { KeyedArgs } from '../support/keyed-program';
import { SeededChance } from '../support/seeded-chance';
import { readTrace, Trace } from '../support/trace';

const IS_LONG = process.env['ROGER_FAULTS'] === 'long';
const PLAN = IS_LONG
  ? { jobs: 27_000, least: 20_000, ms: 420_000, faultEveryMs: 2_000, maxFreezeMs: 20_000, settleMs: 120_000 }
  : { jobs: 1_250, least: 300, ms: 20_000, faultEveryMs: 2_000, maxFreezeMs: 8_000, settleMs: 40_000 };
const MIN_FREEZE_MS = 3_000;
const WORKERS = 3;
const PRODUCERS = 2;
const QUEUE_KEYS = 60;
/** Few, so that lines are long. */
const EXECUTION_KEYS = 16;
/** So that the ledger writes snapshots and forgets what was before them, in the short form too. */
const BALLAST_BYTES = 12 * 1024;
const PARTITION = 'acme';
/** The faults come in this order, over and over, so that a short form has some of each. */
const FAULTS = [
  'kill',
  'kill keeper',
  'freeze',
  'cut',
  'kill',
  'freeze keeper',
  'kill',
  'cut keeper',
] as const;

const folder = mkdtempSync(join(tmpdir(), 'roger-faults-'));
const tracePath = join(folder, 'trace');
const seed = Number(process.env['ROGER_FAULTS_SEED'] ?? randomInt(2 ** 31));
const chance = new SeededChance(seed);
const trace = new Trace(tracePath, 'test');
let broker: PrivateRabbitmq;

/** A place that a process has, and after its death another. */
interface Place {
  readonly name: string;
  readonly role: 'worker' | 'producer';
  generation: number;
  node: KeyedNode | undefined;
}

const places: Place[] = [
  ...Array.from({ length: WORKERS }, (_, n) => ({ name: `worker-${n + 1}`, role: 'worker' as const })),
  ...Array.from({ length: PRODUCERS }, (_, n) => ({ name: `producer-${n + 1}`, role: 'producer' as const })),
].map((place) => ({ ...place, generation: 0, node: undefined }));

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});

afterAll(async () => {
  await KeyedNode.killAll();
  trace.close();
  await broker.stop();
  if (process.env['ROGER_FAULTS_KEEP'] === undefined) rmSync(folder, { recursive: true });
});

test(
  'no keyed job is lost, overlaps, comes out of order or leaves a key stuck, whichever process dies, freezes or is cut off',
  async () => {
    say(`seed ${seed} (ROGER_FAULTS_SEED)${process.env['ROGER_FAULTS_KEEP'] ? `, trace ${tracePath}` : ''}`);
    await Promise.all(places.map((place) => fill(place)));
    const producing = produce();
    await strikeFor(PLAN.ms);
    await producing;
    await allEnded(trace, tracePath, PLAN.settleMs);
    await probeKeys(tracePath, PLAN.settleMs, (order) => well('producer')[0]?.node.tell(order));

    const { violations, counts } = observe(readTrace(tracePath));
    say(lineOf(counts));
    expect(violations.map(({ breaks, because }) => `${breaks} ${because}`)).toEqual([]);
    expect(counts.asked).toBeGreaterThanOrEqual(PLAN.least);
    expect(counts.kills).toBeGreaterThan(0);
    expect(counts.freezes).toBeGreaterThan(0);
  },
  PLAN.ms + PLAN.settleMs + 120_000,
);

/** Whoever runs it wants to know, whether it passes or not. */
function say(line: string): void {
  process.stdout.write(`keyed jobs under faults: ${line}\n`);
}

function lineOf(counts: Counts): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');
}

// --- processes

async function fill(place: Place): Promise<void> {
  place.node = undefined;
  const node = await KeyedNode.start({
    node: `${place.name}.${++place.generation}`,
    partition: PARTITION,
    trace: tracePath,
    observed: trace,
    brokerUri: broker.uri,
    roger: { mode: place.role, partitions: { [PARTITION]: { default: 8 } } },
  });
  place.node = node;
  // A producer that asks nothing yet is to be a possible keeper too.
  if (place.role === 'producer') node.tell({ order: 'join' });
}

/** Those of the role that are there and awake. */
function well(role?: Place['role']): { place: Place; node: KeyedNode }[] {
  return places.flatMap((place) =>
    place.node === undefined || place.node.isFrozen || (role !== undefined && place.role !== role)
      ? []
      : [{ place, node: place.node }],
  );
}

// --- load

let jobCount = 0;

async function produce(): Promise<void> {
  const beganAt = performance.now();
  while (jobCount < PLAN.jobs) {
    const due = Math.min(PLAN.jobs, ((performance.now() - beganAt) / PLAN.ms) * PLAN.jobs);
    while (jobCount < due) orderOne();
    await sleep(20);
  }
}

function orderOne(): void {
  const id = `job-${++jobCount}`;
  const producers = places.flatMap(({ role, node }) =>
    role === 'producer' && node !== undefined ? [node] : [],
  );
  if (producers.length === 0) return;
  // A frozen one is told too, and asks when it wakes.
  const node = chance.one(producers);
  const shape = chance.below(10);
  const args: KeyedArgs = {
    ms: chance.below(8) === 0 ? 400 : chance.below(15),
    failures: chance.below(25) === 0 ? 1 : 0,
    ballastBytes: chance.below(2) === 0 ? BALLAST_BYTES : 0,
    executionKey: shape < 8 ? `e${chance.below(EXECUTION_KEYS)}` : undefined,
    queueKey: shape >= 6 ? `q${chance.below(QUEUE_KEYS)}` : undefined,
  };
  node.tell({ order: 'enqueue', id, args });
  if (chance.below(40) === 0) {
    node.tell({ order: 'cancel', id: `job-${Math.max(1, jobCount - chance.below(60))}` });
  }
}

// --- faults

const repairs = new Set<Promise<void>>();

/** Does a fault every so often; resolves when all of it is mended. */
async function strikeFor(ms: number): Promise<void> {
  const until = performance.now() + ms;
  for (let count = 0; performance.now() < until; count++) {
    await sleep(PLAN.faultEveryMs);
    strike(FAULTS[count % FAULTS.length] ?? 'kill');
  }
  await Promise.all(repairs);
}

function strike(fault: (typeof FAULTS)[number]): void {
  const target = fault.endsWith('keeper') ? keeper() : undefined;
  // One worker and one producer are left, or nothing would happen to the others.
  const isAble = ({ place }: { place: Place }): boolean =>
    fault.startsWith('cut') || well(place.role).length > 1;
  const able = target !== undefined && isAble(target) ? [target] : well().filter(isAble);
  if (able.length === 0) return;
  const { place, node } = chance.one(able);
  if (fault.startsWith('cut')) node.cut();
  else if (fault.startsWith('kill')) mend(node.kill().then(() => fill(place)));
  else {
    node.freeze();
    const ms = MIN_FREEZE_MS + chance.below(PLAN.maxFreezeMs - MIN_FREEZE_MS);
    mend(
      sleep(ms).then(() => {
        node.resume();
      }),
    );
  }
}

function mend(repair: Promise<void>): void {
  const mended = repair.finally(() => repairs.delete(mended));
  repairs.add(mended);
}

/** Whoever said last that it keeps the ledger. */
function keeper(): { place: Place; node: KeyedNode } | undefined {
  const name = readTrace(tracePath).findLast(({ what }) => what === 'keeping')?.node;
  return well().find(({ node }) => node.name === name);
}
