// Runs jobs in worker threads of this process, and ends a thread whose job doesn't end.
import { availableParallelism } from 'node:os';
import { MessageChannel } from 'node:worker_threads';
import { Logger } from '@nestjs/common';
import { Piscina } from 'piscina';
import { errorOf, recordOf } from '../../job/error-record';
import { InvalidOptionsError, JobCrashedError } from '../../job/errors';
import type { JobContext } from '../../job/job-definition';
import type { RogerLog } from '../../job/log';
import type { InstanceName } from '../instances';
import type { ThreadData, ThreadLine, ThreadOutcome, ThreadTask, ThreadProgress } from './thread-messages';
import { BEGUN } from './thread-messages';
import type { ThreadOptions } from './thread-options';

const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

export class JobThreads {
  private pool: Piscina<ThreadTask, ThreadOutcome> | undefined;

  constructor(
    private readonly options: ThreadOptions,
    private readonly instance: InstanceName,
    private readonly abortGraceMs: number,
    private readonly log: RogerLog,
  ) {}

  /** Resolves when the first thread is ready, or they have been ended before that. @throws InvalidOptionsError when its module doesn't boot */
  async start(): Promise<void> {
    const {
      module,
      exportName = 'AppModule',
      maxThreads,
      idleTimeoutMs,
      execArgv,
      resourceLimits,
    } = this.options;
    const workerData: ThreadData = { module, exportName };
    const pool = new Piscina<ThreadTask, ThreadOutcome>({
      filename: require.resolve('./thread-entry'),
      workerData,
      minThreads: 1,
      maxThreads: maxThreads ?? availableParallelism(),
      idleTimeout: idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
      concurrentTasksPerWorker: 1,
      // Else an idle thread sleeps altogether, and what lives in it doesn't.
      atomics: 'disabled',
      ...(execArgv === undefined ? {} : { execArgv: [...execArgv] }),
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    this.pool = pool;
    pool.on('message', (message: Partial<ThreadLine>) => {
      if (message.rogerLine !== undefined) write(message.rogerLine);
    });
    pool.on('error', (error: Error) => {
      this.log.error(`A thread without a job has died: ${error.message}`, error.stack);
    });
    try {
      await pool.run('boot');
    } catch (error) {
      if (this.pool !== pool) return;
      await this.stop();
      const message = error instanceof Error ? error.message : String(error);
      throw new InvalidOptionsError([
        {
          path: 'threads.module',
          message: `${exportName} of ${module} does not boot in a thread: ${message}`,
        },
      ]);
    }
  }

  /** Runs the job of the context in a thread; `begun` is called when one has begun it. Rejects as the handler does. */
  async perform(context: JobContext, begun: () => void): Promise<unknown> {
    const { job, fence, signal } = context;
    const { pool } = this;
    if (pool === undefined) throw new JobCrashedError('its threads have been ended');
    const { port1: ours, port2: theirs } = new MessageChannel();
    const end = new AbortController();
    let grace: NodeJS.Timeout | undefined;
    // The message comes first; whoever doesn't heed it, or can't, is ended with its thread.
    const abort = (): void => {
      ours.postMessage(recordOf(signal.reason as Error));
      grace = setTimeout(() => {
        end.abort();
      }, this.abortGraceMs);
    };
    ours.on('message', (message: typeof BEGUN | ThreadProgress) => {
      if (message === BEGUN) begun();
      else context.progress(message.progress);
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    let outcome: ThreadOutcome;
    try {
      const task: ThreadTask = { job, fence, instance: this.instance, port: theirs };
      outcome = await pool.run(task, { transferList: [theirs], signal: end.signal });
    } catch (error) {
      throw end.signal.aborted ? signal.reason : crashOf(error);
    } finally {
      clearTimeout(grace);
      signal.removeEventListener('abort', abort);
      ours.close();
    }
    if (outcome.error !== undefined) throw errorOf(outcome.error);
    return outcome.result;
  }

  /** Ends all threads. Never rejects. */
  async stop(): Promise<void> {
    const { pool } = this;
    this.pool = undefined;
    await pool?.destroy();
  }
}

/** What piscina rejects with when there is no outcome. */
function crashOf(error: unknown): Error {
  const { name, code, message } = error as { name?: unknown; code?: unknown; message?: unknown };
  const detail = typeof message === 'string' ? message : String(error);
  if (name === 'DataCloneError') return new Error(`its result can't leave the thread: ${detail}`);
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new JobCrashedError('its thread ran out of memory (threads.resourceLimits)', { cause: error });
  }
  return new JobCrashedError(detail, { cause: error });
}

function write({ level, message, rest }: ThreadLine['rogerLine']): void {
  const context = rest.at(-1);
  const logger = new Logger(typeof context === 'string' ? context : 'Thread');
  const others = rest.slice(0, -1);
  logger[level](message, ...others);
}
