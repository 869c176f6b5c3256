// What enqueue takes, what it refuses and how it says so; nothing wrong is ever sent.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Transform, Type } from 'class-transformer';
import { IsEmail, IsInt, ValidateNested } from 'class-validator';
import {
  type EnqueueOptions,
  InvalidEnqueueOptionsError,
  InvalidJobArgsError,
  InvalidJobDefinitionError,
  type Job,
  type JobClass,
  JobTooLargeError,
  MemoryBroker,
  NotAJobClassError,
  QueueFullError,
  QueueNotFoundError,
  RogerJob,
} from 'nestjs-roger';
import { startApp } from './support/app';
import { Kept } from './support/heap';
import { Signals } from './support/signal';
import { within } from './support/within';

@RogerJob({ name: 'note' })
class Note {
  perform(_args: unknown): void {
    // Producers only: nothing runs here.
  }
}

class Address {
  @IsEmail() mail!: string;
}

class Order {
  @IsInt() id!: number;
  @ValidateNested() @Type(() => Address) to!: Address;
  @ValidateNested({ each: true }) @Type(() => Address) copies!: Address[];
}

@RogerJob({ args: Order })
class Ship {
  perform(_args: Order): void {
    // Producers only: nothing runs here.
  }
}

/** Throws whatever it is given, as JavaScript may. */
const throwing = (thrown: unknown) => (): never => {
  throw thrown;
};

const ONE = { acme: { default: 1, mail: 1 } };

/** An app that only enqueues, and the number of jobs that it has sent to partition acme. */
async function producer(partitions: Record<string, Record<string, number>> = ONE, more: object = {}) {
  const memory = new MemoryBroker();
  const { jobs, info } = await startApp({ memory, mode: 'producer', partitions, ...more });
  const sent = async (queue = 'default', partition = 'acme'): Promise<number> =>
    (await info.queueDepth(partition, queue))?.ready ?? 0;
  return { jobs, sent, memory };
}

async function refusalOf(attempt: Promise<unknown>): Promise<Error> {
  return attempt.then(throwing(new Error('It was taken')), (error: unknown) => error as Error);
}

describe('a job that is taken', () => {
  test('says what it became', async () => {
    const { jobs, sent } = await producer();
    const before = Date.now();
    const { status, job } = await jobs.enqueue(Note, { text: 'x' });
    expect(status).toBe('enqueued');
    expect(job).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f-]{27}$/) as string,
      name: 'note',
      partition: 'acme',
      queue: 'default',
      args: { text: 'x' },
      attempt: 1,
      queuedAt: expect.any(Number) as number,
    });
    expect(job.queuedAt).toBeGreaterThanOrEqual(before);
    expect(job.queuedAt).toBeLessThanOrEqual(Date.now());
    expect(await sent()).toBe(1);
  });

  test('goes where the options say', async () => {
    const { jobs, sent } = await producer({ acme: { default: 1 }, umbrella: { mail: 1 } });
    const { job } = await jobs.enqueue(Note, {}, { partition: 'umbrella', queue: 'mail', id: 'order/7' });
    expect(job).toMatchObject({ partition: 'umbrella', queue: 'mail', id: 'order/7' });
    expect(await sent('mail', 'umbrella')).toBe(1);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a text', 'x'],
    ['a number', 0],
    ['false', false],
    ['a list', [1, [2]]],
    ['an instance of a class', Object.assign(new Order(), { id: 1 })],
  ])('may have %s for args', async (_what, args) => {
    const { jobs, sent } = await producer();
    await jobs.enqueue(Note, args as object);
    expect(await sent()).toBe(1);
  });

  test('may take its own id again: Roger does not claim to know that it is new', async () => {
    const { jobs, sent } = await producer();
    await jobs.enqueue(Note, {}, { id: 'same' });
    await jobs.enqueue(Note, {}, { id: 'same' });
    expect(await sent()).toBe(2);
  });

  class Count {
    @IsInt() n!: number;
  }

  test.each([
    ['without a DTO', {}],
    ['with a DTO', { args: Count }],
  ])(
    'arrives as it was when it was enqueued, whatever happens to the args afterwards: %s',
    async (_how, dto) => {
      const runs = new Signals<unknown>();
      @RogerJob(dto)
      class Tell {
        perform(args: Count): void {
          runs.add(args.n);
        }
      }
      const { jobs } = await startApp({ partitions: { acme: { default: 1 } } }, [Tell]);
      const args = { n: 1 };
      const enqueued = jobs.enqueue(Tell, args);
      args.n = 2;
      await enqueued;
      expect(await within('the job', runs.count(1))).toEqual([1]);
    },
  );
});

