// What a broker node has sent to a worker can be lost on its way when that node is cut off from the others: then the broker
// takes it for the worker's, who knows nothing of it.
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import type { TestApp } from '../support/app';
import { testsAtOnce } from '../support/at-once';
import { uniquePartition } from '../support/broker';
import { Sightings } from '../support/sightings';
import { Work } from '../support/work';

const JOBS = 400;
/** A quiet queue is looked at every ten seconds, and it has to be quiet first. */
const LOOKED_AT_MS = 25_000;

const together = testsAtOnce(4);

let broker: PrivateRabbitmq;
beforeAll(async () => {
  broker = await startPrivateRabbitmq();
});
afterAll(() => broker.stop());

/** The broker gives the first job that waits to the worker's channel, for a consumer that is none any more, and tells nobody. */
async function loseOneOnItsWay(partition: string): Promise<void> {
  const answer = await broker.ctl(
    'eval',
    `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${partition}-default">>)),
     [First | _] = rabbit_amqqueue:consumers(Q),
     {ok, {dequeue, {_, _}, _}, _} = ra:process_command(amqqueue:get_pid(Q),
       rabbit_fifo:make_checkout({<<"gone">>, element(1, First)}, {dequeue, unsettled}, #{})),
     lost.`,
  );
  expect(answer.trim()).toBe('lost');
}

/** A worker that has done all but the one that was lost. */
async function workThatLacksOne(): Promise<{
  app: TestApp;
  partition: string;
  sightings: Sightings;
  ids: string[];
}> {
  const partition = uniquePartition('lost');
  const sightings = new Sightings();
  const app = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 1 } }, shutdownTimeoutMs: 0 },
    [Work, sightings.of('worker')],
  );
  await served(app, partition);
  await app.jobs.enqueue(Work, { isHeld: true }, { partition, id: 'held' });
  await sightings.seen('began', 1);
  const ids = Array.from({ length: JOBS }, (_, n) => `job-${n}`);
  await app.jobs.enqueueMany(ids.map((id) => app.jobs.create(Work, {}, { partition, id })));
  await loseOneOnItsWay(partition);
  sightings.release();
  await sightings.seen('ended', JOBS);
  return { app, partition, sightings, ids };
}

together('a job that was lost on its way to a worker comes back when its queue is paused', async () => {
  const { app, partition, sightings, ids } = await workThatLacksOne();
  await app.globalState.pauseQueue(partition, 'default');
  await app.globalState.resumeQueue(partition, 'default');
  await sightings.ended(ids);
});

together('and, where consumers were cancelled before, when its queue is quiet', async () => {
  const { partition, sightings, ids, app } = await workThatLacksOne();
  await eventually(
    'the last job',
    () => Promise.resolve(sightings.ids('ended').length === JOBS + 1),
    LOOKED_AT_MS,
  );
  expect([...sightings.ids('ended')].sort()).toEqual([...ids, 'held'].sort());
  await served(app, partition);
});
