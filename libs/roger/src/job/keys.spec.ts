// What a definition says of a job by its args: keys that are none are refused with the name of the culprit.
import { InvalidJobDefinitionError } from './errors';
import type { JobDefinition } from './job-definition';
import { keysOf, queueOf } from './keys';

class Mail {
  perform(): void {
    // Only its definition matters.
  }
}

function definition(options: Partial<JobDefinition>): JobDefinition {
  return {
    name: 'mail',
    jobClass: Mail,
    queue: 'default',
    argsClass: undefined,
    retryable: true,
    retryLevels: undefined,
    ...options,
  };
}

test('keys are functions of the args, or one for all', () => {
  const both = definition({
    queueKey: (args: { n: number }) => `n${args.n}`,
    executionKey: 'all',
  });
  expect(keysOf(both, { n: 7 })).toEqual({ queueKey: 'n7', executionKey: 'all' });
  expect(keysOf(definition({}), {})).toEqual({});
});

test.each([[undefined], [null]])('a function that returns %s gives no key', (none) => {
  expect(keysOf(definition({ queueKey: () => none }), {})).toEqual({});
});

test.each<[string, () => unknown, RegExp]>([
  [
    'throws',
    () => {
      throw new Error('no user');
    },
    /its queueKey function threw "no user"/,
  ],
  ['returns an empty text', () => '', /returned "": "" is no key: a text of 1 to 512 characters/],
  ['returns an object', () => ({ id: 1 }), /returned an object/],
  ['returns a number', () => 7, /returned 7/],
  ['is async', () => Promise.resolve('key'), /returned a Promise.*must be synchronous/],
  ['is async and rejects', () => Promise.reject(new Error('late')), /returned a Promise/],
  ['returns too long a text', () => 'x'.repeat(513), /is no key/],
])('a key function that %s is refused, and the message names it', (_, queueKey, message) => {
  const failing = (): unknown => keysOf(definition({ queueKey }), {});
  expect(failing).toThrow(InvalidJobDefinitionError);
  expect(failing).toThrow(/Mail/);
  expect(failing).toThrow(message);
});

test('a queue may be a function of the args, too, and must give the name of a queue', () => {
  expect(queueOf(definition({ queue: () => 'mail' }), {})).toBe('mail');
  expect(() => queueOf(definition({ queue: () => 'Mail!' }), {})).toThrow(
    /its queue function returned "Mail!"/,
  );
});