describe('the partition', () => {
  test('may be left out where there is one', async () => {
    const { jobs } = await producer();
    expect(jobs.create(Note, {}).partition).toBe('acme');
  });

  test('must be said where there are several, or none', async () => {
    const several = await producer({ acme: { default: 1 }, umbrella: { default: 1 } });
    expect(() => several.jobs.create(Note, {})).toThrow(
      'partition: say which one: { partition }; configured are acme, umbrella',
    );
    const none = await producer({});
    expect(() => none.jobs.create(Note, {})).toThrow(
      'partition: no partition is configured here, so say which one',
    );
    expect(() => none.jobs.create(Note, {})).toThrow(InvalidEnqueueOptionsError);
  });

  test('that nobody has declared is an error that names it and its queue', async () => {
    const { jobs } = await producer();
    const error = await refusalOf(jobs.enqueue(Note, {}, { partition: 'umbrela' }));
    expect(error).toBeInstanceOf(QueueNotFoundError);
    expect(error).toMatchObject({ partition: 'umbrela', queue: 'default' });
    await expect(jobs.enqueue(Note, {}, { queue: 'mial' })).rejects.toThrow(
      'Partition "acme" has no queue "mial"',
    );
  });

  test('that is configured is declared by itself, before any worker has started', async () => {
    const { jobs, sent } = await producer();
    await jobs.enqueue(Note, {}, { queue: 'mail' });
    expect(await sent('mail')).toBe(1);
  });

  test.each(['constructor', '__proto__', 'toString'])('named %s is as unknown as any other', async (name) => {
    const { jobs } = await producer();
    await expect(jobs.enqueue(Note, {}, { partition: name })).rejects.toThrow(QueueNotFoundError);
  });
});

describe('options that are refused', () => {
  const long = 'x'.repeat(129);
  test.each<[what: string, options: unknown, path: string, remedy: string]>([
    ['a misspelt option', { partion: 'acme' }, '"partion"', 'unknown option; did you mean "partition"?'],
    [
      'an option of something else',
      { attempts: 3 },
      '"attempts"',
      'unknown option; known are partition, queue, id',
    ],
    ['an option with a newline', { 'a\nb': 1 }, '"a\\nb"', 'unknown option'],
    ['an empty partition', { partition: '' }, 'partition', '"" is no partition id'],
    ['a path for a partition', { partition: '../x' }, 'partition', '"../x" is no partition id'],
    ['a number for a partition', { partition: 5 }, 'partition', '5 is no partition id'],
    ['a queue in capitals', { queue: 'Mail' }, 'queue', '"Mail" is no queue name'],
    ['a queue with a hyphen', { queue: 'a-b' }, 'queue', '"a-b" is no queue name'],
    ['an empty id', { id: '' }, 'id', '"" is no job id'],
    ['an id with a space', { id: 'a b' }, 'id', '"a b" is no job id'],
    ['an id with control characters', { id: 'a\u0000\u009b' }, 'id', '"a\\u0000\\u009b" is no job id'],
    ['an id of 129 characters', { id: long }, 'id', 'is no job id: 1 to 128 printable ASCII'],
    ['an id in another script', { id: 'é' }, 'id', '"é" is no job id'],
    ['a number for an id', { id: 7 }, 'id', '7 is no job id'],
  ])('%s', async (_what, options, path, remedy) => {
    const { jobs, sent } = await producer();
    const error = await refusalOf(jobs.enqueue(Note, {}, options as EnqueueOptions));
    expect(error).toBeInstanceOf(InvalidEnqueueOptionsError);
    const { problems } = error as InvalidEnqueueOptionsError;
    expect(problems).toHaveLength(1);
    expect(problems[0]?.path).toBe(path);
    expect(problems[0]?.message).toContain(remedy);
    expect(await sent()).toBe(0);
  });

  test('are all told at once', async () => {
    const { jobs } = await producer();
    const error = await refusalOf(
      jobs.enqueue(Note, {}, { id: '', queue: 'A', partition: '.', prio: 1 } as EnqueueOptions),
    );
    expect((error as InvalidEnqueueOptionsError).problems.map(({ path }) => path)).toEqual([
      '"prio"',
      'id',
      'partition',
      'queue',
    ]);
  });

  test('a misspelt partition is told as such, also where the partition may not be left out', async () => {
    const { jobs } = await producer({ acme: { default: 1 }, umbrella: { default: 1 } });
    expect(() => jobs.create(Note, {}, { partion: 'acme' } as EnqueueOptions)).toThrow(
      '"partion": unknown option; did you mean "partition"?',
    );
  });
});

