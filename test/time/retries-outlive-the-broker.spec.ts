// Ten thousand jobs wait in a retry level while their broker is killed: none is lost, and none comes back early.
import { monitorEventLoopDelay } from 'node:perf_hooks';
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

/** Tells what holds the jobs up: the broker, what this process has with it, or that nobody lets this process run. */
class Watch {
  private readonly beganAt = performance.now();
  private readonly cpu = process.cpuUsage();
  private readonly loop = monitorEventLoopDelay({ resolution: 10 });

  constructor() {
    this.loop.enable();
  }

  end(): void {
    this.loop.disable();
  }

  async report(): Promise<string> {
    const { user, system } = process.cpuUsage(this.cpu);
    const share = (user + system) / 1_000 / (performance.now() - this.beganAt);
    const own =
      `This process had ${(share * 100).toFixed(0)} % of a core; its event loop was late by ` +
      `${(this.loop.mean / 1e6).toFixed(0)} ms on average, ${(this.loop.max / 1e6).toFixed(0)} at most.`;
    const lists = [
      ['list_queues', 'name', 'messages_ready', 'messages_unacknowledged', 'consumers'],
      ['list_consumers', 'queue_name', 'channel_pid', 'consumer_tag', 'prefetch_count'],
      ['list_channels', 'pid', 'consumer_count', 'messages_unacknowledged', 'messages_unconfirmed'],
    ].map((command) => broker.ctl(...command).catch(String));
    return [own, ...(await Promise.all(lists))].join('\n');
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
  const watch = new Watch();
  const ids = Array.from({ length: JOBS }, (_, n) => `job-${n}`);
  const { failures } = await app.jobs.enqueueMany(
    ids.map((id) => app.jobs.create(FailsOnce, {}, { partition, id })),
  );
  expect(failures).toEqual([]);
  const counts = (): string => `${attempts.failedAt.size} have failed and ${attempts.backAt.size} are back`;
  const untilBack = (what: string, isSo: () => boolean): Promise<void> =>
    eventually(what, isSo, 60_000, counts).catch(async (cause: unknown) => {
      throw new Error(await watch.report(), { cause });
    });
  // Some are back, some wait, some have not begun, perhaps.
  await untilBack('some to be back', () => attempts.backAt.size >= 100);
  await broker.kill();
  await eventually('the loss to be noticed', () => app.nodeInfo.waitingPartitions().length === 1);
  await broker.start();
  await untilBack('all to be back', () => attempts.backAt.size === JOBS);
  watch.end();
  const earlyMs = ids.map(
    (id) => (attempts.failedAt.get(id) ?? 0) + LEVEL_SECONDS * 1_000 - (attempts.backAt.get(id) ?? 0),
  );
  expect(Math.max(...earlyMs)).toBeLessThan(1_000);
});
