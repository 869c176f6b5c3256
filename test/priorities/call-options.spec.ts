// What a call says of its job only holds for it: its time, its retries, its place; and what is wrong is refused at once.
import { IsEmail } from 'class-validator';
import {
  InvalidEnqueueOptionsError,
  InvalidJobDefinitionError,
  JobTimeoutError,
  RogerJob,
} from 'nestjs-roger';
import type { EnqueueOptions, JobContext } from 'nestjs-roger';
import { eventually, served, startApp } from '../support/app';
import { uniquePartition } from '../support/broker';
import { keyedPartition } from '../support/keyed-partition';
import { Signals } from '../support/signal';
import { within } from '../support/within';

let attempts: Signals<number>;
let reasons: Signals<unknown>;

beforeEach(() => {
  attempts = new Signals();
  reasons = new Signals();
});

interface Args {
  executionKey?: string;
  waits?: boolean;
}

@RogerJob({
  name: 'failing',
  retryable: { levels: [1] },
  maxExecutionTimeSeconds: 60,
  executionKey: ({ executionKey }: Args) => executionKey,
})
class Failing {
  async perform({ waits = false }: Args, { attempt, signal }: JobContext): Promise<void> {
    attempts.add(attempt);
    if (!waits) throw new Error('as ever');
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        resolve();
      });
    });
    reasons.add(signal.reason);
    throw signal.reason;
  }
}

class Address {
  @IsEmail() address!: string;
}

@RogerJob({ args: Address })
class Invite {
  perform(_args: Address): void {
    throw new Error('nobody enqueues it');
  }
}

const kinds = [
  ['without keys', {}],
  ['with a key', { executionKey: 'k' }],
] as const;

async function start() {
  const { partition, worker } = keyedPartition();
  const app = await startApp(worker, [Failing, Invite]);
  await served(app, partition);
  const buried = async (): Promise<boolean> =>
    (await app.info.queueDepth(partition, 'default'))?.buried === 1;
  return { ...app, partition, buried };
}

test.each(kinds)('maxRetries: 0 is one attempt only, then buried: %s', async (_kind, args) => {
  const { jobs, partition, buried } = await start();
  await jobs.enqueue(Failing, args, { partition, maxRetries: 0 });
  await eventually('the job to be buried', buried);
  expect(attempts.seen).toEqual([1]);
});

test.each(kinds)('more retries than levels: the last level is used again: %s', async (_kind, args) => {
  const { jobs, partition, buried } = await start();
  await jobs.enqueue(Failing, args, { partition, maxRetries: 2, priority: 4 });
  await eventually('the job to be buried', buried);
  expect(attempts.seen).toEqual([1, 2, 3]);
});

test.each(kinds)("a job's own time limit goes before its definition's: %s", async (_kind, args) => {
  const { jobs, partition, buried } = await start();
  await jobs.enqueue(
    Failing,
    { ...args, waits: true },
    { partition, maxExecutionTimeSeconds: 0.2, maxRetries: 0 },
  );
  const [reason] = await within('the abort', reasons.count(1));
  expect(reason).toBeInstanceOf(JobTimeoutError);
  await eventually('the job to be buried', buried);
});

test.each<[string, object, string]>([
  ['a priority above 9', { priority: 10 }, 'priority'],
  ['a priority that is no whole number', { priority: 1.5 }, 'priority'],
  ['a priority that is a text', { priority: '9' }, 'priority'],
  ['runNow that is no boolean', { runNow: 'yes' }, 'runNow'],
  ['runNow together with a delay', { runNow: true, delayMs: 5_000 }, 'runNow'],
  ['runNow together with a time', { runNow: true, runAt: new Date(Date.now() + 60_000) }, 'runNow'],
  ['no time at all', { maxExecutionTimeSeconds: 0 }, 'maxExecutionTimeSeconds'],
  ['a negative number of retries', { maxRetries: -1 }, 'maxRetries'],
])('%s is refused at enqueue, and named', async (_what, wrong, path) => {
  const partition = uniquePartition();
  const { jobs } = await startApp({ partitions: { [partition]: { default: 1 } } }, [Failing]);
  const options = { partition, ...wrong } as EnqueueOptions;
  const refused = jobs.enqueue(Failing, {}, options);
  await expect(refused).rejects.toThrow(InvalidEnqueueOptionsError);
  await expect(refused).rejects.toMatchObject({ problems: [{ path }] });
});

test("a definition's priority that is none stops the start", async () => {
  @RogerJob({ name: 'wrong', priority: -1 })
  class Wrong {
    perform(): void {
      throw new Error('it never runs');
    }
  }
  const starting = startApp({ partitions: { [uniquePartition()]: { default: 1 } } }, [Wrong]);
  await expect(starting).rejects.toThrow(InvalidJobDefinitionError);
});

test('validate tells what enqueue would refuse, and enqueues nothing', async () => {
  const partition = uniquePartition();
  const { jobs, info } = await startApp({ partitions: { [partition]: { default: 0 } }, maxJobBytes: 2_000 }, [
    Failing,
    Invite,
  ]);
  expect(await jobs.validate(Invite, { address: 'a@example.com' })).toEqual([]);
  expect(await jobs.validate(Invite, { address: 'nobody' })).toMatchObject([{ path: 'address' }]);
  expect(await jobs.validate(Failing, { executionKey: 1n } as never)).toMatchObject([
    { path: 'executionKey' },
  ]);
  expect(await jobs.validate(Failing, { executionKey: 'x'.repeat(3_000) })).toMatchObject([{ path: '' }]);
  expect((await info.queueDepth(partition, 'default'))?.ready ?? 0).toBe(0);
});
