// Wrong options stop the start with an error that names each one, its value and the remedy, and no password.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import type { Problem } from './job/errors';
import { InvalidOptionsError } from './job/errors';
import type { RogerModuleOptions } from './roger.options';
import { settingsOf } from './roger.options';
import { MemoryBroker } from './transports/memory/memory-broker';

function problemsOf(options: unknown): readonly Problem[] {
  try {
    settingsOf(options as RogerModuleOptions);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionsError);
    const { problems, message } = error as InvalidOptionsError;
    for (const problem of problems) expect(message).toContain(problem.path);
    return problems;
  }
}

const uri = 'amqp://localhost';

describe('options that are taken', () => {
  test.each<[string, RogerModuleOptions]>([
    ['none at all', {}],
    ['options that are undefined', { retryLevels: undefined }],
    ['a broker', { connection: { uri } }],
    ['two brokers of a cluster', { connection: { uri: ['amqp://a', 'amqps://b:5671/vhost'] } }],
    ['a password with @, : / and %', { connection: { uri: 'amqp://u:p%40%3A%2F%25@host:5672/my%2Fvhost' } }],
    ['an IPv6 host', { connection: { uri: 'amqp://[::1]:5672' } }],
    ['all of a connection', { connection: { uri, heartbeatSeconds: 3600, name: 'x', tls: { ca: 'x' } } }],
    [
      'queues with and without braces',
      { partitions: { acme: { default: 1, mail: { maxWorkers: 65_000 } } } },
    ],
    ['partitions with -', { partitions: { 'a-b': { c: 1 }, a: { b_c: 1 } } }],
    ['a partition named constructor', { partitions: { constructor: { default: 1 } } }],
    ['no partitions', { partitions: {} }],
    ['a producer', { mode: 'producer' }],
    [
      'the least of everything',
      { maxBuriedQueueSize: 1, deliveryLimit: 1, shutdownTimeoutMs: 0, enqueueTimeoutMs: 1 },
    ],
    ['the longest timer of Node', { shutdownTimeoutMs: 2 ** 31 - 1, enqueueTimeoutMs: 2 ** 31 - 1 }],
    ['a broker in memory', { memory: new MemoryBroker() }],
  ])('%s', (_what, options) => {
    expect(problemsOf(options)).toEqual([]);
  });
});

