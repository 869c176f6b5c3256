// A queue that the broker can't serve for a while (its quorum is lost, its disk hangs) is a trouble of its own partition.
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { BrokerUnavailableError } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { uniquePartition } from '../support/broker';
import { KEYED, KeyedWork } from '../support/keyed-work';
import { Sightings } from '../support/sightings';
import { TcpProxy } from '../support/tcp-proxy';
import { within } from '../support/within';
import { Work } from '../support/work';

let broker: PrivateRabbitmq;
let proxy: TcpProxy;

beforeAll(async () => {
  broker = await startPrivateRabbitmq();
  proxy = await TcpProxy.before(broker.uri);
});
afterAll(async () => {
  await proxy.close();
  await broker.stop();
});

/** Stops the queue's process in the broker, as a hanging disk or a lost quorum would, or lets it go on. */
async function queueProcess(what: 'suspend' | 'resume', partition: string, namespace = ''): Promise<void> {
  const prefix = namespace === '' ? '' : `${namespace}.`;
  await broker.ctl('eval', `sys:${what}('%2F_${prefix}${partition}-default').`);
}

/** Enqueues so many jobs to a stuck queue and then some to a sound one. */
async function enqueueBeside(stuckJobs: number): Promise<void> {
  const [stuck, sound] = [uniquePartition('stuck'), uniquePartition('sound')];
  const sightings = new Sightings();
  const app = await startApp(
    {
      connection: { uri: broker.uri },
      partitions: { [stuck]: { default: 5 }, [sound]: { default: 5 } },
      enqueueTimeoutMs: 2_000,
      shutdownTimeoutMs: 0,
    },
    [Work, sightings.of('worker')],
  );
  await Promise.all([served(app, stuck), served(app, sound)]);
  // A channel meets each queue for the first time in a question that waits for its answer; get that over with.
  for (const partition of [stuck, sound]) await app.jobs.enqueue(Work, {}, { partition });
  await queueProcess('suspend', stuck);
  try {
    const ids = Array.from({ length: stuckJobs }, (_, n) => `stuck-${n}`);
    const outcomes = Promise.allSettled(
      ids.map((id) => app.jobs.enqueue(Work, {}, { partition: stuck, id })),
    );
    for (const id of ['sound-1', 'sound-2', 'sound-3']) {
      await within('a confirm', app.jobs.enqueue(Work, {}, { partition: sound, id }));
    }
    await sightings.ended(['sound-1', 'sound-2', 'sound-3']);
    const errors = (await within('the others to settle', outcomes)).map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as unknown) : undefined,
    );
    expect(errors.filter((error) => !(error instanceof BrokerUnavailableError))).toEqual([]);
  } finally {
    await queueProcess('resume', stuck);
  }
  await eventually('the queue to go on', () =>
    app.jobs.enqueue(Work, {}, { partition: stuck, id: 'after' }).then(
      () => true,
      () => false,
    ),
  );
  await sightings.ended(['after']);
}

test('a queue that is stuck holds up no other partition, and goes on by itself', () => enqueueBeside(200));

test('nor does it with more jobs than are on their way at a time', () => enqueueBeside(1_500));

test('confirms that come out of order keep no job from being sent again after a cut', async () => {
  const [late, early] = [uniquePartition('late'), uniquePartition('early')];
  const { jobs } = await startApp({
    connection: { uri: proxy.uri },
    mode: 'producer',
    partitions: { [late]: { default: 1 }, [early]: { default: 1 } },
    enqueueTimeoutMs: 20_000,
  });
  const enqueue = (partition: string) => jobs.enqueue(Work, {}, { partition });
  await Promise.all([enqueue(late), enqueue(early)]);
  await queueProcess('suspend', late);
  const first = enqueue(late);
  const between = enqueue(early);
  const last = enqueue(late);
  await within('the job of the other queue to be confirmed', between);
  proxy.cut();
  await queueProcess('resume', late);
  await within('both jobs to be confirmed', Promise.all([first, last]), undefined, 10_000);
});

/** Longer than the keeper waits for a confirm, so that it has to dispatch again. */
const STUCK_MS = 8_000;
/** Much less than a queue is stuck; on an idle machine it takes no tenth of it. */
const SOUND_MS = 6_000;

const together = testsAtOnce(4);

for (const [when, jobsBefore] of [
  ['that gets its first job', 0],
  ['among its jobs', 20],
] as const) {
  together(
    `a queue that is stuck ${when} holds up no job of a ledger that it shares with others, and loses none of its own`,
    async () => {
      const namespace = uniquePartition('ns');
      const [stuck, sound] = [uniquePartition('stuck'), uniquePartition('sound')];
      const sightings = new Sightings();
      const { jobs, ...app } = await startApp(
        {
          connection: { uri: broker.uri },
          namespace,
          ledgerShards: 1,
          partitions: { [stuck]: { default: 5, mail: 5 }, [sound]: { default: 5 } },
          enqueueTimeoutMs: 60_000,
        },
        [...KEYED, Work, sightings.of('worker')],
      );
      await Promise.all([served({ jobs, ...app }, stuck), served({ jobs, ...app }, sound)]);
      const enqueue = async (place: { partition: string; queue?: string }, name: string, count: number) => {
        const ids = Array.from({ length: count }, (_, n) => `${place.partition}-${place.queue}-${name}-${n}`);
        await Promise.all(
          ids.flatMap((id, n) => [
            jobs.enqueue(Work, {}, { ...place, id: `${id}-u` }),
            jobs.enqueue(KeyedWork, { executionKey: `${name}-${n % 7}` }, { ...place, id: `${id}-k` }),
          ]),
        );
        return ids.flatMap((id) => [`${id}-u`, `${id}-k`]);
      };
      await sightings.ended(await enqueue({ partition: stuck, queue: 'default' }, 'before', jobsBefore));
      // The ledger is there: what is measured is the way to the queues.
      await sightings.ended(await enqueue({ partition: sound, queue: 'default' }, 'before', 1));

      await queueProcess('suspend', stuck, namespace);
      const stuckSince = performance.now();
      const stuckJobs = enqueue({ partition: stuck, queue: 'default' }, 'stuck', 60);
      try {
        for (let round = 0; performance.now() - stuckSince < STUCK_MS; round++) {
          const beganAt = performance.now();
          const ids = await Promise.all([
            enqueue({ partition: sound, queue: 'default' }, `beside-${round}`, 20),
            enqueue({ partition: stuck, queue: 'mail' }, `beside-${round}`, 20),
          ]);
          await sightings.ended(ids.flat());
          expect(performance.now() - beganAt).toBeLessThan(SOUND_MS);
        }
      } finally {
        await queueProcess('resume', stuck, namespace);
      }
      await sightings.ended(await within('the enqueues to the stuck queue', stuckJobs, undefined, 40_000));
      expect(sightings.repeated('ended')).toEqual([]);
    },
    90_000,
  );
}
