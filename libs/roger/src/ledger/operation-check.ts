// Tells operations of this version from everything else that a request may hold. Requests are untrusted.
import { isCount } from '../job/is-count';
import type { Operation } from './operation';

type Kind = 'text' | 'text?' | 'count' | 'count?' | 'flag?' | 'outcome' | 'catch-up' | 'source';

const JOB = { partition: 'text', id: 'text' } as const;
const COPIES = { ...JOB, queuedAt: 'count' } as const;
const QUEUE = { partition: 'text', queue: 'text' } as const;
const KEYS = { queue: 'text', queueKey: 'text?', executionKey: 'text?' } as const;
const TOKEN = { state: 'text', dispatch: 'count' } as const;
const HOLDER = { owner: 'text', deliveries: 'count?' } as const;
const KEY = { partition: 'text', key: 'text' } as const;

const SCHEDULE = { partition: 'text', name: 'text' } as const;

/** The fields of each operation that a node may ask for; those that only a keeper logs are not among them. */
const FIELDS = new Map<unknown, readonly (readonly [field: string, kind: Kind])[]>(
  Object.entries({
    enqueue: { ...JOB, ...KEYS, body: 'count', runAt: 'count?' },
    'enqueue held': { ...JOB, ...KEYS, body: 'count', runAt: 'count?', why: 'text' },
    hold: {
      ...COPIES,
      ...{
        queue: 'text',
        runAt: 'count?',
        hasKeys: 'flag?',
        isDelivered: 'flag?',
        why: 'text',
        body: 'count',
      },
    },
    'undo hold': COPIES,
    release: { ...JOB, isNow: 'flag?' },
    'release all': { partition: 'text', why: 'text', count: 'count' },
    'is moved': COPIES,
    'met moved': COPIES,
    'is held': JOB,
    'held jobs': { partition: 'text', why: 'text?', count: 'count' },
    'held reasons': {},
    claim: { ...JOB, ...TOKEN, ...HOLDER, chain: 'count' },
    adopt: { ...JOB, ...KEYS, ...TOKEN, ...HOLDER },
    park: { ...JOB, ...TOKEN, body: 'count' },
    settle: { ...JOB, fence: 'count', outcome: 'outcome' },
    'bid farewell': { ...JOB, ...TOKEN },
    cancel: { ...JOB, reason: 'text' },
    met: JOB,
    'is cancelled': JOB,
    'keep cancels': { partition: 'text', until: 'count' },
    discard: { ...JOB, ...TOKEN },
    pause: QUEUE,
    resume: QUEUE,
    'purge waiting': QUEUE,
    standing: {},
    paused: { partition: 'text' },
    survey: { partition: 'text', count: 'count' },
    'is queued': KEY,
    'is executing': KEY,
    'remove queued': KEY,
    'remove executed': KEY,
    schedule: {
      ...SCHEDULE,
      ...KEYS,
      ...{ expression: 'text', timeZone: 'text', catchUp: 'catch-up' },
      ...{ job: 'text', source: 'source', body: 'count' },
    },
    unschedule: SCHEDULE,
    'pause schedule': SCHEDULE,
    'resume schedule': SCHEDULE,
    'run schedule': { ...SCHEDULE, id: 'text' },
    'cron tick': { ...SCHEDULE, at: 'count', revision: 'count' },
    schedules: { partition: 'text?' },
  } satisfies Partial<Record<Operation['op'], Readonly<Record<string, Kind>>>>).map(([op, fields]) => [
    op,
    Object.entries(fields) as [string, Kind][],
  ]),
);

export function isOperation(value: unknown): value is Operation {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Readonly<Record<string, unknown>>;
  const fields = FIELDS.get(record['op']);
  if (fields === undefined) return false;
  for (const [field, kind] of fields) if (!is(kind, record[field])) return false;
  return true;
}

function is(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'text?':
      return value === undefined || typeof value === 'string';
    case 'count':
      return isCount(value);
    case 'count?':
      return value === undefined || isCount(value);
    case 'flag?':
      return value === undefined || typeof value === 'boolean';
    case 'outcome':
      return isOutcome(value);
    case 'catch-up':
      return value === 'once' || value === 'skip';
    case 'source':
      return value === 'definition' || value === 'run time';
  }
}

function isOutcome(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, body, afterSeconds, reason, why } = value as Readonly<Record<string, unknown>>;
  switch (kind) {
    case 'done':
    case 'cancelled':
    case 'release':
      return true;
    case 'retry':
      return isCount(body) && isCount(afterSeconds) && afterSeconds > 0;
    case 'bury':
      return isCount(body) && isReason(reason);
    case 'hold':
      return isCount(body) && is('text', why);
    default:
      return false;
  }
}

function isReason(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { type, message, stack } = value as Readonly<Record<string, unknown>>;
  return is('text', type) && is('text', message) && is('text?', stack);
}
