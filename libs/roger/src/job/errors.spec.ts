// Every error has a code of its own, a name, names the thing it is about, and shows nothing raw.
import * as roger from '../index';
import * as errors from './errors';
import { RogerError, show } from './errors';

/** Control characters of ASCII and beyond, and what ends a line in Unicode. */
const RAW = 'a\u0000\u001b[2J\u007f\u009b1m\u2028\u2029';
const SHOWN = 'a\\u0000\\u001b[2J\\u007f\\u009b1m\\u2028\\u2029';

type ErrorName = {
  [K in keyof typeof errors]: (typeof errors)[K] extends abstract new (...args: never[]) => RogerError
    ? K
    : never;
}[keyof typeof errors];

const problems = [
  { path: 'user.tags[2]', message: `${RAW} is wrong` },
  { path: '', message: 'the whole is wrong' },
];
const cause = new Error(`refused\r\n${RAW}`);

/** One of each, made with texts of hostile origin, and what its message must hold. */
const EXAMPLES: Record<
  Exclude<ErrorName, 'RogerError'>,
  readonly [make: (text: string) => RogerError, ...mentions: string[]]
> = {
  InvalidOptionsError: [
    () => new errors.InvalidOptionsError(problems),
    'user.tags[2]: a',
    '; the whole is wrong',
  ],
  InvalidJobDefinitionError: [
    (text) => new errors.InvalidJobDefinitionError(text, 'no perform'),
    SHOWN,
    'no perform',
  ],
  DuplicateJobDefinitionError: [
    (text) => new errors.DuplicateJobDefinitionError(text, 'First', 'Second'),
    SHOWN,
    'First and Second',
    "@RogerJob({ name: '…' })",
  ],
  NotAJobClassError: [(text) => new errors.NotAJobClassError(text), SHOWN, '@RogerJob()'],
  InvalidJobArgsError: [(text) => new errors.InvalidJobArgsError(text, problems), SHOWN, 'user.tags[2]: a'],
  InvalidEnqueueOptionsError: [() => new errors.InvalidEnqueueOptionsError(problems), 'user.tags[2]: a'],
  InvalidArgumentError: [(text) => new errors.InvalidArgumentError('queue', text), 'queue: '],
  JobTooLargeError: [
    (text) => new errors.JobTooLargeError(text, 11, 10),
    SHOWN,
    '11 bytes',
    '(10)',
    'maxJobBytes',
  ],
  QueueNotFoundError: [(text) => new errors.QueueNotFoundError(text, 'mail'), SHOWN, '"mail"'],
  CannotServeError: [(text) => new errors.CannotServeError(text, 'it rests'), SHOWN, 'it rests'],
  ManagementUnavailableError: [(text) => new errors.ManagementUnavailableError(text), SHOWN, 'managementUri'],
  NoJournalError: [(text) => new errors.NoJournalError('acme', text), SHOWN, '"acme"', 'journal: true'],
  QueueFullError: [(text) => new errors.QueueFullError('acme', text), SHOWN, '"acme"'],
  BrokerUnavailableError: [
    () => new errors.BrokerUnavailableError(50, true, cause),
    '50 ms',
    '(refused\\u000d\\u000aa',
    'same id',
  ],
  NotConnectedError: [() => new errors.NotConnectedError(cause), 'Not connected', '(refused\\u000d\\u000aa'],
  QueueNotAnsweringError: [
    (text) => new errors.QueueNotAnsweringError(text, text, cause),
    'does not answer',
    '(refused\\u000d\\u000aa',
  ],
  BrokerBlockedError: [
    (text) => new errors.BrokerBlockedError(50, false, text),
    '50 ms',
    SHOWN,
    'was not sent',
  ],
  EnqueueBufferFullError: [() => new errors.EnqueueBufferFullError(10), '10 bytes', 'maxBufferedBytes'],
  RogerClosedError: [() => new errors.RogerClosedError(), 'Roger is closed'],
  UnknownPartitionError: [
    (text) => new errors.UnknownPartitionError(text, ['acme', 'umbrella']),
    SHOWN,
    'acme, umbrella',
  ],
  TopologyMismatchError: [
    (text) => new errors.TopologyMismatchError(text, 'x-message-ttl', cause),
    SHOWN,
    'x-message-ttl',
  ],
  BrokerRefusedError: [
    (text) => new errors.BrokerRefusedError(text, cause),
    SHOWN,
    '(refused\\u000d\\u000aa',
  ],
  MalformedJobError: [(text) => new errors.MalformedJobError(text), SHOWN],
  MisroutedJobError: [(text) => new errors.MisroutedJobError(text, 'acme/mail'), SHOWN, '"acme/mail"'],
  JobDefinitionInactiveError: [(text) => new errors.JobDefinitionInactiveError(text), SHOWN, 'off'],
  UnknownJobError: [(text) => new errors.UnknownJobError(text, 14), SHOWN, '14 times'],
  ShutdownError: [() => new errors.ShutdownError(15_000), '15000 ms'],
  DeliveryLostError: [(text) => new errors.DeliveryLostError(text), SHOWN],
  LedgerUnavailableError: [
    (text) => new errors.LedgerUnavailableError(text, 50, { maybeEnqueued: true, cause }),
    SHOWN,
    '50 ms',
    '(refused\\u000d\\u000aa',
    'same id',
  ],
  LedgerFullError: [(text) => new errors.LedgerFullError(text, 10), SHOWN, '10 waiting', 'maxWaitingJobs'],
  LedgerShardsMismatchError: [
    (text) => new errors.LedgerShardsMismatchError(4, 8, text),
    'is 4 on this node, but 8',
    'Set ledgerShards',
  ],
  LedgerStateError: [
    (text) => new errors.LedgerStateError(text, `it is ${text}`),
    SHOWN,
    'it is a',
    'from a backup',
  ],
  JobCancelledError: [(text) => new errors.JobCancelledError(text), SHOWN],
  JobTimeoutError: [(text) => new errors.JobTimeoutError(1_500, text), SHOWN, '1.5 s'],
  JobCrashedError: [(text) => new errors.JobCrashedError(text), SHOWN],
  JobFailedError: [
    (text) => new errors.JobFailedError('j1', 'buried', { type: 'Error', message: text }, 3),
    SHOWN,
    '"j1"',
    '3 attempts',
  ],
  JobNotFinishedError: [(text) => new errors.JobNotFinishedError(text, 500), SHOWN, '500 ms', 'goes on'],
  JobResultUnavailableError: [(text) => new errors.JobResultUnavailableError('j1', text), SHOWN, '"j1"'],
  InvalidCommandError: [
    (text) => new errors.InvalidCommandError(text, 'it is request-scoped'),
    SHOWN,
    'request-scoped',
  ],
  DuplicateCommandError: [
    (text) => new errors.DuplicateCommandError(text, 'A.first', 'B.second'),
    SHOWN,
    'A.first and B.second',
  ],
  UnknownCommandError: [(text) => new errors.UnknownCommandError(text, 'node-1'), SHOWN, 'node-1'],
  CommandFailedError: [
    (text) => new errors.CommandFailedError(text, 'node-1', { type: 'TypeError', message: text }),
    SHOWN,
    'node-1',
    'TypeError',
  ],
  CommandRefusedError: [
    (text) => new errors.CommandRefusedError(text, 'node-1', 'it is shutting down'),
    SHOWN,
    'node-1',
    'shutting down',
  ],
};