describe('args that are refused', () => {
  test.each<[string, unknown, string]>([
    ['undefined', undefined, 'undefined has no place in JSON'],
    ['a BigInt', { id: 1n }, 'id: a bigint has no place in JSON'],
    [
      'a circle',
      (() => {
        const a: Record<string, unknown> = {};
        return (a['a'] = a);
      })(),
      'it is circular',
    ],
    ['a Map', { byId: new Map() }, 'byId: a Map would not come out the same'],
    ['a Date', { at: new Date() }, 'at: a Date would come out as a string'],
    ['NaN', { list: [1, Number.NaN] }, 'list[1]: NaN has no place in JSON'],
    ['a function', { done: () => 1 }, 'done: a function has no place in JSON'],
    [
      'a toJSON that throws',
      {
        a: {
          toJSON: () => {
            throw new Error('x');
          },
        },
      },
      'a: an object with toJSON',
    ],
  ])('%s, with the path', async (_what, args, problem) => {
    const { jobs, sent } = await producer();
    const error = await refusalOf(jobs.enqueue(Note, args as object));
    expect(error).toBeInstanceOf(InvalidJobArgsError);
    expect(error.message).toContain('Invalid args for job "note": ');
    expect(error.message).toContain(problem);
    expect(() => jobs.create(Note, args as object)).toThrow(InvalidJobArgsError);
    expect(await sent()).toBe(0);
  });

  test('each wrong field of a DTO is listed, nested ones too, and nothing is sent', async () => {
    const { jobs, sent } = await producer();
    const wrong = { id: 'x', to: { mail: 'nobody' }, copies: [{ mail: 'a@example.org' }, { mail: '' }] };
    const error = await refusalOf(jobs.enqueue(Ship, wrong as never));
    expect(error).toBeInstanceOf(InvalidJobArgsError);
    expect((error as InvalidJobArgsError).problems).toEqual([
      { path: 'id', message: 'id must be an integer number' },
      { path: 'to.mail', message: 'mail must be an email' },
      { path: 'copies[1].mail', message: 'mail must be an email' },
    ]);
    expect(await sent()).toBe(0);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a list', []],
    ['a text', 'x'],
  ])('%s where a DTO is wanted', async (_what, args) => {
    const { jobs, sent } = await producer();
    await expect(jobs.enqueue(Ship, args as never)).rejects.toThrow(
      'args must be an object of the shape Order',
    );
    expect(await sent()).toBe(0);
  });

  test('a DTO whose own code throws on them is an error of the args, too', async () => {
    class Fragile {
      @IsInt()
      @Transform(() => {
        throw new Error('no such unit');
      })
      weight!: number;
    }
    @RogerJob({ args: Fragile })
    class Weigh {
      perform(_args: Fragile): void {
        // Never reached.
      }
    }
    const { jobs } = await producer();
    await expect(jobs.enqueue(Weigh, { weight: 1 })).rejects.toThrow(InvalidJobArgsError);
  });
});