describe('options that are refused', () => {
  const control = 'a\nb\u0000';

  test.each<[what: string, options: unknown, path: string, remedy: string]>([
    ['no options', undefined, '', 'the options must be an object, not undefined'],
    ['null', null, '', 'the options must be an object, not null'],
    ['a list', [], '', 'the options must be an object, not an array'],
    ['a number', 5, '', 'the options must be an object, not 5'],

    [
      'a misspelt option',
      { conection: { uri } },
      '"conection"',
      'unknown option; did you mean "connection"?',
    ],
    [
      'an option of something else',
      { redis: {} },
      '"redis"',
      'unknown option; known are connection, partitions',
    ],
    ['an option with a newline', { 'mode\n': 'x' }, '"mode\\n"', 'did you mean "mode"?'],
    ['an option named constructor', { constructor: 1 }, '"constructor"', 'unknown option'],
    ['an option named __proto__', JSON.parse('{"__proto__":{}}'), '"__proto__"', 'unknown option'],

    ['no URI', { connection: {} }, 'connection.uri', "is missing; say for example 'amqp://localhost'"],
    [
      'a misspelt uri',
      { connection: { uri, url: uri } },
      '"connection.url"',
      'unknown option; did you mean "uri"?',
    ],
    [
      'null for a connection',
      { connection: null },
      'connection',
      "an object like { uri: 'amqp://localhost' }, not null",
    ],
    ['a list for a connection', { connection: [uri] }, 'connection', 'not an array'],
    [
      'a number for a URI',
      { connection: { uri: 5672 } },
      'connection.uri',
      "a text like 'amqp://localhost', not 5672",
    ],
    ['no URIs', { connection: { uri: [] } }, 'connection.uri', 'is an empty list'],
    ['an empty URI', { connection: { uri: '' } }, 'connection.uri', 'is no URI'],
    ['a URI without a scheme', { connection: { uri: '//localhost' } }, 'connection.uri', 'is no URI'],
    [
      'a host and port',
      { connection: { uri: 'localhost:5672' } },
      'connection.uri',
      'must be amqp:// or amqps://',
    ],
    [
      'the wrong scheme',
      { connection: { uri: 'http://localhost' } },
      'connection.uri',
      'has the scheme "http:"',
    ],
    ['a URI without host', { connection: { uri: 'amqp://' } }, 'connection.uri', 'names no host'],
    ['a URI without //', { connection: { uri: 'amqp:localhost' } }, 'connection.uri', 'names no host'],
    [
      'an empty vhost',
      { connection: { uri: 'amqp://h/' } },
      'connection.uri',
      'leave the / out for the default vhost',
    ],
    [
      'the vhost /',
      { connection: { uri: 'amqp://h//' } },
      'connection.uri',
      'has a / in its vhost; write it as %2F',
    ],
    ['a vhost with /', { connection: { uri: 'amqp://h/a/b' } }, 'connection.uri', 'write it as %2F'],
    ['a port beyond all ports', { connection: { uri: 'amqp://h:99999' } }, 'connection.uri', 'is no URI'],
    [
      'a bad one of two',
      { connection: { uri: [uri, 'ftp://x'] } },
      'connection.uri',
      'has the scheme "ftp:"',
    ],
    [
      'heartbeat 0',
      { connection: { uri, heartbeatSeconds: 0 } },
      'connection.heartbeatSeconds',
      'from 1 to 3600, not 0',
    ],
    [
      'heartbeat NaN',
      { connection: { uri, heartbeatSeconds: Number.NaN } },
      'connection.heartbeatSeconds',
      'not NaN',
    ],
    [
      'an empty name',
      { connection: { uri, name: '' } },
      'connection.name',
      'a text of 1 to 128 characters, not ""',
    ],
    [
      'null for TLS',
      { connection: { uri, tls: null } },
      'connection.tls',
      'an object of TLS settings, not null',
    ],

    [
      'a list of partitions',
      { partitions: ['acme'] },
      'partitions',
      'an object like { acme: { default: 10 } }, not an array',
    ],
    [
      'a Map of partitions',
      { partitions: new Map([['a', {}]]) },
      'partitions',
      'an object like { acme: { default: 10 } }',
    ],
    [
      'an empty partition id',
      { partitions: { '': { q: 1 } } },
      'partitions',
      '"" is no partition id: 1 to 64 of',
    ],
    [
      'a path for a partition',
      { partitions: { '../x': { q: 1 } } },
      'partitions',
      '"../x" is no partition id',
    ],
    [
      'a partition with control characters',
      { partitions: { [control]: { q: 1 } } },
      'partitions',
      '"a\\nb\\u0000" is no',
    ],
    [
      'a partition id of 256 bytes',
      { partitions: { ['x'.repeat(256)]: { q: 1 } } },
      'partitions',
      'is no partition id',
    ],
    [
      'a partition named __proto__',
      { partitions: JSON.parse('{"__proto__":{"q":1}}') as unknown },
      'partitions',
      '"__proto__" is reserved',
    ],
    [
      'a partition without queues',
      { partitions: { acme: {} } },
      'partitions.acme',
      'has no queue; say for example { default: 10 }',
    ],
    [
      'a number for the queues',
      { partitions: { acme: 10 } },
      'partitions.acme',
      'an object like { default: 10 }, not 10',
    ],
    ['a list of queues', { partitions: { acme: ['mail'] } }, 'partitions.acme', 'not an array'],
    ['a queue with a hyphen', { partitions: { a: { 'b-c': 1 } } }, 'partitions.a', '"b-c" is no queue name'],
    ['a queue in capitals', { partitions: { a: { Mail: 1 } } }, 'partitions.a', '"Mail" is no queue name'],
    [
      'a queue with a newline',
      { partitions: { a: { 'q\n': 1 } } },
      'partitions.a',
      '"q\\n" is no queue name',
    ],
    ['retryJitter 2', { retryJitter: 2 }, 'retryJitter', 'a number from 0 to 1, not 2'],
    ['retryJitter NaN', { retryJitter: Number.NaN }, 'retryJitter', 'a number from 0 to 1, not NaN'],
    [
      'levels of a queue that get shorter',
      { partitions: { a: { q: { maxWorkers: 1, retryLevels: [5, 1] } } } },
      'partitions.a.q.retryLevels',
      'must not get shorter: 5, 1',
    ],
    [
      'levels of a queue without workers',
      { partitions: { a: { q: { retryLevels: [1] } } } },
      'partitions.a.q.maxWorkers',
      'is missing',
    ],
    ['maxWorkers -1', { partitions: { a: { q: -1 } } }, 'partitions.a.q', 'from 0 to 65000, not -1'],
    ['maxWorkers 1.5', { partitions: { a: { q: 1.5 } } }, 'partitions.a.q', 'not 1.5'],
    [
      "maxWorkers '5'",
      { partitions: { a: { q: { maxWorkers: '5' } } } },
      'partitions.a.q.maxWorkers',
      'not "5"',
    ],
    [
      'maxWorkers 65 536',
      { partitions: { a: { q: { maxWorkers: 65_536 } } } },
      'partitions.a.q.maxWorkers',
      'not 65536',
    ],
    ['maxWorkers null', { partitions: { a: { q: null } } }, 'partitions.a.q', 'not null'],
    ['maxWorkers NaN', { partitions: { a: { q: Number.NaN } } }, 'partitions.a.q', 'not NaN'],
    ['no maxWorkers', { partitions: { a: { q: {} } } }, 'partitions.a.q.maxWorkers', 'is missing'],
    [
      'a misspelt setting',
      { partitions: { a: { q: { maxWorkers: 1, maxWorker: 2 } } } },
      '"partitions.a.q.maxWorker"',
      'did you mean "maxWorkers"?',
    ],

    ['another mode', { mode: 'consumer' }, 'mode', "must be 'producer' or 'worker', not \"consumer\""],
    ['an empty namespace', { namespace: '' }, 'namespace', 'must be 1 to 64 of the characters'],
    ['a namespace with a dot', { namespace: 'a.b' }, 'namespace', 'not "a.b"'],
    ['no retry levels', { retryLevels: [] }, 'retryLevels', 'for no retries say retryable: false'],
    ['negative levels', { retryLevels: [-1] }, 'retryLevels', 'from 1 to 604800 (a week), not -1'],
    ['levels that get shorter', { retryLevels: [5, 3] }, 'retryLevels', 'must not get shorter: 5, 3'],
    ['an undefined level', { retryLevels: [undefined] }, 'retryLevels', 'not undefined'],
    [
      'no buried jobs',
      { maxBuriedQueueSize: 0 },
      'maxBuriedQueueSize',
      'a whole number of jobs from 1 to 100000000, not 0',
    ],
    [
      'no deliveries',
      { deliveryLimit: 0 },
      'deliveryLimit',
      'a whole number of deliveries from 1 to 1000000, not 0',
    ],
    [
      'a timeout of 2³¹ ms',
      { shutdownTimeoutMs: 2 ** 31 },
      'shutdownTimeoutMs',
      'from 0 to 2147483647, not 2147483648',
    ],
    ['a negative timeout', { shutdownTimeoutMs: -1 }, 'shutdownTimeoutMs', 'not -1'],
    [
      'an endless timeout',
      { enqueueTimeoutMs: Infinity },
      'enqueueTimeoutMs',
      'from 1 to 2147483647, not Infinity',
    ],
    ['enqueue in no time', { enqueueTimeoutMs: 0 }, 'enqueueTimeoutMs', 'not 0'],
    ['a text for bytes', { maxBufferedBytes: '128mb' }, 'maxBufferedBytes', 'not "128mb"'],
    [
      'hardly any bytes',
      { maxJobBytes: 10 },
      'maxJobBytes',
      'a whole number of bytes from 256 to 16777216, not 10',
    ],
    ['more than 16 MiB', { maxJobBytes: 2 ** 24 + 1 }, 'maxJobBytes', 'not 16777217'],
    ['something else for memory', { memory: {} }, 'memory', 'must be a MemoryBroker, not an object'],
    [
      'memory beside a connection',
      { connection: { uri }, memory: new MemoryBroker() },
      'memory',
      'leave it out where there is a connection',
    ],
  ])('%s', (_what, options, path, remedy) => {
    const problems = problemsOf(options);
    expect(problems.map((problem) => problem.path)).toEqual([path]);
    expect(problems[0]?.message).toContain(remedy);
  });

  test('all that is wrong is told at once', () => {
    expect(
      problemsOf({
        conection: {},
        connection: { uri: 'http://h', heartbeatSeconds: 0, pasword: 'x' },
        partitions: { 'a b': { q: 1 }, acme: { q: -1, mail: { maxWorkers: '1' } }, empty: {} },
        mode: 'x',
        shutdownTimeoutMs: -1,
      }).map(({ path }) => path),
    ).toEqual([
      '"conection"',
      'connection.uri',
      'connection.heartbeatSeconds',
      '"connection.pasword"',
      'partitions',
      'partitions.acme.q',
      'partitions.acme.mail.maxWorkers',
      'partitions.empty',
      'mode',
      'shutdownTimeoutMs',
    ]);
  });
});

