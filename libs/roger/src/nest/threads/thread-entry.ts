// The program of a worker thread: boots the app's module once, then performs job after job.
import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import { pathToFileURL } from 'node:url';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { LoggerService } from '@nestjs/common';
import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { checkArgs } from '../../job/args-validation';
import { errorOf, recordOf } from '../../job/error-record';
import type { ErrorRecord } from '../../job/error-record';
import { InvalidJobArgsError, JobCrashedError, oneLine, UnknownJobError } from '../../job/errors';
import type { JobContext, JobDefinition } from '../../job/job-definition';
import { describe } from '../../job/names';
import { keptProgress } from '../../job/progress';
import { jobLog } from '../job-log';
import type { JobThread } from './job-thread';
import { becomeJobThread } from './job-thread';
import type {
  JobTask,
  ThreadData,
  ThreadLine,
  ThreadOutcome,
  ThreadProgress,
  ThreadTask,
} from './thread-messages';
import { BEGUN } from './thread-messages';

const thread = becomeJobThread();
/** The job on whose behalf something happens, and how to end it for what it let happen. */
const onBehalf = new AsyncLocalStorage<{ readonly crash: (error: Error) => void }>();
const booted = boot();
// Whoever is given the first job tells of it.
booted.catch(() => undefined);

/** Called by piscina. What a job throws is its outcome; what rejects is a thread that can't run any. */
export default async function perform(task: ThreadTask): Promise<ThreadOutcome> {
  const ready = await booted;
  if (task === 'boot') return {};
  const outcome = await performJob(ready, task);
  task.port.close();
  return outcome;
}

async function performJob(ready: JobThread, task: JobTask): Promise<ThreadOutcome> {
  const { job, instance, port } = task;
  const early = receiveMessageOnPort(port) as { readonly message: ErrorRecord } | undefined;
  if (early !== undefined) return { error: early.message };
  const controller = new AbortController();
  port.on('message', (reason: ErrorRecord) => {
    controller.abort(errorOf(reason));
  });
  port.postMessage(BEGUN);
  let crash: (error: Error) => void = () => undefined;
  const crashed = new Promise<never>((_resolve, reject) => {
    crash = endable(reject, job);
  });
  try {
    const registered = ready.find(instance, job.name);
    if (registered === undefined) throw new UnknownJobError(job.name, 0);
    const args = await argsFor(registered.definition, job);
    const context: JobContext = {
      job,
      attempt: job.attempt,
      fence: task.fence,
      signal: controller.signal,
      logger: jobLog(job),
      progress: (value) => {
        port.postMessage({ progress: keptProgress(value) } satisfies ThreadProgress);
      },
    };
    const result = onBehalf.run({ crash }, () => registered.invoke(args, context));
    return { result: await Promise.race([result, crashed]) };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(`the handler threw ${describe(thrown)}`);
    return { error: recordOf(error) };
  }
}

/** What a stray promise rejects with ends the job that made it; when that is over already, it is logged and harms nobody. */
function endable(reject: (error: Error) => void, { name, id }: JobTask['job']): (error: Error) => void {
  return (error) => {
    new Logger('Roger').error(
      `A promise of job ${name} ${id} that nobody awaits was rejected: ${oneLine(error.message)}`,
      error.stack,
    );
    reject(
      new JobCrashedError(`a promise that nobody awaits was rejected: ${error.message}`, { cause: error }),
    );
  };
}

process.on('unhandledRejection', (thrown: unknown) => {
  const owner = onBehalf.getStore();
  // Nobody's: Node's default, which ends the thread.
  if (owner === undefined) throw thrown;
  owner.crash(thrown instanceof Error ? thrown : new Error(describe(thrown)));
});

/** The envelope has plain JSON; the handler gets an instance of its DTO, as in the process. */
async function argsFor({ name, argsClass }: JobDefinition, { args }: JobTask['job']): Promise<unknown> {
  if (argsClass === undefined) return args;
  const checked = await checkArgs(argsClass, args);
  if ('problems' in checked) throw new InvalidJobArgsError(name, checked.problems);
  return checked.args;
}

async function boot(): Promise<JobThread> {
  const { module: path, exportName } = workerData as ThreadData;
  const exported = (await load(path))[exportName];
  if (exported === undefined) throw new Error(`${path} exports no ${exportName}`);
  const log = new ForwardedLog();
  await NestFactory.createApplicationContext(exported as never, { logger: log, abortOnError: false });
  log.isBooting = false;
  return thread;
}

async function load(path: string): Promise<Record<string, unknown>> {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- the app's file, in the app's module system
    return require(path) as Record<string, unknown>;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code !== 'ERR_REQUIRE_ESM') throw error;
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  }
}

/** The thread's lines are written by the process, in the app's own log. */
class ForwardedLog implements LoggerService {
  /** Of a boot only what is wrong is worth a line: it is the same for every thread. */
  isBooting = true;

  log(message: unknown, ...rest: unknown[]): void {
    if (!this.isBooting) this.forward('log', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    if (!this.isBooting) this.forward('debug', message, rest);
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    if (!this.isBooting) this.forward('verbose', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.forward('warn', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.forward('error', message, rest);
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.forward('fatal', message, rest);
  }

  private forward(level: ThreadLine['rogerLine']['level'], message: unknown, rest: readonly unknown[]): void {
    const line: ThreadLine = {
      rogerLine: { level, message: plain(message), rest: rest.map((part) => plain(part)) },
    };
    parentPort?.postMessage(line);
  }
}

function plain(part: unknown): unknown {
  if (typeof part === 'string') return part;
  return part instanceof Error ? (part.stack ?? part.message) : describe(part);
}