describe('the size of a job', () => {
  test('is bounded to the byte, counted as encoded', async () => {
    const { jobs, sent } = await producer(ONE, { maxJobBytes: 1_000 });
    const sizeOf = async (text: string): Promise<number> => {
      const error = await refusalOf(jobs.enqueue(Note, { text }, { id: 'j' }));
      expect(error).toBeInstanceOf(JobTooLargeError);
      return (error as JobTooLargeError).bytes;
    };
    const envelope = (await sizeOf('x'.repeat(1_000))) - 1_000;
    await jobs.enqueue(Note, { text: 'x'.repeat(1_000 - envelope) }, { id: 'j' });
    expect(await sizeOf('x'.repeat(1_001 - envelope))).toBe(1_001);
    // Not characters: é takes two bytes, and so does a newline, escaped.
    expect(await sizeOf('é'.repeat(1_000))).toBe(envelope + 2_000);
    expect(await sizeOf('\n'.repeat(1_000))).toBe(envelope + 2_000);
    expect(await sent()).toBe(1);
    await expect(jobs.enqueue(Note, { text: 'x'.repeat(5_000) })).rejects.toMatchObject({
      jobName: 'note',
      maxBytes: 1_000,
    });
  });

  test('what is let in is let out: a worker runs a job of exactly the limit', async () => {
    const runs = new Signals<number>();
    @RogerJob({ name: 'measure' })
    class Measure {
      perform({ text }: { text: string }): void {
        runs.add(text.length);
      }
    }
    const { jobs } = await startApp({ maxJobBytes: 1_000, partitions: { acme: { default: 1 } } }, [Measure]);
    let length = 1_000;
    for (; ; length--) {
      const isTaken = await jobs.enqueue(Measure, { text: 'x'.repeat(length) }, { id: 'j' }).then(
        () => true,
        () => false,
      );
      if (isTaken) break;
    }
    expect(await within('the job', runs.count(1))).toEqual([length]);
  });
});

describe('a queue function', () => {
  function withQueue(
    queue: (args: { mail: boolean }) => unknown,
  ): JobClass<{ perform(args: { mail: boolean }): void }> {
    @RogerJob({ name: 'routed', queue: queue as (args: { mail: boolean }) => string })
    class Routed {
      perform(_args: { mail: boolean }): void {
        // Producers only: nothing runs here.
      }
    }
    return Routed;
  }

  test('finds the queue from the args, unless the options say another', async () => {
    const { jobs } = await producer();
    const Routed = withQueue(({ mail }) => (mail ? 'mail' : 'default'));
    expect(jobs.create(Routed, { mail: true }).queue).toBe('mail');
    expect(jobs.create(Routed, { mail: false }).queue).toBe('default');
    expect(jobs.create(Routed, { mail: true }, { queue: 'default' }).queue).toBe('default');
  });

  test.each<[string, (args: object) => unknown, string]>([
    ['is async', () => Promise.resolve('mail'), 'its queue function returned a Promise'],
    ['returns an object', () => ({ queue: 'mail' }), 'its queue function returned an object'],
    ["returns ''", () => '', 'its queue function returned ""'],
    ['returns nothing', () => undefined, 'its queue function returned undefined'],
    ['returns a bad name', () => 'no-hyphens', 'its queue function returned "no-hyphens"'],
    ['throws', throwing(new Error('no mailbox')), 'its queue function threw "no mailbox"'],
    ['throws no error', throwing(undefined), 'its queue function threw undefined'],
  ])('that %s is an error of the definition, and nothing is sent', async (_what, queue, problem) => {
    const { jobs, sent } = await producer();
    const error = await refusalOf(jobs.enqueue(withQueue(queue), { mail: true }));
    expect(error).toBeInstanceOf(InvalidJobDefinitionError);
    expect(error.message).toContain(`Invalid job definition Routed: ${problem}`);
    expect((await sent()) + (await sent('mail'))).toBe(0);
  });
});

