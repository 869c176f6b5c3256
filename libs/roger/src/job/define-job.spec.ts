// What a class under @RogerJob says of itself becomes a definition, or is refused with the class, the option, the remedy.
import { IsInt } from 'class-validator';
import { isJobClass, noteJobOptions, readDefinition } from './define-job';
import { InvalidJobDefinitionError } from './errors';
import type { JobClass } from './job-definition';

class Args {
  @IsInt() n!: number;
}

class Unchecked {
  n!: number;
}

class Greet {
  perform(): void {
    // Only its presence matters here.
  }
}

/** A fresh class under @RogerJob with these options. */
function jobClass(options: unknown, base: JobClass = Greet): JobClass {
  class Welcome extends base {}
  noteJobOptions(Welcome, options as object);
  return Welcome;
}

function refusalOf(options: unknown, base?: JobClass): string {
  try {
    readDefinition(jobClass(options, base));
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidJobDefinitionError);
    expect((error as InvalidJobDefinitionError).definition).toBe('Welcome');
    return (error as Error).message;
  }
  throw new Error('It was taken');
}

describe('a definition', () => {
  test('needs nothing but the decorator', () => {
    const welcome = jobClass({});
    expect(readDefinition(welcome)).toEqual({
      name: 'Welcome',
      jobClass: welcome,
      queue: 'default',
      argsClass: undefined,
      retryable: true,
      retryLevels: undefined,
    });
  });

  test('says what the decorator says', () => {
    const queue = (): string => 'mail';
    expect(
      readDefinition(
        jobClass({ name: 'mails/welcome:v2', queue, args: Args, retryable: { levels: [1, 1, 60] } }),
      ),
    ).toMatchObject({
      name: 'mails/welcome:v2',
      queue,
      argsClass: Args,
      retryable: true,
      retryLevels: [1, 1, 60],
    });
  });

  test('takes an option that is undefined as left out', () => {
    const options = {
      name: undefined,
      queue: undefined,
      args: undefined,
      retryable: undefined,
      instance: undefined,
    };
    expect(readDefinition(jobClass(options))).toMatchObject({
      name: 'Welcome',
      queue: 'default',
      retryable: true,
    });
  });

  test('that is not retryable has no levels', () => {
    expect(readDefinition(jobClass({ retryable: false }))).toMatchObject({
      retryable: false,
      retryLevels: undefined,
    });
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('may be named %s', (name) => {
    expect(readDefinition(jobClass({ name })).name).toBe(name);
  });

  test('has the perform that its class inherits', () => {
    class Abstract extends Greet {}
    expect(readDefinition(jobClass({}, Abstract)).name).toBe('Welcome');
  });

  test('is not inherited: a class that extends a job is no job until it is decorated itself', () => {
    const first = jobClass({ name: 'first' });
    class Second extends first {}
    expect(isJobClass(Second)).toBe(false);
    noteJobOptions(Second, {});
    expect(readDefinition(Second)).toMatchObject({ name: 'Second', queue: 'default' });
    expect(readDefinition(first).name).toBe('first');
  });
});

describe('what is no definition', () => {
  test.each<[what: string, options: unknown, problem: string]>([
    ['an empty name', { name: '' }, '"" is no job name: 1 to 128 of the characters'],
    ['a name with a space', { name: 'a b' }, '"a b" is no job name'],
    ['a name with a newline', { name: 'a\nb' }, '"a\\nb" is no job name'],
    ['a name that is too long', { name: 'x'.repeat(129) }, 'is no job name'],
    ['a number for a name', { name: 5 }, '5 is no job name'],
    ['a number for an instance', { instance: 5 }, '5 is no instance name: 1 to 64 of the characters'],
    ['null for an instance', { instance: null }, 'null is no instance name'],
    ['an empty instance', { instance: '' }, '"" is no instance name'],
    ['an instance with a newline', { instance: 'a\nb' }, '"a\\nb" is no instance name'],
    ['an empty queue', { queue: '' }, '"" is no queue name'],
    [
      'a queue with a hyphen',
      { queue: 'b-c' },
      '"b-c" is no queue name: 1 to 64 of the characters a-z, 0-9 and _ (no -)',
    ],
    ['null for a queue', { queue: null }, 'null is no queue name'],
    [
      'an instance for args',
      { args: new Args() },
      'args must be a class with class-validator decorators, not an object',
    ],
    ['a text for args', { args: 'Args' }, 'args must be a class with class-validator decorators, not "Args"'],
    ['args without rules', { args: Unchecked }, 'args class "Unchecked" has no class-validator decorators'],
    ['a number for retryable', { retryable: 3 }, 'retryable must be true, false, { levels } or a function'],
    ['null for retryable', { retryable: null }, 'retryable must be true, false, { levels } or a function'],
    [
      'a list for retryable',
      { retryable: [1, 2] },
      'retryable must be true, false, { levels } or a function',
    ],
    [
      'no levels',
      { retryable: { levels: [] } },
      'at least one number of seconds, not an empty one; for no retries say',
    ],
    [
      'jitter that is a number',
      { retryable: { levels: [1], jitter: 0.5 } },
      'jitter must be true or false, not 0.5',
    ],
    ['levels that get shorter', { retryable: { levels: [5, 1] } }, 'must not get shorter: 5, 1'],
    ['negative levels', { retryable: { levels: [-5] } }, 'not -5'],
    ['an undefined level', { retryable: { levels: [undefined] } }, 'not undefined'],
    [
      'an empty queue key',
      { queueKey: '' },
      'queueKey must be a function of the args, or one key for all: "" is no key',
    ],
    [
      'an execution key that is an object',
      { executionKey: {} },
      'executionKey must be a function of the args',
    ],
    ['an empty title', { title: ' ' }, 'title must be 1 to 200 characters, not " "'],
    ['a title that is no text', { title: 5 }, 'title must be 1 to 200 characters, not 5'],
    ['an order between whole numbers', { order: 1.5 }, 'order must be a whole number, not 1.5'],
    ['a misspelt option', { retriable: false }, 'unknown option "retriable"; did you mean "retryable"?'],
    [
      'an option of something else',
      { concurrency: 5 },
      'unknown option "concurrency"; known are name, queue, args',
    ],
    ['an option with a newline', { 'na\nme': 'x' }, 'unknown option "na\\nme"'],
    ['a text instead of options', 'welcome', 'unknown option "0"'],
  ])('%s is refused: %s', (_what, options, problem) => {
    expect(refusalOf(options)).toContain('Invalid job definition Welcome: ');
    expect(refusalOf(options)).toContain(problem);
  });

  const performless = class {
    run(): void {
      // Not what a job is run by.
    }
  };
  const arrow = class {
    perform = (): void => undefined;
  };
  const withStatic = class {
    readonly kind = 'static';
    static perform(): void {
      // A handler is an instance.
    }
  };

  test.each([
    ['no perform', performless],
    ['a perform that only its instances have', arrow],
    ['a static perform', withStatic],
  ])('a class with %s is refused', (_what, base) => {
    expect(refusalOf({}, base as unknown as JobClass)).toContain(
      'Welcome: it has no perform(args, context) method',
    );
  });

  test('a class without a name is refused, unless it is given one', () => {
    const anonymous = (() => class extends Greet {})();
    noteJobOptions(anonymous, {});
    expect(() => readDefinition(anonymous)).toThrow(
      'Invalid job definition (anonymous class): "" is no job name',
    );
    noteJobOptions(anonymous, { name: 'named' });
    expect(readDefinition(anonymous).name).toBe('named');
  });
});

test.each<[string, unknown]>([
  ['a class without decorator', Greet],
  ['an instance', new Greet()],
  ['a text', 'Greet'],
  ['undefined', undefined],
  ['null', null],
])('%s is no job class', (_what, target) => {
  expect(isJobClass(target)).toBe(false);
});
