// Turns a job into the bytes of its message and back. What can't be understood is refused with the reason.
import { isUtf8 } from 'node:buffer';
import { MalformedJobError } from './errors';
import { problemOfExecutionTime } from './execution-time';
import { isCount } from './is-count';
import type { Job } from './job';
import { MAX_DEPTH, problemsOfJson } from './json-args';
import { problemOfPriority } from './lanes';
import {
  describe,
  problemOfJobId,
  problemOfJobName,
  problemOfKey,
  problemOfPartitionId,
  problemOfQueueName,
} from './names';
import { problemOfMaxRetries } from './retry-levels';

/** The envelope's version. A reader refuses versions it doesn't know; such messages are kept, not dropped. */
export const WIRE_VERSION = 1;
export const CONTENT_TYPE = 'application/vnd.roger.job+json';

interface Envelope extends Job {
  readonly v: number;
}

/** The bytes of a job that begins; so it has the fields of this version and no others. Its args as for {@link encodeJob}. */
export function encodeNewJob(job: Job): Buffer {
  const { id, name, partition, queue, queueKey, executionKey, args, attempt, queuedAt, runAt, replyTo } = job;
  const { priority, runNow, maxExecutionTimeSeconds, maxRetries } = job;
  return Buffer.from(
    JSON.stringify({
      v: WIRE_VERSION,
      id,
      name,
      partition,
      queue,
      queueKey,
      executionKey,
      priority,
      runNow,
      maxExecutionTimeSeconds,
      maxRetries,
      args,
      attempt,
      queuedAt,
      runAt,
      replyTo,
    }),
  );
}

/**
 * The bytes of a job. Its args must have passed {@link problemsOfJson}. Fields that this version doesn't know travel on:
 * a newer producer may have set them for newer workers.
 */
export function encodeJob(job: Job): Buffer {
  return Buffer.from(JSON.stringify({ v: WIRE_VERSION, ...job }));
}

/** The same for a job that comes again: it was to run at once, which it did. */
export function encodeAgain({ runNow: _past, ...job }: Job, changes: Partial<Job>): Buffer {
  return encodeJob({ ...job, ...changes });
}

/** The same for a job that goes to its ledger, which adds a token of its own when it sends it out. */
export function encodeForLedger({ ledger: _past, ...job }: Job): Buffer {
  return encodeJob(job);
}

/** Both. */
export function encodeAgainForLedger({ ledger: _past, ...job }: Job, changes: Partial<Job>): Buffer {
  return encodeAgain(job, changes);
}

/**
 * The job in a message's bytes.
 * @throws MalformedJobError when the bytes are too many, no UTF-8, no JSON, nested too deep, of another version, or
 * lack a field. Safe on hostile input: limits are checked before parsing.
 */
export function decodeJob(body: Buffer, maxBytes: number): Job {
  if (body.length === 0) throw new MalformedJobError('it is empty');
  if (body.length > maxBytes) {
    throw new MalformedJobError(`it has ${body.length} bytes, more than maxJobBytes (${maxBytes})`);
  }
  if (!isUtf8(body)) throw new MalformedJobError('it is not UTF-8');
  if (isNestedTooDeep(body)) throw new MalformedJobError(`it is nested deeper than ${MAX_DEPTH} levels`);
  const text = body.toString('utf8');
  const envelope = parse(text);
  const problem = problemOfEnvelope(envelope);
  if (problem !== undefined) throw new MalformedJobError(problem);
  // A "__proto__" key can only be written out or behind an escape; the walk is spared where neither occurs.
  if (text.includes('__proto__') || text.includes('\\u')) {
    const [first] = problemsOfJson((envelope as Envelope).args, 'args');
    if (first !== undefined) throw new MalformedJobError(`${first.path}: ${first.message}`);
    if (Object.hasOwn(envelope as Envelope, '__proto__')) {
      throw new MalformedJobError('a key named "__proto__" is refused');
    }
  }
  return envelope as Envelope;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new MalformedJobError(`it is not JSON`, { cause: error });
  }
}

function problemOfEnvelope(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'it is not a JSON object';
  const envelope = value as Partial<Record<keyof Envelope, unknown>>;
  if (envelope.v !== WIRE_VERSION) {
    return `its version is ${describe(envelope.v)}; this node understands version ${WIRE_VERSION}`;
  }
  const problem =
    problemOfJobId(envelope.id) ??
    problemOfJobName(envelope.name) ??
    problemOfPartitionId(envelope.partition) ??
    problemOfQueueName(envelope.queue);
  if (problem !== undefined) return problem;
  if (envelope.args === undefined) return 'args are missing';
  if (!isCount(envelope.attempt) || envelope.attempt === 0) return 'attempt is not a positive whole number';
  if (!isCount(envelope.queuedAt)) return 'queuedAt is not a time in milliseconds';
  if (envelope.runAt !== undefined && !isCount(envelope.runAt)) return 'runAt is not a time in milliseconds';
  const otherProblem = problemOfOrder(envelope) ?? problemOfBounds(envelope) ?? problemOfKeys(envelope);
  if (otherProblem !== undefined) return otherProblem;
  if (envelope.handedOn !== undefined && !isCount(envelope.handedOn)) return 'handedOn is not a count';
  return undefined;
}

function problemOfOrder({ priority, runNow }: Partial<Record<keyof Envelope, unknown>>): string | undefined {
  const problem = priority === undefined ? undefined : problemOfPriority(priority);
  if (problem !== undefined) return `priority: ${problem}`;
  return runNow === undefined || runNow === true ? undefined : 'runNow is not true';
}

function problemOfBounds({
  maxExecutionTimeSeconds: seconds,
  maxRetries,
}: Partial<Record<keyof Envelope, unknown>>): string | undefined {
  const ofTime = seconds === undefined ? undefined : problemOfExecutionTime(seconds);
  if (ofTime !== undefined) return `maxExecutionTimeSeconds ${ofTime}`;
  const ofRetries = maxRetries === undefined ? undefined : problemOfMaxRetries(maxRetries);
  return ofRetries === undefined ? undefined : `maxRetries ${ofRetries}`;
}

function problemOfKeys({
  queueKey,
  executionKey,
  ledger,
}: Partial<Record<keyof Envelope, unknown>>): string | undefined {
  const problem =
    (queueKey === undefined ? undefined : problemOfKey(queueKey)) ??
    (executionKey === undefined ? undefined : problemOfKey(executionKey));
  if (problem !== undefined || ledger === undefined) return problem;
  const { state, dispatch } = (ledger ?? {}) as { state?: unknown; dispatch?: unknown };
  const isToken = typeof state === 'string' && state.length <= 64 && isCount(dispatch) && dispatch > 0;
  return isToken ? undefined : 'ledger is not a token of a ledger';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

function isNestedTooDeep(body: Buffer): boolean {
  let depth = 0;
  for (let index = 0; index < body.length; index++) {
    const byte = body[index];
    if (byte === QUOTE) {
      index = endOfString(body, index);
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      // The envelope itself is one level around the args.
      if (++depth > MAX_DEPTH + 1) return true;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
    }
  }
  return false;
}

function endOfString(body: Buffer, start: number): number {
  let index = start + 1;
  while (index < body.length && body[index] !== QUOTE) index += body[index] === BACKSLASH ? 2 : 1;
  return index;
}