describe('a job made before it is enqueued', () => {
  test('is enqueued as it was made', async () => {
    const { jobs, sent } = await producer();
    const made = jobs.create(Note, { text: 'x' }, { id: 'j1', queue: 'mail' });
    expect(await sent('mail')).toBe(0);
    const { job } = await jobs.enqueue(made);
    expect(job).toMatchObject({ ...made, queuedAt: expect.any(Number) as number });
    expect(await sent('mail')).toBe(1);
  });

  const note: Job = {
    id: 'j',
    name: 'note',
    partition: 'acme',
    queue: 'default',
    args: {},
    attempt: 1,
    queuedAt: 0,
  };

  test.each<[what: string, changed: unknown, error: new (...args: never[]) => Error]>([
    ['another id', { ...note, id: 'a b' }, InvalidEnqueueOptionsError],
    ['no id', { ...note, id: undefined }, InvalidEnqueueOptionsError],
    ['another partition', { ...note, partition: '../x' }, InvalidEnqueueOptionsError],
    ['another queue', { ...note, queue: 'A' }, InvalidEnqueueOptionsError],
    ['args that are no JSON', { ...note, args: { at: new Date() } }, InvalidJobArgsError],
    ['no args', { ...note, args: undefined }, InvalidJobArgsError],
    ['args that fail the DTO', { ...note, name: 'Ship', args: { id: 'x' } }, InvalidJobArgsError],
    ['a name that nobody knows', { ...note, name: 'nobody' }, NotAJobClassError],
    ['a name of all objects', { ...note, name: 'constructor' }, NotAJobClassError],
    ['no name', { ...note, name: undefined }, NotAJobClassError],
  ])('and then given %s by hand is checked like any other', async (_what, changed, type) => {
    const { jobs, sent } = await producer();
    jobs.create(Note, {});
    jobs.create(Ship, {} as never);
    await expect(jobs.enqueue(changed as Job)).rejects.toThrow(type);
    expect(await sent()).toBe(0);
  });

  test('begins with its first attempt and its own time, whatever the numbers in it say', async () => {
    const { jobs } = await producer();
    const made = jobs.create(Note, {});
    const { job } = await jobs.enqueue({ ...made, attempt: -1, queuedAt: Number.NaN, handedOn: 99 });
    expect(job).toEqual({ ...made, attempt: 1, queuedAt: expect.any(Number) as number });
    expect(job.queuedAt).toBeGreaterThan(0);
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'note'],
    ['an empty object', {}],
    ['a function without decorator', (): void => undefined],
  ])('%s is no job', async (_what, job) => {
    const { jobs } = await producer();
    await expect(jobs.enqueue(job as Job)).rejects.toMatchObject({
      code: expect.stringMatching(/^ROGER_/) as string,
    });
  });
});

/** In the gate no more than show the promise. */
const MANY = process.env['ROGER_FAULTS'] === 'long' ? 100_000 : 20_000;

