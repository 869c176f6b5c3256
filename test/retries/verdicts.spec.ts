// What a handler throws to say itself what becomes of its job holds on the broker, with keys and without.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { BuriedJobs, BuryJob, DiscardJob, RetryJob, RogerJob, SnoozeJob } from 'nestjs-roger';
import { eventually, startApp, type TestApp } from '../support/app';
import { keyedPartition } from '../support/keyed-partition';
import { Signals } from '../support/signal';
import { within } from '../support/within';

type Verdict = 'retry' | 'bury' | 'discard' | 'snooze';

interface Args {
  verdict: Verdict;
  queueKey?: string;
}

const runs = new Signals<{ id: string; attempt: number; at: number }>();

/** Not retryable, so that what is retried was by its handler. */
@RogerJob({ retryable: false, queueKey: ({ queueKey }: Args) => queueKey })
class Judge implements JobHandler<Args> {
  perform({ verdict }: Args, { job: { id }, attempt }: JobContext): void {
    const isFirst = runs.seen.every((run) => run.id !== id);
    runs.add({ id, attempt, at: performance.now() });
    if (!isFirst) return;
    switch (verdict) {
      case 'retry':
        throw new RetryJob({ delayMs: 1_500 });
      case 'bury':
        throw new BuryJob('broken');
      case 'discard':
        throw new DiscardJob('gone');
      case 'snooze':
        throw new SnoozeJob({ delayMs: 1_500 });
    }
  }
}

let partition: string;
let app: TestApp;

beforeEach(async () => {
  runs.seen.length = 0;
  const keyed = keyedPartition();
  ({ partition } = keyed);
  app = await startApp(keyed.worker, [Judge]);
});

const KINDS = [
  ['without keys', undefined],
  ['with a key', 'key'],
] as const;

/** Enqueues one and waits for its run. */
async function judge(verdict: Verdict, queueKey: string | undefined, count = 1): Promise<void> {
  await app.jobs.enqueue(
    Judge,
    { verdict, ...(queueKey === undefined ? {} : { queueKey }) },
    { partition, id: 'a' },
  );
  await within(`run ${count}`, runs.count(count), () =>
    JSON.stringify([runs.seen, app.log.messages('log', 'warn', 'error')]),
  );
}

function isOver(): Promise<void> {
  return eventually('the key to be free', async () => {
    return (await app.globalState.isQueued(partition, 'key')) === undefined;
  });
}

/** The second run came after the delay of 1.5 s, as whole seconds. */
function expectDelay(): void {
  const [first, second] = runs.seen;
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(1_900);
}

describe.each(KINDS)('of a job %s', (_kind, queueKey) => {
  test('RetryJob brings it back after its delay, as the next attempt', async () => {
    await judge('retry', queueKey, 2);
    expect(runs.seen).toMatchObject([{ attempt: 1 }, { attempt: 2 }]);
    expectDelay();
    await isOver();
  });

  test('SnoozeJob brings it back after its delay, as the same attempt', async () => {
    await judge('snooze', queueKey, 2);
    expect(runs.seen).toMatchObject([{ attempt: 1 }, { attempt: 1 }]);
    expectDelay();
    await isOver();
  });

  test('BuryJob puts it among the buried with its reason, and frees its key', async () => {
    await judge('bury', queueKey);
    await isOver();
    await eventually('it to be buried', async () => {
      return (await app.info.queueDepth(partition, 'default'))?.buried === 1;
    });
    const [buried] = await app.app.get(BuriedJobs).list(partition, 'default');
    expect(buried).toMatchObject({ id: 'a', reason: { type: 'BuryJob', message: 'broken' } });
  });

  test('DiscardJob ends it with a line in the log, and frees its key', async () => {
    await judge('discard', queueKey);
    await isOver();
    await eventually('it to be counted', () => app.partitions.queues(partition)[0]?.counts.discarded === 1);
    expect(app.log.messages('log')).toContain('Job Judge a is discarded by its handler: gone');
    expect(await app.info.queueDepth(partition, 'default')).toMatchObject({ ready: 0, buried: 0 });
  });
});
