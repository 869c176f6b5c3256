// Jobs in delay and retry levels while the broker node that leads most of those is killed: none is lost, and none is early.
import type { PrivateCluster, PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateCluster } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { KeyedWork, RETRY_MS } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { sharedClock, Work } from '../support/work';

const DELAYED = 1_500;
const RETRIED = 500;
const LONGEST_DELAY_MS = 15_000;
const DEAD_MS = 4_000;
/** So long RabbitMQ waits for the confirm of what it dead-letters before it sends that again: by default three minutes. */
const CONFIRM_TIMEOUT_MS = 5_000;
const IS_LONG = process.env['ROGER_FAULTS'] === 'long';
const PATIENCE_MS = IS_LONG ? 300_000 : 90_000;

let cluster: PrivateCluster;
beforeAll(async () => {
  cluster = await startPrivateCluster({ partitionHandling: 'pause_minority' });
  // The long form shows that by default, too, none is lost; 32 of a level may be as late as that.
  if (!IS_LONG) await Promise.all(cluster.nodes.map(shortenConfirmTimeout));
});
afterAll(() => cluster.stop());

/** To be done anew after each start. */
async function shortenConfirmTimeout(node: PrivateRabbitmq): Promise<void> {
  const name = 'dead_letter_worker_publisher_confirm_timeout';
  await node.ctl('eval', `application:set_env(rabbit, ${name}, ${CONFIRM_TIMEOUT_MS}).`);
}

/** The broker node that leads most levels. */
async function leaderOfLevels(): Promise<PrivateRabbitmq> {
  const table = (await cluster.nodes[0]?.ctl('eval', 'ets:tab2list(ra_leaderboard).')) ?? '';
  const leaders = [...table.matchAll(/\{'%2F_roger\.(?:delay|retry)\.\d+',\s*\{'[^']*',\s*'([^']*)'/g)];
  const countOf = ({ nodename }: PrivateRabbitmq): number =>
    leaders.filter(([, leader]) => leader === nodename).length;
  const [most] = [...cluster.nodes].sort((a, b) => countOf(b) - countOf(a));
  if (most === undefined || countOf(most) === 0) throw new Error(`Nobody leads a level: ${table}`);
  return most;
}

test(
  'none of 2000 jobs in delay and retry levels, with keys and without, is lost or early when their leader is killed',
  async () => {
    const partition = uniquePartition();
    const sightings = new Sightings();
    const app = await startApp(
      { connection: { uri: [...cluster.uris] }, partitions: { [partition]: { default: 50 } } },
      [Work, KeyedWork, sightings.of('worker')],
    );
    await served(app, partition);
    const { jobs } = app;
    // The levels are made meanwhile.
    await jobs.enqueue(Work, {}, { partition, id: 'warm', delayMs: LONGEST_DELAY_MS });
    const dueAt = new Map<string, number>();
    const failing = Array.from({ length: RETRIED }, (_, n) => {
      return jobs.create(
        KeyedWork,
        { failures: 1, ...(n % 2 === 0 ? { queueKey: `r${n}` } : {}) },
        { partition, id: `retried-${n}` },
      );
    });
    const delayed = Array.from({ length: DELAYED }, (_, n) => {
      const delayMs = 2_000 + ((n * 7_919) % (LONGEST_DELAY_MS - 2_000));
      const args = n % 5 === 0 ? { queueKey: `d${n}` } : {};
      return jobs.create(KeyedWork, args, { partition, id: `delayed-${n}`, delayMs });
    });
    const enqueuedAt = sharedClock() - Date.now();
    for (const { id, runAt } of delayed) dueAt.set(id, (runAt ?? 0) + enqueuedAt);
    const { failures } = await jobs.enqueueMany([...delayed, ...failing]);
    expect(failures).toEqual([]);
    await sightings.seen('failed', RETRIED / 2);

    const leader = await leaderOfLevels();
    await leader.kill();
    await new Promise((resolve) => setTimeout(resolve, DEAD_MS));
    await leader.start();
    await sightings.ended([...dueAt.keys(), ...failing.map(({ id }) => id), 'warm'], PATIENCE_MS);

    const early: string[] = [];
    const failedAt = new Map<string, number>();
    for (const { what, id, at, attempt } of sightings.inOrder()) {
      if (what === 'failed' && !failedAt.has(id)) failedAt.set(id, at);
      if (what !== 'began') continue;
      const failed = failedAt.get(id);
      const due = attempt > 1 && failed !== undefined ? failed + RETRY_MS : (dueAt.get(id) ?? at);
      if (at < due - 1_000) early.push(`${id} ${Math.round(due - at)} ms`);
    }
    expect(early).toEqual([]);
    await eventually('the keys to be free', async () => {
      const holders = await Promise.all(
        ['r0', 'd0', 'd5'].map((key) => app.globalState.isQueued(partition, key).catch(() => 'unknown')),
      );
      return holders.every((holder) => holder === undefined);
    });
  },
  PATIENCE_MS + 120_000,
);
