// Whoever may enqueue can write anything into a job; as its reply-to it reaches nobody but a node, and harms no job.
import type { BeforeRunEvent, Job } from 'nestjs-roger';
import { RogerCallbacks } from 'nestjs-roger';
import { connect } from 'amqplib';
import { eventually, startApp } from '../support/app';
import { sharedBrokerUri, uniquePartition } from '../support/broker';
import { ResultWork } from '../support/result-work';
import { Sightings } from '../support/sightings';
import { encodeFrame } from '../../libs/roger/src/ledger/frame';
import { encodeJob } from '../../libs/roger/src/job/job-codec';

const connection = { uri: sharedBrokerUri() };
const soon = { timeoutMs: 15_000 };
const token = 'a'.repeat(22);

test('a job with a forged reply-to runs, and its outcome goes nowhere', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const app = await startApp({ connection, partitions }, [ResultWork, sightings.of('one')]);
  await eventually('the queue', () => app.partitions.isRunning(partition));
  const model = await connect(connection.uri);
  const channel = await model.createConfirmChannel();
  const victim = `victim-${partition}`;
  await channel.assertQueue(victim, { exclusive: true });
  await channel.assertQueue(`roger.node.${victim}.x`, { exclusive: true });
  const forged: unknown[] = [
    { node: victim, token },
    { node: `../${victim}`, token },
    { node: `${victim}.x`, token },
    { node: { toString: 'x' }, token },
    { node: 'n'.repeat(300), token },
    { node: 'nobody', token: '' },
    { node: 'nobody', token },
    'text',
    null,
    [],
    7,
  ];
  for (const [n, replyTo] of forged.entries()) {
    const job: Job = {
      id: `j${n}`,
      name: 'result-work',
      partition,
      queue: 'default',
      args: {},
      attempt: 1,
      queuedAt: 0,
      replyTo: replyTo as NonNullable<Job['replyTo']>,
    };
    channel.publish('roger.jobs', `${partition}-default`, encodeJob(job), { persistent: true });
  }
  await channel.waitForConfirms();
  await eventually('all to be done', () => {
    const counts = app.partitions.queues(partition)[0]?.counts;
    return counts?.done === forged.length;
  });
  expect((await channel.checkQueue(victim)).messageCount).toBe(0);
  expect((await channel.checkQueue(`roger.node.${victim}.x`)).messageCount).toBe(0);
  await model.close();
});

test('mail with an outcome that nobody can know the token of ends no wait, and malformed mail no node', async () => {
  const partition = uniquePartition();
  const partitions = { [partition]: { default: 5 } };
  const sightings = new Sightings();
  const seen: Job[] = [];
  @RogerCallbacks()
  class Spy {
    beforeRun({ job }: BeforeRunEvent): void {
      seen.push(job);
    }
  }
  const app = await startApp({ connection, partitions }, [ResultWork, Spy, sightings.of('one')]);
  const awaitable = { partition, awaitable: true } as const;
  const { finished } = await app.jobs.enqueue(ResultWork, { isHeld: true, gives: 1 }, awaitable);
  await sightings.seen('began', 1);
  const { node = '', token: real = '' } = seen[0]?.replyTo ?? {};
  const model = await connect(connection.uri);
  const channel = await model.createConfirmChannel();
  const done = { kind: 'done' };
  const mails = [
    { mail: 'outcome', node, token, outcome: done },
    { mail: 'outcome', node, token: '__proto__', outcome: done },
    { mail: 'outcome', node, token: real, outcome: { kind: 'whatever' } },
    { mail: 'outcome', node, token: real, outcome: null },
    { mail: 'watch', node: '../x', jobs: [[partition, 'j']] },
    { mail: 'watch', node, jobs: Array(1_000).fill([partition, 'j']) },
    { mail: 'progress', node, partition, id: 'j', attempt: 'x' },
    null,
  ];
  for (const mail of mails) channel.publish('', `roger.node.${node}`, encodeFrame(mail));
  await channel.waitForConfirms();
  await expect(finished({ timeoutMs: 300 })).rejects.toMatchObject({ code: 'ROGER_JOB_NOT_FINISHED' });
  sightings.release();
  expect(await finished(soon)).toMatchObject({ value: 1 });
  await model.close();
});
