// Three nodes under a steady load that are restarted one after the other lose nothing, repeat nothing and never pause.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Deploy, SteadyLoad } from '../support/deploy';
import { allEnded, probeKeys } from '../support/keyed-endings';
import { KeyedNode } from '../support/keyed-node';
import { observe } from '../support/keyed-observer';
import { SeededChance } from '../support/seeded-chance';
import { serviceOf } from '../support/service-gaps';
import { readTrace, Trace } from '../support/trace';

const PLAN =
  process.env['ROGER_FAULTS'] === 'long'
    ? { restarts: 100, settleMs: 120_000, limitMs: 1_800_000 }
    : { restarts: 5, settleMs: 40_000, limitMs: 180_000 };
const JOBS_PER_SECOND = 200;
const MAX_GAP_MS = 1_000;
/** So often it is the producer's turn: whoever stands longest by the ledger becomes its keeper, and is to go, too. */
const PRODUCER_EVERY = 4;

const folder = mkdtempSync(join(tmpdir(), 'roger-restarts-'));
const tracePath = join(folder, 'trace');
const trace = new Trace(tracePath, 'test');
const seed = Number(process.env['ROGER_FAULTS_SEED'] ?? randomInt(2 ** 31));

afterAll(async () => {
  await KeyedNode.killAll();
  trace.close();
  if (process.env['ROGER_FAULTS_KEEP'] === undefined) rmSync(folder, { recursive: true });
});

test(
  `${PLAN.restarts} rolling restarts under load lose no job, repeat none, and no queue stands still for more than a second`,
  async () => {
    say(`seed ${seed} (ROGER_FAULTS_SEED)${process.env['ROGER_FAULTS_KEEP'] ? `, trace ${tracePath}` : ''}`);
    const partition = uniquePartition();
    const options = { partition, trace, tracePath, brokerUri: sharedBrokerUri() };
    const deploy = new Deploy({ ...options, roger: { namespace: partition } });
    await deploy.start(3);
    const load = new SteadyLoad(deploy, JOBS_PER_SECOND, new SeededChance(seed));
    for (let restart = 1; restart <= PLAN.restarts; restart++) {
      if (restart % PRODUCER_EVERY === 0) await deploy.replaceProducer();
      else await deploy.replaceWorker();
    }
    await load.stop();
    await allEnded(trace, tracePath, PLAN.settleMs);
    await probeKeys(tracePath, PLAN.settleMs, (order) => deploy.producer?.tell(order));

    const events = readTrace(tracePath);
    const { violations, counts } = observe(events);
    const all = serviceOf(events);
    const gaps = { all: all.gapMs, default: gapOf('default', events), mail: gapOf('mail', events) };
    say(
      `${PLAN.restarts} restarts, ${counts.enqueued} jobs, ${counts.retries} retries, ${counts.keepers} keepers, ` +
        `greatest gap ${gaps.all} ms (default ${gaps.default}, mail ${gaps.mail}), longest wait ${all.longestWaitMs} ms`,
    );
    expect(violations.map(({ breaks, because }) => `${breaks} ${because}`)).toEqual([]);
    const failures = events.flatMap((event) => (event.what === 'enqueue failed' ? [event.error] : []));
    // A producer that is gone says that it is; nothing else may keep a job from being enqueued.
    expect(failures.filter((error) => !error.startsWith('RogerClosedError'))).toEqual([]);
    expect(events.filter(({ what }) => what === 'aborted')).toEqual([]);
    expect(new Set(deploy.endings)).toEqual(new Set(['SIGTERM']));
    expect(Object.entries(gaps).filter(([, ms]) => ms > MAX_GAP_MS)).toEqual([]);
    expect(counts.enqueued).toBeGreaterThan(PLAN.restarts * 50);
    // The ledger's keeper was restarted, too.
    expect(counts.keepers).toBeGreaterThanOrEqual(2);
  },
  PLAN.limitMs,
);

function gapOf(queue: string, events: Parameters<typeof serviceOf>[0]): number {
  return serviceOf(events, queue).gapMs;
}

function say(line: string): void {
  process.stdout.write(`rolling restarts: ${line}\n`);
}