describe('a password', () => {
  const secret = 'hunter2';
  test.each<[string, unknown]>([
    ['in a URI of the wrong scheme', { connection: { uri: `http://u:${secret}@h` } }],
    ['in a URI with @ in it', { connection: { uri: `amqp://u:${secret}@@:x` } }],
    ['in a URI with % in it', { connection: { uri: `amqp://u:${secret}%@h` } }],
    ['in a URI that is none', { connection: { uri: `amqp://u:${secret}@ho st` } }],
    ['in a URI with an empty vhost', { connection: { uri: `amqp://u:${secret}@h/` } }],
    ['in the second URI', { connection: { uri: [uri, `ftp://u:${secret}@h`] } }],
    ['in a URI given for the connection', { connection: `amqp://u:${secret}@h` }],
    ['in a URI given for the options', `amqp://u:${secret}@h`],
    ['as an option of its own', { connection: { uri, password: secret } }],
    ['in place of TLS settings', { connection: { uri, tls: secret } }],
    ['in a list in a list', { connection: { uri: [[`amqp://u:${secret}@h`]] } }],
  ])('%s is not shown', (_what, options) => {
    let shown = '';
    try {
      settingsOf(options as RogerModuleOptions);
    } catch (error) {
      shown = JSON.stringify(error) + String((error as Error).stack);
    }
    expect(shown).toContain('Invalid RogerModule options');
    expect(shown).not.toContain(secret);
  });
});

