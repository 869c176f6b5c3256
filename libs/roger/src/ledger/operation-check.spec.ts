// Only what this version can carry out passes.
import { isOperation } from './operation-check';

const JOB = { partition: 'p', id: 'j' };
const TOKEN = { state: 's', dispatch: 1 };
const QUEUE = { partition: 'p', queue: 'q' };
const SCHEDULE = { partition: 'p', name: 'n' };

const GOOD: Record<string, unknown>[] = [
  { op: 'enqueue', ...JOB, queue: 'q', body: 0 },
  { op: 'enqueue', ...JOB, queue: 'q', queueKey: 'k', executionKey: 'e', body: 0 },
  { op: 'claim', ...JOB, ...TOKEN, owner: 'o', chain: 1 },
  { op: 'adopt', ...JOB, ...TOKEN, queue: 'q', owner: 'o' },
  { op: 'park', ...JOB, ...TOKEN, body: 0 },
  { op: 'settle', ...JOB, fence: 1, outcome: { kind: 'done' } },
  { op: 'settle', ...JOB, fence: 1, outcome: { kind: 'cancelled' } },
  { op: 'settle', ...JOB, fence: 1, outcome: { kind: 'release' } },
  { op: 'enqueue', ...JOB, queue: 'q', body: 0, runAt: 1_790_000_000_000 },
  { op: 'keep cancels', partition: 'p', until: 1_790_000_000_000 },
  { op: 'settle', ...JOB, fence: 1, outcome: { kind: 'retry', afterSeconds: 3, body: 0 } },
  { op: 'settle', ...JOB, fence: 1, outcome: { kind: 'bury', reason: { type: 'E', message: 'm' }, body: 0 } },
  { op: 'bid farewell', ...JOB, ...TOKEN },
  { op: 'cancel', ...JOB, reason: 'r' },
  { op: 'met', ...JOB },
  { op: 'is cancelled', ...JOB },
  { op: 'discard', ...JOB, ...TOKEN },
  { op: 'pause', ...QUEUE },
  { op: 'resume', ...QUEUE },
  { op: 'purge waiting', ...QUEUE },
  { op: 'standing' },
  { op: 'paused', partition: 'p' },
  { op: 'is queued', partition: 'p', key: 'k' },
  { op: 'is executing', partition: 'p', key: 'k' },
  { op: 'remove queued', partition: 'p', key: 'k' },
  { op: 'remove executed', partition: 'p', key: 'k' },
  {
    ...{ op: 'schedule', ...SCHEDULE, job: 'j', queue: 'q', source: 'run time', body: 0 },
    ...{ expression: '@hourly', timeZone: 'UTC', catchUp: 'skip' },
  },
  { op: 'unschedule', ...SCHEDULE },
  { op: 'pause schedule', ...SCHEDULE },
  { op: 'resume schedule', ...SCHEDULE },
  { op: 'run schedule', ...SCHEDULE, id: 'j' },
  { op: 'cron tick', ...SCHEDULE, at: 1, revision: 1 },
  { op: 'schedules' },
];

describe('an operation', () => {
  it.each(GOOD)('passes: $op', (operation) => {
    expect(isOperation(JSON.parse(JSON.stringify(operation)))).toBe(true);
  });

  it.each(GOOD)('is refused when a field is missing or of another type: $op', (operation) => {
    for (const field of Object.keys(operation)) {
      const isOptional = ['queueKey', 'executionKey', 'runAt'].includes(field);
      expect(isOperation({ ...operation, [field]: undefined })).toBe(isOptional);
      expect(isOperation({ ...operation, [field]: null })).toBe(false);
      expect(isOperation({ ...operation, [field]: [] })).toBe(false);
    }
  });

  it.each(['dispatched', 'dispatch again', 'dispatch all again', 'missing', 'tick'])(
    "is refused when it is a keeper's own: %s",
    (op) => {
      expect(isOperation({ op, ...JOB, dispatch: 1 })).toBe(false);
    },
  );

  it.each([
    undefined,
    null,
    1,
    'enqueue',
    [],
    {},
    { op: 'toString' },
    { op: '__proto__' },
    { op: ['claim'] },
  ])('is refused when it is none: %p', (value) => {
    expect(isOperation(value)).toBe(false);
  });

  it.each([
    { kind: 'retry', afterSeconds: 0, body: 0 },
    { kind: 'retry', afterSeconds: 1.5, body: 0 },
    { kind: 'retry', afterSeconds: 1 },
    { kind: 'bury', body: 0 },
    { kind: 'bury', body: 0, reason: {} },
    { kind: 'bury', body: 0, reason: { type: 'E', message: 1 } },
    { kind: 'explode' },
    {},
  ])('is refused with an outcome that is none: %p', (outcome) => {
    expect(isOperation({ op: 'settle', ...JOB, fence: 1, outcome })).toBe(false);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53, '1'])('is refused with a count that is none: %p', (body) => {
    expect(isOperation({ op: 'enqueue', ...JOB, queue: 'q', body })).toBe(false);
  });
});
