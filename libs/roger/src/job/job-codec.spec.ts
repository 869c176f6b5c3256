// A job comes out of its bytes as it went in; what is no job is refused with the reason, however hostile.
import fc from 'fast-check';
import { MalformedJobError } from './errors';
import type { Job } from './job';
import { WIRE_VERSION, decodeJob, encodeAgain, encodeJob, encodeNewJob } from './job-codec';
import { MAX_DEPTH, problemsOfJson } from './json-args';

const MAX_BYTES = 256 * 1024;

const JOB: Job = {
  id: 'job-1',
  name: 'welcome-mail',
  partition: 'acme',
  queue: 'mail',
  args: { userId: 7 },
  attempt: 1,
  queuedAt: 1_700_000_000_000,
};

const ENVELOPE = { v: WIRE_VERSION, ...JOB };
const TEXT = JSON.stringify(ENVELOPE);

function decode(text: string | Buffer, maxBytes = MAX_BYTES): Job {
  return decodeJob(Buffer.from(text as string), maxBytes);
}

/** The bytes of the job with some fields replaced; undefined leaves a field out. */
function wire(fields: object): string {
  return JSON.stringify({ ...ENVELOPE, ...fields });
}

/** The bytes of the job with text put in before its closing brace. */
function wireWith(text: string): string {
  return `${TEXT.slice(0, -1)},${text}}`;
}

function refusalOf(text: string | Buffer, maxBytes = MAX_BYTES): string {
  try {
    decode(text, maxBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedJobError);
    return (error as Error).message;
  }
  throw new Error(`It was understood: ${text.toString().slice(0, 100)}`);
}

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** Any UTF-16 text, lone surrogates too. */
const anyText = fc.string({ unit: fc.nat({ max: 0xffff }).map((unit) => String.fromCharCode(unit)) });
const anyArgs = fc
  .oneof(fc.jsonValue({ stringUnit: 'binary' }), fc.dictionary(anyText, anyText))
  .filter((args) => problemsOfJson(args).length === 0);