describe('the defaults', () => {
  test('are those that the comments promise', () => {
    const settings: Readonly<Record<string, unknown>> = { ...settingsOf({}) };
    const promised = documentedDefaults('RogerModuleOptions');
    expect(Object.keys(promised).sort()).toEqual(Object.keys(settings).sort());
    for (const [option, text] of Object.entries(promised)) {
      const isAbsent = text.startsWith('none') || text === 'one of its own';
      const value = isAbsent ? undefined : (JSON.parse(text.replaceAll("'", '"')) as unknown);
      const set = settings[option];
      expect({ option, value: isAbsent && isEmpty(set) ? undefined : set }).toEqual({ option, value });
    }
  });

  test('give way to what is said, falsy or not', () => {
    const said = { shutdownTimeoutMs: 0, retryLevels: [7], partitions: { acme: { default: 1 } } };
    expect(settingsOf(said)).toMatchObject(said);
  });
});

function isEmpty(value: unknown): boolean {
  return (
    value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  );
}

/** What stands behind `@default` at each member of an interface of roger.options.ts. */
function documentedDefaults(interfaceName: string): Record<string, string> {
  const path = join(__dirname, 'roger.options.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022, true);
  const declaration = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === interfaceName,
  );
  const members = declaration?.members ?? [];
  return Object.fromEntries(
    members.map((member) => {
      const tag = ts.getJSDocTags(member).find(({ tagName }) => tagName.text === 'default');
      return [member.name?.getText() ?? '', ts.getTextOfJSDocComment(tag?.comment) ?? ''];
    }),
  );
}