describe('enqueueMany', () => {
  function* notes(count: number): Generator<{ n: number }> {
    for (let n = 0; n < count; n++) yield { n };
  }

  async function* later<T>(items: Iterable<T>): AsyncGenerator<T> {
    for (const item of items) {
      await nextTurn();
      yield item;
    }
  }

  test.each([
    ['a list', () => [...notes(10)]],
    ['a generator', () => notes(10)],
    ['a set', () => new Set(notes(10))],
    ['an async generator', () => later(notes(10))],
  ])('takes %s', async (_what, args) => {
    const { jobs, sent } = await producer();
    expect(await jobs.enqueueMany(Note, args(), { queue: 'mail' })).toEqual({
      enqueued: 10,
      duplicates: [],
      failures: [],
    });
    expect(await sent('mail')).toBe(10);
  });

  test('takes jobs of several kinds, made before', async () => {
    const { jobs, sent } = await producer();
    const order = { id: 1, to: { mail: 'a@example.org' }, copies: [] };
    const made = [jobs.create(Note, {}), jobs.create(Ship, order), jobs.create(Note, {}, { queue: 'mail' })];
    expect(await jobs.enqueueMany(made)).toEqual({ enqueued: 3, duplicates: [], failures: [] });
    expect([await sent(), await sent('mail')]).toEqual([2, 1]);
    expect(await jobs.enqueueMany(later(made))).toEqual({ enqueued: 3, duplicates: [], failures: [] });
  });

  test('of nothing is nothing', async () => {
    const { jobs } = await producer();
    expect(await jobs.enqueueMany([])).toEqual({ enqueued: 0, duplicates: [], failures: [] });
    expect(await jobs.enqueueMany(Note, [])).toEqual({ enqueued: 0, duplicates: [], failures: [] });
  });

  test('keeps the order', async () => {
    const order: number[] = [];
    const runs = new Signals<true>();
    @RogerJob()
    class Tell {
      perform({ n }: { n: number }): void {
        order.push(n);
        runs.add(true);
      }
    }
    const memory = new MemoryBroker();
    const { jobs } = await startApp({ memory, mode: 'producer', partitions: { acme: { default: 1 } } });
    // The first job declares the queue, and may be overtaken meanwhile.
    await jobs.enqueue(Tell, { n: -1 });
    await jobs.enqueueMany(Tell, notes(2_500));
    await startApp({ memory, partitions: { acme: { default: 1 } } }, [Tell]);
    await within('all jobs', runs.count(2_501));
    expect(order).toEqual([-1, ...Array.from(notes(2_500), ({ n }) => n)]);
  });

  test('reports each failure with its place, and enqueues the others', async () => {
    const { jobs, sent } = await producer();
    const args = Array.from(notes(2_000), ({ n }) => (n % 500 === 3 ? { n: BigInt(n) } : { n }));
    const { enqueued, failures } = await jobs.enqueueMany(Note, args);
    expect(enqueued).toBe(1_996);
    expect(failures.map(({ index }) => index)).toEqual([3, 503, 1003, 1503]);
    for (const { error } of failures) expect(error).toBeInstanceOf(InvalidJobArgsError);
    expect(await sent()).toBe(1_996);
  });

  test('reports wrong options for each job, and enqueues none', async () => {
    const { jobs } = await producer();
    const { enqueued, failures } = await jobs.enqueueMany(Note, notes(3), { queue: 'A' });
    expect({ enqueued, indexes: failures.map(({ index }) => index) }).toEqual({
      enqueued: 0,
      indexes: [0, 1, 2],
    });
    expect(failures[0]?.error).toBeInstanceOf(InvalidEnqueueOptionsError);
  });

  test('reports those that a full queue refuses', async () => {
    const memory = new MemoryBroker({ maxJobs: 10 });
    const { jobs } = await producer(ONE, { memory });
    const { enqueued, failures } = await jobs.enqueueMany(Note, notes(15));
    expect({ enqueued, failed: failures.map(({ index }) => index) }).toEqual({
      enqueued: 10,
      failed: [10, 11, 12, 13, 14],
    });
    expect(failures[0]?.error).toBeInstanceOf(QueueFullError);
  });

  test.each([
    ['a generator', (items: Iterable<object>) => items],
    ['an async generator', (items: Iterable<object>) => later(items)],
  ])('throws what %s throws, after the jobs before it are safe', async (_what, form) => {
    const { jobs, sent } = await producer();
    function* breaking(): Generator<object> {
      yield* notes(5);
      throw new Error('the cursor is gone');
    }
    await expect(jobs.enqueueMany(Note, form(breaking()))).rejects.toThrow('the cursor is gone');
    expect(await sent()).toBe(5);
  });

  test('what is no iterable is refused', async () => {
    const { jobs } = await producer();
    await expect(jobs.enqueueMany(Note, 5 as never)).rejects.toThrow(TypeError);
  });

  test(`of ${MANY} jobs takes little memory besides the jobs that the broker keeps, and lets others have their turn`, async () => {
    const memory = new MemoryBroker();
    const runs = new Signals<true>();
    let ran = 0;
    @RogerJob()
    class Count {
      perform(_args: object): void {
        if (++ran === MANY) runs.add(true);
      }
    }
    const { jobs } = await startApp({ memory, partitions: { acme: { default: 10 } } }, [Count]);

    const taken = new Kept();
    let turnsOfOthers = 0;
    const clock = setInterval(() => turnsOfOthers++, 1);
    function* counted(): Generator<{ n: number }> {
      for (let n = 0; n < MANY; n++) {
        if (n % (MANY / 10) === MANY / 10 - 1) taken.look();
        yield taken.watched({ n });
      }
    }
    expect(await jobs.enqueueMany(Count, counted())).toEqual({
      enqueued: MANY,
      duplicates: [],
      failures: [],
    });
    clearInterval(clock);
    await within('all jobs to run', runs.count(1), () => `${ran} ran`, 90_000);
    // One after every thousand jobs.
    expect(turnsOfOthers).toBeGreaterThan(MANY / 2_000);
    expect(taken.most).toBeLessThan(4_000);
  });
});
