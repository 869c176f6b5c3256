// What JSON can't carry is named with its path before it is sent; what passes comes out the same.
import fc from 'fast-check';
import { MAX_DEPTH, problemsOfJson } from './json-args';

function circular(): object {
  const node: Record<string, unknown> = {};
  node['next'] = { back: node };
  return node;
}

function deep(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = { a: value };
  return value;
}

class WelcomeMail {
  userId = 7;
  readonly tags: string[] = ['a'];
  nickname: string | undefined;
}

class Point extends WelcomeMail {
  get length(): number {
    return this.tags.length;
  }
}

const THROWING_GETTER = {
  fine: 1,
  get broken(): string {
    throw new Error('no such\nrow');
  },
};
const THROWING_TO_JSON = {
  toJSON: () => {
    throw new Error('not now');
  },
};
const THROWING_TO_JSON_GETTER = {
  get toJSON(): () => string {
    throw new Error('not even this');
  },
};

describe('what JSON cannot carry', () => {
  test.each<[what: string, args: unknown, path: string, message: string]>([
    ['a BigInt', { id: 1n }, 'id', 'a bigint has no place in JSON'],
    ['a Map', { byId: new Map() }, 'byId', 'a Map would not come out the same'],
    ['a Set', { ids: new Set([1]) }, 'ids', 'a Set would not come out the same'],
    ['a Date', { at: new Date() }, 'at', 'a Date would come out as a string; pass date.toISOString()'],
    [
      'a Buffer',
      { file: Buffer.from('x') },
      'file',
      'an object with toJSON would come out as something else',
    ],
    ['bytes', { file: new Uint8Array(2) }, 'file', 'a Uint8Array would not come out the same'],
    ['an error', { error: new TypeError('x') }, 'error', 'a Error would not come out the same'],
    ['a promise forgotten', { user: Promise.resolve(1) }, 'user', 'a Promise would not come out the same'],
    ['a regular expression', { pattern: /x/ }, 'pattern', 'a RegExp would not come out the same'],
    ['a boxed number', { n: Object(1) as unknown }, 'n', 'a Number would not come out the same'],
    ['NaN', { n: Number.NaN }, 'n', 'NaN has no place in JSON'],
    ['Infinity', { list: [0, Infinity] }, 'list[1]', 'Infinity has no place in JSON'],
    ['-Infinity', -Infinity, '', '-Infinity has no place in JSON'],
    ['undefined for all', undefined, '', 'undefined has no place in JSON; use null or leave it out'],
    ['undefined in an array', [1, undefined], '[1]', 'undefined has no place in JSON'],
    // eslint-disable-next-line no-sparse-arrays -- it is the thing tested
    ['a hole in an array', { a: [1, , 3] }, 'a[1]', 'undefined has no place in JSON'],
    ['a function', { done: () => 1 }, 'done', 'a function has no place in JSON'],
    ['a class', WelcomeMail, '', 'a function has no place in JSON'],
    ['a symbol', [{ kind: Symbol('x') }], '[0].kind', 'a symbol has no place in JSON'],
    [
      'a toJSON',
      { price: { toJSON: () => 1 } },
      'price',
      'an object with toJSON would come out as something else',
    ],
    [
      'a toJSON that throws',
      { a: THROWING_TO_JSON },
      'a',
      'an object with toJSON would come out as something else',
    ],
    ['a toJSON on an array', { a: Object.assign([1], { toJSON: () => 2 }) }, 'a', 'an object with toJSON'],
    [
      'a toJSON that cannot be read',
      { a: THROWING_TO_JSON_GETTER },
      'a',
      'reading it throws "not even this"',
    ],
    ['a getter that throws', { row: THROWING_GETTER }, 'row.broken', 'reading it throws "no such\\nrow"'],
    ['an own __proto__', JSON.parse('{"a":{"__proto__":1}}'), 'a', 'a key named "__proto__" is refused'],
    ['a strange key', { 'a b': { '\n': 1n } }, '["a b"]["\\n"]', 'a bigint has no place in JSON'],
    ['a number for a key', { 0: 1n }, '["0"]', 'a bigint has no place in JSON'],
  ])('%s is named with its path', (_what, args, path, message) => {
    const problems = problemsOfJson(args);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.path).toBe(path);
    expect(problems[0]?.message).toContain(message);
  });

  test('a circle is found', () => {
    expect(problemsOfJson(circular())).toEqual([
      {
        path: expect.stringMatching(/^next\.back\.next\.back/) as string,
        message: 'it is circular, or nested deeper than 64 levels',
      },
    ]);
  });

  test('many circles through one object take no time', () => {
    const hub: Record<string, unknown> = {};
    for (let n = 0; n < 50; n++) hub[`spoke${n}`] = hub;
    const begin = performance.now();
    expect(problemsOfJson(hub).length).toBeGreaterThan(0);
    expect(performance.now() - begin).toBeLessThan(500);
  });

  test.each([MAX_DEPTH + 1, 5_000, 1_000_000])('%d levels are too deep, and no stack overflows', (levels) => {
    const problems = problemsOfJson(deep(levels));
    expect(problems).toHaveLength(1);
    expect(problems[0]?.message).toContain('nested deeper than 64 levels');
    expect(problems[0]?.path.length).toBeLessThan(150);
  });

  test('each culprit is listed, up to twenty', () => {
    const args = { n: Number.NaN, list: [1n, 2], nested: { at: new Date() } };
    expect(problemsOfJson(args).map(({ path }) => path)).toEqual(['n', 'list[0]', 'nested.at']);
    expect(problemsOfJson(Array.from({ length: 1_000_000 }, () => undefined))).toHaveLength(20);
    expect(
      problemsOfJson({ a: Array.from({ length: 15 }, () => 1n), b: [1n, 1n, 1n, 1n, 1n, 1n] }),
    ).toHaveLength(20);
  });

  test('a proxy whose traps throw is a problem, not a crash', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(problemsOfJson({ proxy })).toEqual([
      { path: 'proxy', message: expect.stringContaining('reading it throws') as string },
    ]);
  });
});

