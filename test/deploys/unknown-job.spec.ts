// A rolling deploy that brings a new job: the old nodes hand it on until a new one takes it, and their own jobs go on.
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { BuriedJobs, RogerJob } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { Deploy, SteadyLoad } from '../support/deploy';
import { allEnded, probeKeys } from '../support/keyed-endings';
import { KeyedNode } from '../support/keyed-node';
import { observe } from '../support/keyed-observer';
import { SeededChance } from '../support/seeded-chance';
import { serviceOf } from '../support/service-gaps';
import { Signals } from '../support/signal';
import { Sightings } from '../support/sightings';
import { readTrace, Trace } from '../support/trace';
import { within } from '../support/within';
import { Work } from '../support/work';

const IS_LONG = process.env['ROGER_FAULTS'] === 'long';
const JOBS_PER_SECOND = 100;
const NOVEL_JOBS = 40;
const NOVEL = 'novel-';
/** How long only old nodes are there. */
const OLD_ONLY_MS = 4_000;
const SETTLE_MS = 60_000;
const MAX_GAP_MS = 1_000;
/** So many seconds after its first delivery a job that nobody knows is delivered again; then after longer and longer. */
const DELIVERED_AFTER_S = [0, 1, 2, 5, 8, 13, 18, 28, 38, 58, 78, 113];
/** What the waits of a job that nobody knows come to, and the jobs' own way. */
const BURIED_AFTER_MS = 293_000 + 30_000;

const folder = mkdtempSync(join(tmpdir(), 'roger-novel-'));
const tracePath = join(folder, 'trace');
const trace = new Trace(tracePath, 'test');
const seed = Number(process.env['ROGER_FAULTS_SEED'] ?? randomInt(2 ** 31));

afterAll(async () => {
  await KeyedNode.killAll();
  trace.close();
  if (process.env['ROGER_FAULTS_KEEP'] === undefined) rmSync(folder, { recursive: true });
});

test('what only the new nodes know is offered to the old ones now and then, is run by the new ones, and delays nobody', async () => {
  const partition = uniquePartition();
  const options = { partition, trace, tracePath, brokerUri: sharedBrokerUri() };
  const deploy = new Deploy({ ...options, roger: { namespace: partition } });
  await deploy.start(3, 'old');
  const load = new SteadyLoad(deploy, JOBS_PER_SECOND, new SeededChance(seed));
  const offeredAt = performance.now();
  for (let n = 0; n < NOVEL_JOBS; n++) {
    const args = { ms: 5, ...(n % 2 === 0 ? { queueKey: `key-${n}` } : {}) };
    deploy.producer?.tell({ order: 'enqueue', id: `${NOVEL}${n}`, args, isNovel: true });
  }
  await sleep(OLD_ONLY_MS);
  const counts = await Promise.all(deploy.workers.map((worker) => worker.countHandedOn()));
  const handedOn = counts.reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - offeredAt) / 1_000;
  for (let replaced = 0; replaced < 3; replaced++) await deploy.replaceWorker('new');
  await load.stop();
  await allEnded(trace, tracePath, SETTLE_MS);
  await probeKeys(tracePath, SETTLE_MS, (order) => deploy.producer?.tell(order));

  const events = readTrace(tracePath);
  const others = events.filter((event) => !('id' in event && event.id.startsWith(NOVEL)));
  const gaps = ['default', 'mail'].map((queue) => serviceOf(others, queue).gapMs);
  say(
    `seed ${seed}: ${handedOn} deliveries of ${NOVEL_JOBS} jobs to old nodes in ${seconds.toFixed(1)} s, ` +
      `${(handedOn / NOVEL_JOBS / seconds).toFixed(2)} a second and job; greatest gaps ${gaps.join(' and ')} ms`,
  );
  const { violations } = observe(events);
  expect(violations.map(({ breaks, because }) => `${breaks} ${because}`)).toEqual([]);
  // Each was seen by an old node, and by none oftener than the waits allow.
  expect(handedOn).toBeGreaterThanOrEqual(NOVEL_JOBS);
  expect(handedOn).toBeLessThanOrEqual(
    NOVEL_JOBS * DELIVERED_AFTER_S.filter((after) => after <= seconds).length,
  );
  const runs = events.flatMap((event) =>
    event.what === 'began' && event.id.startsWith(NOVEL) ? [event] : [],
  );
  expect(runs).toHaveLength(NOVEL_JOBS);
  expect(runs.filter(({ node, attempt }) => !node.endsWith('.new') || attempt > 1)).toEqual([]);
  expect(gaps.filter((ms) => ms > MAX_GAP_MS)).toEqual([]);
});

const novelRuns = new Signals<number>();

@RogerJob({ name: 'late-comer' })
class LateComer {
  perform({ n }: { n: number }): void {
    novelRuns.add(n);
  }
}

test(
  'what no node knows in all that time is buried, and runs when an operator has it tried again on nodes that know it',
  async () => {
    const partition = uniquePartition();
    const connection = { uri: sharedBrokerUri() };
    const roger = { connection, partitions: { [partition]: { default: 5 } } };
    // An operator's node has to know the job that it has tried again; it runs none.
    const { jobs, app: operator } = await startApp({ connection, mode: 'producer' }, [LateComer]);
    const sightings = new Sightings();
    const start = (node: string) => startApp(roger, [Work, sightings.of(node)]);
    const first = await start('first');
    await served(first, partition);
    if (!IS_LONG) await first.close();
    await jobs.enqueue(LateComer, { n: 7 }, { partition, id: 'late' });
    // The last of its deliveries is the one that counts; the long form waits for all of them.
    if (!IS_LONG) await pretendOfferedOften(partition);
    const old = IS_LONG ? first : await start('second');
    await served(old, partition);
    const buried = operator.get(BuriedJobs);
    await eventually(
      'it to be buried',
      async () => (await old.info.queueDepth(partition, 'default'))?.buried === 1,
      BURIED_AFTER_MS,
    );
    expect(await buried.list(partition, 'default')).toMatchObject([
      { job: { id: 'late' }, reason: { type: 'ROGER_UNKNOWN_JOB' } },
    ]);

    // Where only old nodes are there, it begins anew: handed on, not buried at once.
    const handedOn = (): number => old.partitions.queues(partition)[0]?.counts.handedOn ?? 0;
    const before = handedOn();
    expect(await buried.retry(partition, 'default', 'late')).toMatchObject({ status: 'enqueued' });
    await eventually('the old node to hand it on', () => handedOn() > before);
    await startApp(roger, [Work, LateComer, sightings.of('new')]);
    await old.close();
    expect(await within('its run', novelRuns.count(1))).toEqual([7]);
  },
  IS_LONG ? 2 * BURIED_AFTER_MS : 60_000,
);

/** Takes the job from its queue and puts it back as one that was handed on as often as a job may be. */
async function pretendOfferedOften(partition: string): Promise<void> {
  const broker = await connect(sharedBrokerUri());
  const channel = await broker.createConfirmChannel();
  const queue = `${partition}-default`;
  const message = await channel.get(queue);
  if (message === false) throw new Error('The job is not in its queue');
  const envelope = { ...(JSON.parse(message.content.toString()) as object), handedOn: 14 };
  channel.sendToQueue(queue, Buffer.from(JSON.stringify(envelope)), message.properties);
  await channel.waitForConfirms();
  channel.ack(message);
  await channel.close();
  await broker.close();
}

function say(line: string): void {
  process.stdout.write(`a job that is new: ${line}\n`);
}
