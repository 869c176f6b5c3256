// Many jobs at once: never more on their way than there is room for, and none given up while room may still come.
import { IsString } from 'class-validator';
import { noteJobOptions } from '../job/define-job';
import { EnqueueBufferFullError } from '../job/errors';
import { DefinitionGates } from '../job/definition-gates';
import { JobRegistry } from '../job/job-registry';
import type { OutgoingJob, Transport, TransportState } from '../transport';
import { JobQueue } from './job-queue';

const MIB = 1024 * 1024;

class Note {
  perform(_args: { text: string }): void {
    // Nobody runs it.
  }
}
noteJobOptions(Note, {});

class Text {
  @IsString() text!: string;
}

class CheckedNote {
  perform(_args: Text): void {
    // Nobody runs it.
  }
}
noteJobOptions(CheckedNote, { args: Text });

/** A broker that confirms when the test says so, behind a buffer that the test opens and shuts. */
class HeldTransport {
  state: TransportState = 'connected';
  isFull = false;
  /** Publishes are refused for lack of room. */
  isShut = false;
  tries = 0;
  most = 0;
  private readonly confirms: (() => void)[] = [];
  private bytes = 0;

  publish(job: OutgoingJob): Promise<void> {
    this.tries++;
    if (this.isShut) return Promise.reject(new EnqueueBufferFullError(100 * MIB));
    this.bytes += job.body.length;
    this.most = Math.max(this.most, this.bytes);
    return new Promise((resolve) => {
      this.confirms.push(() => {
        this.bytes -= job.body.length;
        resolve();
      });
    });
  }

  get underWay(): number {
    return this.confirms.length;
  }

  async confirm(count: number): Promise<void> {
    for (const confirm of this.confirms.splice(0, count)) confirm();
    await this.quiet();
  }

  /** Resolves when the enqueueing waits: three turns of the event loop went by and nothing was published. */
  async quiet(): Promise<void> {
    for (let still = 0, tries = this.tries; still < 3; still++, tries = this.tries) {
      await turn();
      if (this.tries !== tries) still = -1;
    }
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function queueOn(transport: HeldTransport): JobQueue {
  return new JobQueue({
    registry: new JobRegistry(),
    gates: new DefinitionGates(),
    transport: transport as unknown as Transport,
    ledgers: { enqueue: () => Promise.resolve({}), keepCancels: () => Promise.resolve() },
    awaited: {
      expect: () => {
        throw new Error('no job here is awaitable');
      },
    },
    configured: { ids: ['acme'], only: 'acme', has: ({ queue }) => queue === 'default' },
    maxJobBytes: 16 * MIB,
  });
}

function* notes(count: number, bytes = 1): Generator<{ text: string }> {
  const text = 'x'.repeat(bytes);
  for (let n = 0; n < count; n++) yield { text };
}

let transport: HeldTransport;
let jobs: JobQueue;

beforeEach(() => {
  transport = new HeldTransport();
  jobs = queueOn(transport);
});

/** Confirms until the batch is over. */
async function confirmAll<T>(result: Promise<T>): Promise<T> {
  const batch = { isOver: false };
  const over = result.finally(() => (batch.isOver = true));
  while (!batch.isOver) await transport.confirm(transport.underWay);
  return over;
}

test.each([
  ['without a DTO', Note],
  ['with a DTO', CheckedNote],
])('no more than 1000 are on their way at a time: %s', async (_how, jobClass) => {
  const result = jobs.enqueueMany(jobClass, notes(2_500));
  await transport.quiet();
  expect(transport.underWay).toBe(1_000);
  await transport.confirm(1);
  expect(transport.underWay).toBe(1_000);
  expect(await confirmAll(result)).toEqual({ enqueued: 2_500, duplicates: [], failures: [] });
});

test.each([
  ['without a DTO', Note],
  ['with a DTO', CheckedNote],
])('no more than 16 MiB are on their way at a time, and one job: %s', async (_how, jobClass) => {
  const result = jobs.enqueueMany(jobClass, notes(100, MIB));
  await transport.quiet();
  expect(transport.underWay).toBe(16);
  expect(await confirmAll(result)).toEqual({ enqueued: 100, duplicates: [], failures: [] });
  expect(transport.most).toBeLessThan(17 * MIB);
});

test('while the buffer is full, no further jobs are taken; one of ours that ends tells that there may be room', async () => {
  let taken = 0;
  function* counted(): Generator<{ text: string }> {
    for (const note of notes(10)) {
      if (++taken === 3) transport.isFull = true;
      yield note;
    }
  }
  const result = jobs.enqueueMany(Note, counted());
  await transport.quiet();
  expect(taken).toBe(3);
  await transport.confirm(1);
  expect(taken).toBe(3);
  transport.isFull = false;
  await transport.confirm(1);
  expect(taken).toBe(10);
  expect(await confirmAll(result)).toEqual({ enqueued: 10, duplicates: [], failures: [] });
});

test('a buffer that others have filled does not keep the first job from waiting its turn there', async () => {
  transport.isFull = true;
  const result = jobs.enqueueMany(Note, notes(3));
  await transport.quiet();
  expect(transport.underWay).toBe(1);
  expect(await confirmAll(result)).toEqual({ enqueued: 3, duplicates: [], failures: [] });
});

test('a job without room is tried again when others of the batch have ended', async () => {
  function* shutting(): Generator<{ text: string }> {
    yield* notes(3);
    transport.isShut = true;
    yield* notes(3);
  }
  const result = jobs.enqueueMany(Note, shutting());
  await transport.quiet();
  await transport.confirm(1);
  expect(transport.underWay).toBe(2);
  transport.isShut = false;
  await transport.confirm(1);
  expect(transport.underWay).toBeGreaterThan(1);
  expect(await confirmAll(result)).toEqual({ enqueued: 6, duplicates: [], failures: [] });
});

test('while a job waits for others to end, no further ones are taken: it would not get its turn', async () => {
  let taken = 0;
  async function* counted(): AsyncGenerator<{ text: string }> {
    for await (const note of laterNotes(10)) {
      transport.isShut = taken++ >= 2;
      yield note;
    }
  }
  const result = jobs.enqueueMany(Note, counted());
  while (taken < 3) await turn();
  await transport.quiet();
  // The next was asked for before the refusal was known.
  expect(taken).toBeLessThanOrEqual(4);
  await transport.confirm(2);
  expect((await result).enqueued).toBe(2);
});

test('is reported when nothing of the batch is under way any more and there is still no room', async () => {
  function* shutting(): Generator<{ text: string }> {
    yield* notes(3);
    transport.isShut = true;
    yield* notes(3);
  }
  let isOver = false;
  const result = jobs.enqueueMany(Note, shutting()).finally(() => (isOver = true));
  await transport.quiet();
  await transport.confirm(2);
  expect(isOver).toBe(false);
  await transport.confirm(1);
  const { enqueued, failures } = await result;
  expect(enqueued).toBe(3);
  expect(failures.map(({ index }) => index)).toEqual([3, 4, 5]);
  for (const { error } of failures) expect(error).toBeInstanceOf(EnqueueBufferFullError);
});

test('once the buffer had no room for a time limit and the broker is away, the rest is not tried one by one', async () => {
  transport.isShut = true;
  transport.state = 'connecting';
  const { failures } = await jobs.enqueueMany(Note, laterNotes(1_000));
  expect(failures).toHaveLength(1_000);
  expect(transport.tries).toBeLessThan(10);
});

async function* laterNotes(count: number): AsyncGenerator<{ text: string }> {
  for (const note of notes(count)) {
    await turn();
    yield note;
  }
}
