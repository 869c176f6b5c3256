// Reads from a job what its rows say of it, args included as far as they are to be recorded.
import { createHash } from 'node:crypto';
import type { Job } from 'nestjs-roger';
import { plainText } from './plain-text';
import { textOfFacts } from './record-text';
import type { JobFacts } from './rows';

/** What is kept of a job's args: all, what tells equal ones from others, or nothing. */
export type ArgsRecording = 'full' | 'hash' | 'none';

const MAX_KEY_LENGTH = 512;
const MAX_REPLY_LENGTH = 200;
const MAX_PRIORITY = 2 ** 31 - 1;

export class FactsReader {
  constructor(
    private readonly recording: ArgsRecording,
    /** Larger args are not kept, only their hash. */
    private readonly maxArgsBytes: number,
  ) {}

  /** To be called before a handler has the args in hand: it may change them. */
  read(job: Job): JobFacts {
    return new RecordedFacts(job, this.argsOf(job));
  }

  private argsOf({ args }: Job): RecordedArgs {
    if (this.recording === 'none') return NOTHING;
    const text = JSON.stringify(args);
    const isKept = this.recording === 'full' && text.length <= this.maxArgsBytes;
    return isKept ? { args: text, args_hash: null } : { args: null, args_hash: hashOf(text) };
  }
}

type RecordedArgs = Pick<JobFacts, 'args' | 'args_hash'>;

/** What tells a job from all others, of any partition. */
export function jobKey(partition: string, id: string): string {
  return `${partition}/${id}`;
}

/** They know their text and their key, which all events of a job's life share. */
export class RecordedFacts implements JobFacts {
  readonly partition: string;
  readonly job_id: string;
  readonly queued_at: number;
  readonly name: string;
  readonly queue: string;
  readonly priority: number;
  readonly queue_key: string | null;
  readonly execution_key: string | null;
  readonly args: string | null;
  readonly args_hash: string | null;
  readonly max_retries: number | null;
  readonly max_execution_time_seconds: number | null;
  readonly reply_to: string | null;
  #text: string | undefined;
  #key: string | undefined;

  constructor(job: Job, { args, args_hash }: RecordedArgs) {
    const { queueKey, executionKey } = job;
    this.partition = job.partition;
    this.job_id = job.id;
    this.queued_at = job.queuedAt;
    this.name = job.name;
    this.queue = job.queue;
    this.priority = priorityOf(job);
    this.queue_key = queueKey === undefined ? null : plainText(queueKey, MAX_KEY_LENGTH);
    this.execution_key = executionKey === undefined ? null : plainText(executionKey, MAX_KEY_LENGTH);
    this.args = args;
    this.args_hash = args_hash;
    this.max_retries = job.maxRetries ?? null;
    this.max_execution_time_seconds = job.maxExecutionTimeSeconds ?? null;
    this.reply_to = replyOf(job);
  }

  /** See {@link jobKey}. */
  get key(): string {
    return (this.#key ??= jobKey(this.partition, this.job_id));
  }

  /** As it stands in a record. */
  get text(): string {
    return (this.#text ??= textOfFacts(this));
  }
}

const NOTHING = { args: null, args_hash: null };

/** The SHA-256 of args as JSON, as it stands in `argsHash`. */
function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Of a job that was received it is untrusted, and can be anything. */
function replyOf({ replyTo }: { readonly replyTo?: unknown }): string | null {
  if (replyTo === undefined) return null;
  const { node, token } = (replyTo ?? {}) as { readonly node?: unknown; readonly token?: unknown };
  if (typeof node !== 'string' || typeof token !== 'string') return null;
  return node.length + token.length > MAX_REPLY_LENGTH ? null : JSON.stringify({ node, token });
}

function priorityOf(job: Job): number {
  const { priority } = job as { readonly priority?: unknown };
  if (typeof priority !== 'number' || !Number.isInteger(priority)) return 0;
  return Math.max(-MAX_PRIORITY, Math.min(MAX_PRIORITY, priority));
}