describe('what JSON can carry', () => {
  test.each<[what: string, args: unknown]>([
    ['null', null],
    ['a text', 'x'],
    ['false', false],
    ['an empty object', {}],
    ['a property that is undefined', { a: undefined }],
    ['an object without prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['a DTO', new WelcomeMail()],
    ['a DTO that extends another and has a getter', new Point()],
    ['the deepest allowed', deep(MAX_DEPTH)],
    ['the same object twice', ((a) => [a, a])({ x: 1 })],
    ['a lone surrogate', '\ud800'],
    ['a key named toJSON that is no function', { toJSON: 1 }],
  ])('%s passes', (_what, args) => {
    expect(problemsOfJson(args)).toEqual([]);
  });

  test('every JSON value passes, unless a key is named __proto__', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const isRefused = problemsOfJson(value).length > 0;
        expect(isRefused).toBe(JSON.stringify(value).includes('"__proto__":'));
      }),
      { numRuns: 300 },
    );
  });

  test('whatever passes comes out of JSON the same', () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    let passed = 0;
    fc.assert(
      fc.property(anything, (value) => {
        fc.pre(problemsOfJson(value).length === 0);
        passed++;
        expect(isSame(value, JSON.parse(JSON.stringify(value)))).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect(passed).toBe(300);
  });
});

/** Whether two values are the same in JSON's eyes: no prototypes, no undefined properties, one zero. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const defined = (value: object): [string, unknown][] =>
    Object.entries(value).filter(([, property]) => property !== undefined);
  const ofB = new Map(defined(b));
  const ofA = defined(a);
  return ofA.length === ofB.size && ofA.every(([key, value]) => ofB.has(key) && isSame(value, ofB.get(key)));
}