const names = Object.keys(EXAMPLES) as (keyof typeof EXAMPLES)[];

describe.each(names)('%s', (name) => {
  const [make, ...mentions] = EXAMPLES[name];
  const error = make(RAW);

  test('goes by its class name and is known as an error of Roger', () => {
    expect(error).toBeInstanceOf(errors[name]);
    expect(error).toBeInstanceOf(RogerError);
    expect(error.name).toBe(name);
    expect(error.stack).toContain(name);
  });

  test('has the code that its name says', () => {
    const words = name.replace(/^Roger|Error$/g, '').replace(/\B[A-Z]/g, '_$&');
    expect(error.code).toBe(`ROGER_${words.toUpperCase()}`);
  });

  test('names what it is about, on one line without control characters', () => {
    for (const mention of mentions) expect(error.message).toContain(mention);
    expect(error.message).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
  });

  test('is public', () => {
    expect(roger).toHaveProperty(name, errors[name]);
  });
});

test('no two errors share a code', () => {
  const codes = names.map((name) => EXAMPLES[name][0]('x').code);
  expect(new Set(codes).size).toBe(names.length);
});

test('no error class is left out above', () => {
  const classes = Object.entries(errors).filter(([, it]) =>
    Object.prototype.isPrototypeOf.call(RogerError, it),
  );
  expect(classes.map(([name]) => name).sort()).toEqual([...names].sort());
});

test('an error carries its data, for code that reads it', () => {
  expect(new errors.QueueNotFoundError('acme', 'mail')).toMatchObject({ partition: 'acme', queue: 'mail' });
  expect(new errors.JobTooLargeError('mail', 11, 10)).toMatchObject({
    jobName: 'mail',
    bytes: 11,
    maxBytes: 10,
  });
  expect(new errors.InvalidJobArgsError('mail', problems).problems).toBe(problems);
  expect(new errors.NotConnectedError(cause).cause).toBe(cause);
});

test('whether a doubtful job may have been enqueued is said in words and in data', () => {
  for (const make of [
    (maybe: boolean) => new errors.BrokerUnavailableError(10, maybe),
    (maybe: boolean) => new errors.BrokerBlockedError(10, maybe, 'low on memory'),
  ]) {
    expect(make(true)).toMatchObject({
      maybeEnqueued: true,
      message: expect.stringContaining('may have arrived') as string,
    });
    expect(make(false)).toMatchObject({
      maybeEnqueued: false,
      message: expect.stringContaining('was not sent') as string,
    });
  }
});

test('whether a ledger may have taken the job is said in words and in data', () => {
  const make = (maybeEnqueued: boolean) =>
    new errors.LedgerUnavailableError('acme', 10, { maybeEnqueued, cause });
  expect(make(true)).toMatchObject({
    maybeEnqueued: true,
    partition: 'acme',
    cause,
    message: expect.stringContaining('may have taken effect') as string,
  });
  expect(make(false)).toMatchObject({
    maybeEnqueued: false,
    message: expect.stringContaining('Nothing was sent') as string,
  });
});

test('a job that was cancelled without a reason says no more than that', () => {
  expect(new errors.JobCancelledError('')).toMatchObject({ message: 'The job was cancelled', reason: '' });
});

test('a long text is cut where it is shown, also in the midst of a character', () => {
  expect(show('x'.repeat(1_000_000))).toHaveLength(131);
  expect(show(`${'x'.repeat(127)}😀`)).toBe(`"${'x'.repeat(127)}\\ud83d…"`);
});
