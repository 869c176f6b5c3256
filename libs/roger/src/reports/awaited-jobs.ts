// The jobs whose outcome somebody on this node may wait for.
import { randomBytes } from 'node:crypto';
import {
  InvalidArgumentError,
  JobCancelledError,
  JobFailedError,
  JobNotFinishedError,
  JobResultUnavailableError,
  NotConnectedError,
  RogerClosedError,
} from '../job/errors';
import type { ReplyTo } from '../job/job';
import { describe } from '../job/names';
import type { FinalOutcome, OutcomeMail } from './report-mail';
import type { ReportPost } from './report-post';

/** How long to wait for a job's outcome. */
export interface FinishedOptions {
  /** In ms, 0 to 2147483647. When it is over, JobNotFinishedError is thrown; the job goes on. */
  readonly timeoutMs: number;
  /** Ends the wait early: `finished` rejects with its reason; the job goes on. */
  readonly signal?: AbortSignal;
}

/** So long an outcome that nobody waits for yet can still be taken. */
const KEPT_MS = 60 * 60 * 1_000;
const MAX_IDLE = 10_000;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

interface Wait {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How a job ended, and the bytes of its result. */
interface Ended {
  readonly outcome: FinalOutcome;
  readonly result: Buffer | undefined;
}

/** A job that may be awaited. Kept below while its outcome is open, afterwards only by whoever holds it. */
interface AwaitedJob {
  readonly jobId: string;
  readonly replyTo: ReplyTo;
  readonly waits: Set<Wait>;
  readonly expiresAt: number;
  ended: Ended | undefined;
}

/** What can be waited for. */
export interface Awaitable {
  readonly replyTo: ReplyTo;
  /** Resolves when the outcome can come. @throws NotConnectedError, BrokerRefusedError, RogerClosedError */
  readonly ready: () => Promise<void>;
  readonly finished: (options: FinishedOptions) => Promise<unknown>;
  /** It was not enqueued. */
  readonly forget: () => void;
}

export class AwaitedJobs {
  /** By token, the oldest first: nobody waits for them at the moment. */
  private readonly idle = new Map<string, AwaitedJob>();
  private readonly awaited = new Map<string, AwaitedJob>();
  private isClosed = false;

  constructor(
    private readonly post: Pick<ReportPost, 'add' | 'opened' | 'send' | 'nodeId' | 'trouble'>,
    private readonly openTimeoutMs: number,
  ) {
    post.add(this);
  }

  /** To be called before the job is enqueued. */
  expect(jobId: string): Awaitable {
    const token = randomBytes(16).toString('base64url');
    const job: AwaitedJob = {
      jobId,
      replyTo: { node: this.post.nodeId, token },
      waits: new Set(),
      expiresAt: Date.now() + KEPT_MS,
      ended: undefined,
    };
    this.keepIdle(job);
    return {
      replyTo: job.replyTo,
      ready: async () => {
        if (this.isClosed) throw new RogerClosedError();
        if (!(await this.post.opened(this.openTimeoutMs))) throw this.post.trouble ?? new NotConnectedError();
      },
      finished: (options) => this.finished(job, options),
      forget: () => {
        this.idle.delete(token);
      },
    };
  }

  /** The first one counts. */
  onOutcome({ node, token, outcome }: OutcomeMail, result: Buffer | undefined): void {
    // Whether it is known here or not: it need not come again.
    void this.post.send(node, { mail: 'received', token });
    const job = this.awaited.get(token) ?? this.idle.get(token);
    if (job === undefined) return;
    this.awaited.delete(token);
    this.idle.delete(token);
    // Of its own: as a part of the mail it would hold all of it.
    job.ended = { outcome, result: result === undefined ? undefined : Buffer.from(result) };
    for (const wait of job.waits) settle(job.jobId, job.ended, wait);
    job.waits.clear();
  }

  /** Whoever still waits is told that it is in vain. */
  close(): void {
    this.isClosed = true;
    for (const { waits } of this.awaited.values())
      for (const { reject } of waits) reject(new RogerClosedError());
    this.awaited.clear();
    this.idle.clear();
  }

  private async finished(job: AwaitedJob, options: FinishedOptions): Promise<unknown> {
    const { timeoutMs, signal } = checked(options);
    signal?.throwIfAborted();
    if (job.ended === undefined && this.isClosed) throw new RogerClosedError();
    let timer: NodeJS.Timeout | undefined;
    let wait: Wait | undefined;
    let abort: (() => void) | undefined;
    try {
      return await new Promise((resolve, reject) => {
        wait = { resolve, reject };
        if (job.ended !== undefined) {
          settle(job.jobId, job.ended, wait);
          return;
        }
        this.keepAwaited(job, wait);
        timer = setTimeout(() => {
          reject(new JobNotFinishedError(job.jobId, timeoutMs));
        }, timeoutMs);
        abort = () => {
          reject(signal?.reason as Error);
        };
        signal?.addEventListener('abort', abort, { once: true });
      });
    } finally {
      clearTimeout(timer);
      if (abort !== undefined) signal?.removeEventListener('abort', abort);
      if (wait !== undefined) this.leave(job, wait);
    }
  }

  private keepAwaited(job: AwaitedJob, wait: Wait): void {
    job.waits.add(wait);
    this.idle.delete(job.replyTo.token);
    this.awaited.set(job.replyTo.token, job);
  }

  private leave(job: AwaitedJob, wait: Wait): void {
    if (!job.waits.delete(wait) || job.waits.size > 0) return;
    if (this.awaited.delete(job.replyTo.token)) this.keepIdle(job);
  }

  private keepIdle(job: AwaitedJob): void {
    const now = Date.now();
    this.idle.set(job.replyTo.token, job);
    for (const [token, { expiresAt }] of this.idle) {
      if (expiresAt > now && this.idle.size <= MAX_IDLE) break;
      this.idle.delete(token);
    }
  }
}

function settle(jobId: string, { outcome, result }: Ended, { resolve, reject }: Wait): void {
  switch (outcome.kind) {
    case 'done':
      try {
        resolve(result === undefined ? undefined : JSON.parse(result.toString('utf8')));
      } catch {
        reject(new JobResultUnavailableError(jobId, 'what came as its result is no JSON'));
      }
      return;
    case 'done without result':
      reject(new JobResultUnavailableError(jobId, outcome.problem));
      return;
    case 'cancelled':
      reject(new JobCancelledError(outcome.reason));
      return;
    default: {
      const { kind, type, message, attempts } = outcome;
      reject(new JobFailedError(jobId, kind, { type, message }, attempts));
    }
  }
}

/** @throws InvalidArgumentError */
function checked(options: FinishedOptions): FinishedOptions {
  const { timeoutMs, signal } = (options as FinishedOptions | undefined) ?? { timeoutMs: NaN };
  if (!(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new InvalidArgumentError(
      'timeoutMs',
      `${describe(timeoutMs)} is no time in ms from 0 to ${MAX_TIMEOUT_MS}`,
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal', `${describe(signal)} is no AbortSignal`);
  }
  return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
}
