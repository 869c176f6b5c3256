// Which names are taken, that none of the others gets through, and that a name is never shown raw.
import fc from 'fast-check';
import {
  describe as show,
  problemOfInstanceName,
  problemOfJobId,
  problemOfJobName,
  problemOfPartitionId,
  problemOfQueueName,
} from './names';

const KINDS = [
  { kind: 'partition id', problemOf: problemOfPartitionId, alphabet: /^[A-Za-z0-9_-]$/, longest: 64 },
  { kind: 'queue name', problemOf: problemOfQueueName, alphabet: /^[a-z0-9_]$/, longest: 64 },
  { kind: 'job name', problemOf: problemOfJobName, alphabet: /^[A-Za-z0-9_.:/-]$/, longest: 128 },
  { kind: 'instance name', problemOf: problemOfInstanceName, alphabet: /^[A-Za-z0-9_.:/-]$/, longest: 64 },
  { kind: 'job id', problemOf: problemOfJobId, alphabet: /^[!-~]$/, longest: 128 },
] as const;

function textOf(alphabet: RegExp, maxLength: number): fc.Arbitrary<string> {
  const characters = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).filter((it) =>
    alphabet.test(it),
  );
  return fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength });
}

describe.each(KINDS)('a $kind', ({ kind, problemOf, alphabet, longest }) => {
  test('may be any text of its characters, up to its length', () => {
    fc.assert(
      fc.property(textOf(alphabet, longest), (name) => {
        expect(problemOf(name)).toBeUndefined();
      }),
    );
    expect(problemOf('a'.repeat(longest))).toBeUndefined();
  });

  test('may hold no other character, wherever it stands', () => {
    const other = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 1 })
      .filter((it) => !alphabet.test(it));
    const within = textOf(alphabet, 20);
    fc.assert(
      fc.property(within, other, within, (before, character, after) => {
        for (const name of [character, before + character, character + after, before + character + after]) {
          expect(problemOf(name)).toContain(`is no ${kind}`);
        }
      }),
      { numRuns: 50 },
    );
  });

  test.each<[string, unknown]>([
    ['the empty text', ''],
    ['a text that is too long', 'a'.repeat(longest + 1)],
    ['256 bytes', 'a'.repeat(256)],
    ['a text that ends in a newline', 'a\n'],
    ['a text with NUL', 'a\0b'],
    ['a full-width letter', '\uff41'],
    ['a number', 5],
    ['undefined', undefined],
    ['null', null],
    ['a list of one good name', ['a']],
    ['an object that prints as a good name', { toString: () => 'a' }],
    ['an object without any text', Object.create(null)],
    ['a symbol', Symbol('a')],
  ])('may not be %s', (_what, name) => {
    expect(problemOf(name)).toContain(`is no ${kind}: 1 to ${longest}`);
  });
});

test('the name of a queue on the broker can be read one way only', () => {
  const partition = textOf(/^[a-b-]$/, 4);
  const queue = textOf(/^[a-b_]$/, 4);
  fc.assert(
    fc.property(partition, queue, partition, queue, (p1, q1, p2, q2) => {
      fc.pre(p1 !== p2 || q1 !== q2);
      expect(`${p1}-${q1}`).not.toBe(`${p2}-${q2}`);
    }),
  );
  expect(problemOfPartitionId('a-b') ?? problemOfQueueName('c') ?? problemOfPartitionId('a')).toBeUndefined();
  expect(problemOfQueueName('b-c')).toContain('(no -)');
});

test.each<[unknown, string]>([
  ['a\nb', '"a\\nb"'],
  ['\u001b[2J\u009b2J\u007f\u2028', '"\\u001b[2J\\u009b2J\\u007f\\u2028"'],
  ['x'.repeat(500), `"${'x'.repeat(128)}…"`],
  ['"', '"\\""'],
  [5n, '5n'],
  [Number.NaN, 'NaN'],
  [null, 'null'],
  [undefined, 'undefined'],
  [Symbol('secret'), 'a symbol'],
  [() => 'secret', 'a function'],
  [{ password: 'secret' }, 'an object'],
  [['secret'], 'an array'],
  [new Map([['secret', 'secret']]), 'a Map'],
])('a message shows %p as %s', (value, shown) => {
  expect(show(value)).toBe(shown);
});
