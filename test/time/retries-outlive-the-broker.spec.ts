// Ten thousand jobs wait in a retry level while their broker is killed: none is lost, and none comes back early.
import { Injectable } from '@nestjs/common';
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { startPrivateRabbitmq } from 'private-rabbitmq';
import type { PrivateRabbitmq } from 'private-rabbitmq';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';

const JOBS = 10_000;
const LEVEL_SECONDS = 5;
/**
 * As the README advises: a confirm of what leaves a level gets lost now and then, and by default the broker waits three
 * minutes for it.
 */
const CONFIRM_TIMEOUT = '[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]}].\n';

/** When each job failed first and when it came back, by a clock that doesn't jump. */
@Injectable()
class Attempts {
  readonly failedAt = new Map<string, number>();
  readonly backAt = new Map<string, number>();
}

@RogerJob({ name: 'fails-once', retryable: { levels: [LEVEL_SECONDS] } })
class FailsOnce implements JobHandler {
  constructor(private readonly attempts: Attempts) {}

  perform(_args: unknown, { job, attempt }: JobContext): void {
    const now = performance.now();
    if (attempt > 1) {
      if (!this.attempts.backAt.has(job.id)) this.attempts.backAt.set(job.id, now);
      return;
    }
    // What was not settled when the broker died fails a second time.
    if (!this.attempts.failedAt.has(job.id)) this.attempts.failedAt.set(job.id, now);
    throw new Error('the first attempt');
  }
}

let broker: PrivateRabbitmq;
beforeAll(async () => {
  broker = await startPrivateRabbitmq({ advancedConfiguration: CONFIRM_TIMEOUT });
});
afterAll(() => broker.stop());

test('none of 10000 jobs between two attempts is lost or early when the broker is killed', async () => {
  const partition = uniquePartition();
  const app = await startApp(
    { connection: { uri: broker.uri }, partitions: { [partition]: { default: 100 } } },
    [FailsOnce, Attempts],
  );
  await served(app, partition);
  const attempts = app.app.get(Attempts);
  const ids = Array.from({ length: JOBS }, (_, n) => `job-${n}`);
  const { failures } = await app.jobs.enqueueMany(
    ids.map((id) => app.jobs.create(FailsOnce, {}, { partition, id })),
  );
  expect(failures).toEqual([]);
  const counts = (): string => `${attempts.failedAt.size} have failed and ${attempts.backAt.size} are back`;
  // Some are back, some wait, some have not begun, perhaps.
  await eventually('some to be back', () => attempts.backAt.size >= 100, 60_000, counts).catch(
    async (cause: unknown) => {
      const queues = await broker.ctl(
        'list_queues',
        'name',
        'messages_ready',
        'messages_unacknowledged',
        'consumers',
      );
      throw new Error(queues, { cause });
    },
  );
  await broker.kill();
  await eventually('the loss to be noticed', () => app.nodeInfo.waitingPartitions().length === 1);
  await broker.start();
  await eventually('all to be back', () => attempts.backAt.size === JOBS, 60_000, counts);
  const earlyMs = ids.map(
    (id) => (attempts.failedAt.get(id) ?? 0) + LEVEL_SECONDS * 1_000 - (attempts.backAt.get(id) ?? 0),
  );
  expect(Math.max(...earlyMs)).toBeLessThan(1_000);
});