describe('what survives the way over the wire', () => {
  test('a job comes out as it went in', () => {
    expect(decodeJob(encodeJob(JOB), MAX_BYTES)).toMatchObject(JOB);
  });

  test('how often it was handed on comes out too, and is absent where it never was', () => {
    expect(decodeJob(encodeJob({ ...JOB, handedOn: 3 }), MAX_BYTES).handedOn).toBe(3);
    expect(encodeJob(JOB).toString()).not.toContain('handedOn');
  });

  test('what a call has said of the job survives, but what ran now comes again by its priority', () => {
    const said = { priority: 9, maxExecutionTimeSeconds: 0.5, maxRetries: 0 };
    const body = encodeNewJob({ ...JOB, ...said, runNow: true });
    expect(decodeJob(body, MAX_BYTES)).toMatchObject({ ...said, runNow: true });
    const again = decodeJob(encodeAgain(decodeJob(body, MAX_BYTES), { attempt: 2 }), MAX_BYTES);
    expect(again).toMatchObject({ ...said, attempt: 2 });
    expect(again).not.toHaveProperty('runNow');
  });

  test('any JSON args survive, byte for byte', () => {
    fc.assert(
      fc.property(anyArgs, (args) => {
        const bytes = encodeJob({ ...JOB, args });
        const job = decodeJob(bytes, bytes.length);
        expect(JSON.stringify(job.args)).toBe(JSON.stringify(args));
        expect(encodeJob(job).equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['brackets in a text', '['.repeat(1_000)],
    ['brackets behind an escaped quote', '"'.repeat(11) + '{'.repeat(1_000)],
    ['a backslash before the closing quote', ['\\', '[[[[', '\\\\', '{{{{']],
    ['more brackets than levels, side by side', Array.from({ length: 1_000 }, () => [])],
  ])('%s are no depth', (_name, args) => {
    expect(decodeJob(encodeJob({ ...JOB, args }), MAX_BYTES).args).toEqual(args);
  });

  test('args nested as deep as enqueue allows are understood, one level deeper they are not', () => {
    const deepest = JSON.parse(nested(MAX_DEPTH)) as unknown;
    expect(problemsOfJson(deepest)).toEqual([]);
    expect(decodeJob(encodeJob({ ...JOB, args: deepest }), MAX_BYTES).args).toEqual(deepest);
    expect(problemsOfJson([deepest])).not.toEqual([]);
    expect(refusalOf(encodeJob({ ...JOB, args: [deepest] }))).toContain('nested deeper than 64 levels');
  });

  test('a job of exactly the allowed size is understood, one byte more is not', () => {
    const bytes = encodeJob(JOB);
    expect(decodeJob(bytes, bytes.length).id).toBe('job-1');
    expect(refusalOf(bytes, bytes.length - 1)).toContain(
      `it has ${bytes.length} bytes, more than maxJobBytes (${bytes.length - 1})`,
    );
  });

  test('fields of a newer version do no harm, and travel on with a retry', () => {
    const job = decode(wireWith('"shoeSize":43,"constructor":{"name":"x"}'));
    expect(job).toMatchObject(JOB);
    const again = decodeJob(encodeJob({ ...job, attempt: 2 }), MAX_BYTES);
    expect(again).toEqual({ ...job, attempt: 2 });
    expect(again).toHaveProperty('shoeSize', 43);
  });

  test('args may hold keys that JavaScript gives a meaning, but __proto__', () => {
    const args = { constructor: 1, hasOwnProperty: 2, toString: 3, toJSON: 'x', length: -1 };
    expect(decode(wire({ args })).args).toEqual(args);
  });
});

describe('what is no job', () => {
  test.each<[what: string, bytes: string | Buffer, reason: string]>([
    ['nothing', '', 'it is empty'],
    ['a truncated job', TEXT.slice(0, -1), 'it is not JSON'],
    ['half a job', TEXT.slice(0, TEXT.length / 2), 'it is not JSON'],
    ['a job cut within a character', Buffer.from('{"v":1,"id":"é').subarray(0, -1), 'it is not UTF-8'],
    ['a job behind a byte order mark', `\ufeff${TEXT}`, 'it is not JSON'],
    ['a job in UTF-16', Buffer.from(TEXT, 'utf16le'), 'it is not JSON'],
    [
      'bad UTF-8 in a text',
      Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xc3, 0x28])]),
      'it is not UTF-8',
    ],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'it is not UTF-8'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'it is not UTF-8'],
    ['two jobs', `${TEXT}${TEXT}`, 'it is not JSON'],
    ['a raw newline in a text', wire({}).replace('job-1', 'job\n1'), 'it is not JSON'],
    ['null', 'null', 'it is not a JSON object'],
    ['a text', '"job"', 'it is not a JSON object'],
    ['a number', '1', 'it is not a JSON object'],
    ['an array', '[]', 'it is not a JSON object'],
    ['an array of a job', `[${TEXT}]`, 'it is not a JSON object'],
    ['an empty object', '{}', 'its version is undefined; this node understands version 1'],
    ['a later version', wire({ v: 2 }), 'its version is 2; this node understands version 1'],
    ['the version as a text', wire({ v: '1' }), 'its version is "1"; this node understands version 1'],
    [
      'a version that has no text',
      wire({ v: { toString: null, valueOf: null } }),
      'its version is an object',
    ],
    [
      'a text with control characters for a version',
      wire({ v: '\u001b[2J\u009b' }),
      'its version is "\\u001b[2J\\u009b"',
    ],
    ['no id', wire({ id: undefined }), 'undefined is no job id'],
    ['a number for an id', wire({ id: 5 }), '5 is no job id'],
    ['an empty id', wire({ id: '' }), '"" is no job id'],
    ['an id with control characters', wire({ id: 'a\r\nb\u0000' }), '"a\\r\\nb\\u0000" is no job id'],
    ['an id that ends in a newline', wire({ id: 'a\n' }), '"a\\n" is no job id'],
    ['an id of 129 characters', wire({ id: 'x'.repeat(129) }), 'is no job id: 1 to 128 printable ASCII'],
    ['no name', wire({ name: undefined }), 'undefined is no job name'],
    ['a name with a space', wire({ name: 'welcome mail' }), '"welcome mail" is no job name'],
    ['an object for a name', wire({ name: {} }), 'an object is no job name'],
    ['no partition', wire({ partition: undefined }), 'undefined is no partition id'],
    ['a path for a partition', wire({ partition: '../x' }), '"../x" is no partition id'],
    ['no queue', wire({ queue: undefined }), 'undefined is no queue name'],
    ['a queue with a hyphen', wire({ queue: 'b-c' }), '"b-c" is no queue name'],
    ['no args', wire({ args: undefined }), 'args are missing'],
    ['no attempt', wire({ attempt: undefined }), 'attempt is not a positive whole number'],
    ['attempt -1', wire({ attempt: -1 }), 'attempt is not a positive whole number'],
    ['attempt 0', wire({ attempt: 0 }), 'attempt is not a positive whole number'],
    ['attempt 1.5', wire({ attempt: 1.5 }), 'attempt is not a positive whole number'],
    ['attempt "1"', wire({ attempt: '1' }), 'attempt is not a positive whole number'],
    [
      'an attempt beyond all whole numbers',
      wireWith('"attempt":1e999'),
      'attempt is not a positive whole number',
    ],
    ['no queuedAt', wire({ queuedAt: undefined }), 'queuedAt is not a time in milliseconds'],
    ['a date as a text', wire({ queuedAt: '2024-01-01' }), 'queuedAt is not a time in milliseconds'],
    ['a queuedAt before the epoch', wire({ queuedAt: -1 }), 'queuedAt is not a time in milliseconds'],
    ['a token that is none', wireWith('"ledger":null'), 'ledger is not a token of a ledger'],
    [
      'a token without a number',
      wireWith('"ledger":{"state":"s","dispatch":0}'),
      'ledger is not a token of a ledger',
    ],
    ['handedOn -1', wire({ handedOn: -1 }), 'handedOn is not a count'],
    ['priority 10', wire({ priority: 10 }), 'priority: 10 is no priority'],
    ['priority "9"', wire({ priority: '9' }), 'priority: "9" is no priority'],
    ['runNow false', wire({ runNow: false }), 'runNow is not true'],
    ['maxRetries -1', wire({ maxRetries: -1 }), 'maxRetries must be a whole number'],
    [
      'maxExecutionTimeSeconds 0',
      wire({ maxExecutionTimeSeconds: 0 }),
      'maxExecutionTimeSeconds must be a number of seconds',
    ],
    ['handedOn null', wire({ handedOn: null }), 'handedOn is not a count'],
    [
      '__proto__ in the args',
      wire({}).replace('"userId"', '"__proto__"'),
      'args: a key named "__proto__" is refused',
    ],
    [
      '__proto__ deep in the args',
      wireWith('"args":{"a":[{"__proto__":{"admin":true}}]}'),
      'args.a[0]: a key named "__proto__" is refused',
    ],
    [
      '__proto__ behind an escape',
      wireWith('"args":{"\\u005f_proto\\u005f_":{"admin":true}}'),
      'args: a key named "__proto__" is refused',
    ],
    [
      '__proto__ beside the args',
      wireWith('"__proto__":{"admin":true}'),
      'a key named "__proto__" is refused',
    ],
  ])('%s is refused, and the reason says so', (_what, bytes, reason) => {
    expect(refusalOf(bytes)).toContain(reason);
  });

  test.each([
    ['arrays', '['.repeat(100_000)],
    ['objects', '{"a":'.repeat(100_000)],
    ['closed arrays', nested(100_000)],
    ['args of a job', wireWith(`"args":${nested(100_000)}`)],
  ])('%s nested 100 000 deep are refused at once, and no stack overflows', (_what, bytes) => {
    const begin = performance.now();
    expect(refusalOf(bytes, 2 ** 20)).toContain('nested deeper than 64 levels');
    expect(performance.now() - begin).toBeLessThan(500);
  });

  test('the size is looked at before anything else', () => {
    expect(refusalOf(Buffer.alloc(MAX_BYTES + 1, 0xff))).toContain('more than maxJobBytes (262144)');
  });

  test('whatever the bytes, a job comes out or a MalformedJobError does', () => {
    const soup = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((json) => Buffer.from(json)),
      fc
        .dictionary(fc.constantFrom(...Object.keys(ENVELOPE)), fc.jsonValue())
        .map((fields) => Buffer.from(wire(fields))),
      fc
        .tuple(fc.nat({ max: TEXT.length - 1 }), fc.string({ minLength: 1, maxLength: 3 }))
        .map(([at, other]) => Buffer.from(TEXT.slice(0, at) + other + TEXT.slice(at + 1))),
    );
    fc.assert(
      fc.property(soup, (bytes) => {
        try {
          const job = decodeJob(bytes, MAX_BYTES);
          expect(Object.getPrototypeOf(job)).toBe(Object.prototype);
          expect(job.attempt).toBeGreaterThanOrEqual(1);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedJobError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

test('a job that a ledger has sent need not have a key', () => {
  const ledger = { state: 's', dispatch: 7 };
  expect(decode(wire({ ledger })).ledger).toEqual(ledger);
});

describe('a field that stands twice', () => {
  test('counts as it stands last', () => {
    expect(decode(wireWith('"id":"job-2","args":{"userId":8}'))).toMatchObject({
      id: 'job-2',
      args: { userId: 8 },
    });
  });

  test('is checked as it stands last', () => {
    expect(refusalOf(wireWith('"attempt":-1'))).toContain('attempt is not a positive whole number');
    expect(refusalOf(wireWith('"v":2'))).toContain('its version is 2');
    expect(decode(`{"attempt":-1,"id":"\\n",${TEXT.slice(1)}`)).toMatchObject(JOB);
  });
});
