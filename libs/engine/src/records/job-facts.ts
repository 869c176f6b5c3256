// Reads from a job what its rows say of it, args included as far as they are to be recorded.
import { createHash } from 'node:crypto';
import type { Job } from 'nestjs-roger';
import { plainText } from './plain-text';
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
    const { queueKey, executionKey } = job;
    const { args, args_hash } = this.argsOf(job);
    return {
      partition: job.partition,
      job_id: job.id,
      queued_at: job.queuedAt,
      name: job.name,
      queue: job.queue,
      priority: priorityOf(job),
      queue_key: queueKey === undefined ? null : plainText(queueKey, MAX_KEY_LENGTH),
      execution_key: executionKey === undefined ? null : plainText(executionKey, MAX_KEY_LENGTH),
      args,
      args_hash,
      max_retries: job.maxRetries ?? null,
      max_execution_time_seconds: job.maxExecutionTimeSeconds ?? null,
      reply_to: replyOf(job),
    };
  }

  private argsOf({ args }: Job): RecordedArgs {
    if (this.recording === 'none') return NOTHING;
    const text = JSON.stringify(args);
    const isKept = this.recording === 'full' && text.length <= this.maxArgsBytes;
    return isKept ? { args: text, args_hash: null } : { args: null, args_hash: hashOf(text) };
  }
}

type RecordedArgs = Pick<JobFacts, 'args' | 'args_hash'>;

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
