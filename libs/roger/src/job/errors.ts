// Every error that Roger throws, each with a stable code, the thing it is about, and what to do.

/**
 * The base of all errors of this library. `code` is stable over versions; match on it or on the class.
 *
 * @example
 * ```ts
 * import { RogerError } from 'nestjs-roger';
 *
 * export function isRogerError(error: unknown): error is RogerError {
 *   return error instanceof RogerError && error.code.startsWith('ROGER_');
 * }
 * ```
 */
export abstract class RogerError extends Error {
  abstract readonly code: `ROGER_${string}`;

  constructor(message: string, options?: { cause?: unknown }) {
    // Whatever a message quotes, it stays one line and steers no terminal.
    super(escapeControls(message), options);
    this.name = new.target.name;
  }
}

/** One thing that is wrong with a value, and where: `path` is `''` for the value itself, else like `user.tags[2]`. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

function list(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}

const MANY_NAMES = 10;

function listSome(names: readonly string[]): string {
  const more = names.length - MANY_NAMES;
  return more > 0 ? `${names.slice(0, MANY_NAMES).join(', ')} and ${more} more` : names.join(', ');
}

/**
 * A module option is wrong, or the queues given to `PartitionService`. The start is refused; the message names the option,
 * its value and the remedy.
 */
export class InvalidOptionsError extends RogerError {
  readonly code = 'ROGER_INVALID_OPTIONS';
  constructor(
    readonly problems: readonly Problem[],
    what = 'RogerModule options',
  ) {
    super(`Invalid ${what}: ${list(problems)}`);
  }
}

/** A class under `@RogerJob`, `@RogerCron` or `@RogerCallbacks` can't be used as it is, or its module instance is not there. The start is refused. */
export class InvalidJobDefinitionError extends RogerError {
  readonly code = 'ROGER_INVALID_JOB_DEFINITION';
  constructor(
    readonly definition: string,
    problem: string,
    options?: { cause?: unknown },
  ) {
    super(`Invalid job definition ${definition}: ${problem}`, options);
  }
}

/** Two job classes go by one name, so that a job of that name could mean either. The start is refused. */
export class DuplicateJobDefinitionError extends RogerError {
  readonly code = 'ROGER_DUPLICATE_JOB_DEFINITION';
  constructor(
    readonly jobName: string,
    first: string,
    second: string,
  ) {
    super(
      `Two job definitions are named ${show(jobName)}: ${first} and ${second}. ` +
        `Give one of them another name: @RogerJob({ name: '…' }).`,
    );
  }
}

/** A class given to `JobQueue` is not under `@RogerJob` (of this module instance). */
export class NotAJobClassError extends RogerError {
  readonly code = 'ROGER_NOT_A_JOB_CLASS';
  constructor(
    readonly className: string,
    remedy = 'decorate it with @RogerJob()',
  ) {
    super(`${show(className)} is not a job class of this module: ${remedy}.`);
  }
}

/** The args of a job can't travel: they are not plain JSON, or they fail the checks of the job's DTO. Nothing was enqueued. */
export class InvalidJobArgsError extends RogerError {
  readonly code = 'ROGER_INVALID_JOB_ARGS';
  constructor(
    readonly jobName: string,
    readonly problems: readonly Problem[],
  ) {
    super(`Invalid args for job ${show(jobName)}: ${list(problems)}`);
  }
}

/** An option given to `create`, `enqueue` or `enqueueMany` is wrong. Nothing was enqueued. */
export class InvalidEnqueueOptionsError extends RogerError {
  readonly code = 'ROGER_INVALID_ENQUEUE_OPTIONS';
  constructor(readonly problems: readonly Problem[]) {
    super(`Invalid enqueue options: ${list(problems)}`);
  }
}

/** An argument of a call is wrong: the message names it and says what it has to be. Nothing was done. */
export class InvalidArgumentError extends RogerError {
  readonly code = 'ROGER_INVALID_ARGUMENT';
  constructor(
    readonly argument: string,
    readonly problem: string,
  ) {
    super(`${argument}: ${problem}`);
  }
}

/** The encoded job is larger than `maxJobBytes`. Nothing was enqueued; put the bulk elsewhere and pass its key. */
export class JobTooLargeError extends RogerError {
  readonly code = 'ROGER_JOB_TOO_LARGE';
  constructor(
    readonly jobName: string,
    readonly bytes: number,
    readonly maxBytes: number,
  ) {
    super(
      `Job ${show(jobName)} takes ${bytes} bytes, more than maxJobBytes (${maxBytes}). ` +
        `Store the bulk elsewhere and pass its key, or raise maxJobBytes on every node.`,
    );
  }
}

/** The partition has no such queue on the broker: no worker has declared it. Nothing was enqueued. */
export class QueueNotFoundError extends RogerError {
  readonly code = 'ROGER_QUEUE_NOT_FOUND';
  constructor(
    readonly partition: string,
    readonly queue: string,
  ) {
    super(
      `Partition ${show(partition)} has no queue ${show(queue)} on the broker. ` +
        `Check the two names, and that a worker with this queue among its partitions has started once.`,
    );
  }
}

/**
 * The queue keeps no journal, and nobody can look into a queue itself without taking its jobs out: to put them back counts as
 * failed deliveries, out of their order. Nothing was touched.
 */
export class NoJournalError extends RogerError {
  readonly code = 'ROGER_NO_JOURNAL';
  constructor(
    readonly partition: string,
    readonly queue: string,
  ) {
    super(
      `Queue ${show(queue)} of partition ${show(partition)} keeps no journal, and a look into the queue itself would count ` +
        `as failed deliveries. Set journal: true in the options of every node (workers and producers) and start them again.`,
    );
  }
}

/** The broker's management plugin was to be asked, and can't be. */
export class ManagementUnavailableError extends RogerError {
  readonly code = 'ROGER_MANAGEMENT_UNAVAILABLE';
  constructor(detail: string, options?: { cause?: unknown }) {
    super(
      `The broker's management plugin can not be asked: ${detail}${describeCause(options?.cause)}. ` +
        `Enable rabbitmq_management and say where it is: connection.managementUri.`,
      options,
    );
  }
}

/** The broker refused the job because the queue is full (a policy's length limit, or the in-memory bound). */
export class QueueFullError extends RogerError {
  readonly code = 'ROGER_QUEUE_FULL';
  constructor(
    readonly partition: string,
    readonly queue: string,
  ) {
    super(
      `The broker refused the job: queue ${show(queue)} of partition ${show(partition)} is full. ` +
        `Let workers catch up, or raise the limit.`,
    );
  }
}

/**
 * The broker did not confirm within the time limit. When `maybeEnqueued` is true the job had been sent, and may have
 * arrived; enqueue it again under the same id if running it twice does no harm.
 */
export class BrokerUnavailableError extends RogerError {
  readonly code = 'ROGER_BROKER_UNAVAILABLE';
  constructor(
    readonly timeoutMs: number,
    readonly maybeEnqueued: boolean,
    cause?: unknown,
  ) {
    super(
      `The broker did not confirm within ${timeoutMs} ms${describeCause(cause)}. ` +
        (maybeEnqueued
          ? 'The job had been sent and may have arrived: enqueue it again under the same id.'
          : 'The job was not sent.'),
      { cause },
    );
  }
}

/** There is no connection to the broker at the moment. Roger keeps trying to connect; ask again later. */
export class NotConnectedError extends RogerError {
  readonly code = 'ROGER_NOT_CONNECTED';
  constructor(cause?: unknown) {
    super(`Not connected to the broker${describeCause(cause)}; Roger keeps trying`, { cause });
  }
}

/**
 * The broker can't take jobs from the queue at the moment: most of its nodes are away, or its disk hangs. Its jobs are
 * kept, and other queues are served. Roger asks again; see to the broker.
 */
export class QueueNotAnsweringError extends RogerError {
  readonly code = 'ROGER_QUEUE_NOT_ANSWERING';
  constructor(
    readonly partition: string,
    readonly queue: string,
    cause?: unknown,
  ) {
    super(
      `Queue ${show(queue)} of partition ${show(partition)} does not answer${describeCause(cause)}: ` +
        `it has no leader, or the broker hangs`,
      { cause },
    );
  }
}

/** The broker blocks publishers (memory or disk alarm). See `maybeEnqueued` at {@link BrokerUnavailableError}. */
export class BrokerBlockedError extends RogerError {
  readonly code = 'ROGER_BROKER_BLOCKED';
  constructor(
    readonly timeoutMs: number,
    readonly maybeEnqueued: boolean,
    readonly reason: string,
  ) {
    super(
      `The broker has blocked publishers for longer than ${timeoutMs} ms (${reason}). Free memory or disk on the broker. ` +
        (maybeEnqueued
          ? 'The job had been sent and may have arrived: enqueue it again under the same id.'
          : 'The job was not sent.'),
    );
  }
}

/** More jobs wait for their confirm than `maxBufferedBytes` allows. Await each `enqueue`, or use `enqueueMany`, which waits by itself. */
export class EnqueueBufferFullError extends RogerError {
  readonly code = 'ROGER_ENQUEUE_BUFFER_FULL';
  constructor(readonly maxBytes: number) {
    super(
      `More than ${maxBytes} bytes of jobs wait for the broker's confirm (maxBufferedBytes). ` +
        `Await each enqueue(), or use enqueueMany(), which waits by itself.`,
    );
  }
}

/** The app is shutting down or has shut down; this module enqueues no more. */
export class RogerClosedError extends RogerError {
  readonly code = 'ROGER_CLOSED';
  constructor() {
    super(
      'Roger is closed: the app has shut down. Enqueue before onApplicationShutdown, or from another process.',
    );
  }
}

/** No such partition, or no such queue in it, is served by this node. */
export class UnknownPartitionError extends RogerError {
  readonly code = 'ROGER_UNKNOWN_PARTITION';
  constructor(
    readonly partition: string,
    known: readonly string[],
  ) {
    super(
      `This node has no partition ${show(partition)}. ` +
        (known.length === 0 ? 'It has none.' : `It has ${listSome(known)}.`),
    );
  }
}

/** This process serves no partitions: it only enqueues (`mode: 'producer'`), is a job's thread, or shuts down. Nothing was started or changed. */
export class CannotServeError extends RogerError {
  readonly code = 'ROGER_CANNOT_SERVE';
  constructor(
    readonly partition: string,
    readonly reason: string,
  ) {
    super(`Partition ${show(partition)} can't be served here: ${reason}. Start it on a worker that runs.`);
  }
}

/** A queue or exchange exists on the broker with other settings than this version wants. The partition waits until it is mended. */
export class TopologyMismatchError extends RogerError {
  readonly code = 'ROGER_TOPOLOGY_MISMATCH';
  constructor(
    readonly object: string,
    readonly detail: string,
    cause?: unknown,
  ) {
    super(
      `${object} exists on the broker with other settings: ${detail}. ` +
        `Drain it and delete it (Roger declares it again within seconds), or set this app's options back to what the broker has.`,
      { cause },
    );
  }
}

/** The broker refuses something for lack of rights. */
export class BrokerRefusedError extends RogerError {
  readonly code = 'ROGER_BROKER_REFUSED';
  constructor(
    readonly action: string,
    cause: unknown,
  ) {
    super(
      `The broker does not let this user ${action}${describeCause(cause)}. Grant the permission on the vhost.`,
      { cause },
    );
  }
}

/** A message on a queue is not a job of a known version. It is kept, with its bytes, in the buried queue. */
export class MalformedJobError extends RogerError {
  readonly code = 'ROGER_MALFORMED_JOB';
  constructor(problem: string, options?: { cause?: unknown }) {
    super(`The message is not a Roger job: ${problem}`, options);
  }
}

/** A job says that it belongs to another partition or queue than the one it came from. It never runs; it is buried. */
export class MisroutedJobError extends RogerError {
  readonly code = 'ROGER_MISROUTED_JOB';
  constructor(
    readonly claimed: string,
    readonly actual: string,
  ) {
    super(`The job claims to belong to ${show(claimed)} but came from ${show(actual)}`);
  }
}

/**
 * The job's definition is switched off. Nothing was enqueued, and what is queued is held until it is switched on again; then
 * enqueue it again.
 */
export class JobDefinitionInactiveError extends RogerError {
  readonly code = 'ROGER_JOB_DEFINITION_INACTIVE';
  constructor(readonly jobName: string) {
    super(`The job definition ${show(jobName)} is switched off. Switch it on, then enqueue the job again.`);
  }
}

/** No node that saw the job has a handler of its name. It is buried; deploy the handler and enqueue it again. */
export class UnknownJobError extends RogerError {
  readonly code = 'ROGER_UNKNOWN_JOB';
  constructor(
    readonly jobName: string,
    readonly timesHandedOn: number,
  ) {
    super(
      `No handler is registered under ${show(jobName)} (handed on ${timesHandedOn} times). ` +
        `Deploy a worker that has it, then enqueue the job again.`,
    );
  }
}

/**
 * Why a running job's signal was aborted: the process shuts down, or its partition is stopped here, and its time to finish
 * is over. The job goes back to its queue.
 */
export class ShutdownError extends RogerError {
  readonly code = 'ROGER_SHUTDOWN';
  constructor(timeoutMs: number, what = 'The node shuts down') {
    super(`${what} and the job did not end within ${timeoutMs} ms; it runs again elsewhere`);
  }
}

/** Why a running job's signal was aborted: the connection that delivered it is gone, so the broker gives it to somebody else. */
export class DeliveryLostError extends RogerError {
  readonly code = 'ROGER_DELIVERY_LOST';
  constructor(detail: string) {
    super(
      `The job's delivery was lost (${detail}); it runs again elsewhere, and this run's outcome is not counted`,
    );
  }
}

/**
 * Whoever keeps the ledger of the partition did not answer within `ledgerTimeoutMs`. Whether the call took effect is
 * open; it is safe to repeat: a job under the same id is not enqueued twice while it exists.
 */
export class LedgerUnavailableError extends RogerError {
  readonly code = 'ROGER_LEDGER_UNAVAILABLE';
  /** The request had been sent and may have taken effect. */
  readonly maybeEnqueued: boolean;
  constructor(
    readonly partition: string,
    readonly timeoutMs: number,
    options: { readonly maybeEnqueued: boolean; readonly cause?: unknown },
  ) {
    super(
      `The ledger of partition ${show(partition)} did not answer within ${timeoutMs} ms${describeCause(options.cause)}. ` +
        (options.maybeEnqueued
          ? 'It may have taken effect: repeat it (a job under the same id).'
          : 'Nothing was sent to it.'),
      { cause: options.cause },
    );
    this.maybeEnqueued = options.maybeEnqueued;
  }
}

/** The ledger of the partition holds `maxWaitingJobs` jobs that wait for their execution key. Nothing was enqueued; try again when some have run. */
export class LedgerFullError extends RogerError {
  readonly code = 'ROGER_LEDGER_FULL';
  constructor(
    readonly partition: string,
    readonly maxWaitingJobs: number,
  ) {
    super(
      `The ledger of partition ${show(partition)} holds ${maxWaitingJobs} waiting jobs (maxWaitingJobs). ` +
        `Try again when some have run, or raise the bound on every node.`,
    );
  }
}

/** The state of a ledger that a persister gave back can't be read: it is damaged, or another's. It is never taken for an empty one. */
export class LedgerStateError extends RogerError {
  readonly code = 'ROGER_LEDGER_STATE';
  constructor(
    readonly ledger: string,
    problem: string,
    options?: { cause?: unknown },
  ) {
    super(
      `The stored state of ledger ${show(ledger)} can't be used: ${problem}. ` +
        `Restore it from a backup; or, to begin with no keys, cancels and pauses, remove it.`,
      options,
    );
  }
}

/**
 * The option `ledgerShards` is not what the ledgers on the broker were made with. With another number, a partition's keys
 * would be looked for in the wrong place: nothing with a key is done, and no partition is served.
 */
export class LedgerShardsMismatchError extends RogerError {
  readonly code = 'ROGER_LEDGER_SHARDS_MISMATCH';
  constructor(
    readonly ledgerShards: number,
    readonly onBroker: number | undefined,
    object: string,
  ) {
    super(
      `ledgerShards is ${ledgerShards} on this node, but ${onBroker ?? 'another number'} was written down on the broker ` +
        `(in the queue ${object}) when ledgers were first used. Set ledgerShards to that on every node.`,
    );
  }
}

/**
 * Why a running job's signal was aborted, and why an awaited job has no result: somebody cancelled the job. `reason` is
 * what they said.
 */
export class JobCancelledError extends RogerError {
  readonly code = 'ROGER_JOB_CANCELLED';
  constructor(readonly reason: string) {
    super(`The job was cancelled${reason === '' ? '' : `: ${reason}`}`);
  }
}

/**
 * Why a running job's signal was aborted: it ran longer than its limit, its `maxExecutionTimeSeconds` or what the broker
 * allows. The attempt has failed, whatever error the handler throws then (its `cause`); one that still ends well counts as
 * done, and a verdict (RetryJob, BuryJob, DiscardJob, SnoozeJob) as what it says.
 */
export class JobTimeoutError extends RogerError {
  readonly code = 'ROGER_JOB_TIMEOUT';
  constructor(
    readonly limitMs: number,
    readonly whose: string,
    options?: { cause?: unknown },
  ) {
    super(`The job ran longer than ${limitMs / 1000} s (${whose})`, options);
  }
}

/**
 * What ran the job died with it: its thread exited, ran out of memory or met an error that nobody caught, or its process
 * did so again and again. A thread's job is retried like any that failed; what has taken processes with it is buried.
 */
export class JobCrashedError extends RogerError {
  readonly code = 'ROGER_JOB_CRASHED';
  constructor(
    readonly detail: string,
    options?: { cause?: unknown },
  ) {
    super(`What ran the job died with it: ${detail}`, options);
  }
}

/** An awaited job has failed for good, after its retries. `outcome` tells whether it is among the buried or over. */
export class JobFailedError extends RogerError {
  readonly code = 'ROGER_JOB_FAILED';
  constructor(
    readonly jobId: string,
    readonly outcome: 'failed' | 'buried',
    /** Of the last error: its code or class, and its text. */
    readonly reason: { readonly type: string; readonly message: string },
    readonly attempts: number,
  ) {
    super(
      `Job ${show(jobId)} ${outcome === 'buried' ? 'is buried' : 'has failed'} after ` +
        `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}: ${reason.type}: ${reason.message}`,
    );
  }
}

/** The time given to `finished` is over and nothing was heard of the job's end. The job goes on, or its news got lost; `finished` may be called again. */
export class JobNotFinishedError extends RogerError {
  readonly code = 'ROGER_JOB_NOT_FINISHED';
  constructor(
    readonly jobId: string,
    readonly timeoutMs: number,
  ) {
    super(`Nothing was heard of the end of job ${show(jobId)} within ${timeoutMs} ms; the job goes on`);
  }
}

/**
 * `finished` can't give a result, and waiting longer doesn't help: the job is done but what it returned is no plain JSON
 * or larger than 256 KiB, or it was not enqueued because another has its queue key.
 */
export class JobResultUnavailableError extends RogerError {
  readonly code = 'ROGER_JOB_RESULT_UNAVAILABLE';
  constructor(
    readonly jobId: string,
    readonly problem: string,
  ) {
    super(`There is no result of job ${show(jobId)}: ${problem}`);
  }
}

/** A method under `@RogerCommand` can't be called as it is, or its module instance is not there. The start is refused. */
export class InvalidCommandError extends RogerError {
  readonly code = 'ROGER_INVALID_COMMAND';
  constructor(
    /** Where it stands: `Class.method`. */
    readonly handler: string,
    problem: string,
  ) {
    super(`Invalid command handler ${handler}: ${problem}`);
  }
}

/** Two methods answer one command, so that a call could mean either. The start is refused. */
export class DuplicateCommandError extends RogerError {
  readonly code = 'ROGER_DUPLICATE_COMMAND';
  constructor(
    readonly command: string,
    first: string,
    second: string,
  ) {
    super(
      `Two methods answer the command ${show(command)}: ${first} and ${second}. ` +
        `Give one of them another name, or list its class in one module only.`,
    );
  }
}

/** The called node has no handler of this command: it runs another version of the app, or another app. */
export class UnknownCommandError extends RogerError {
  readonly code = 'ROGER_UNKNOWN_COMMAND';
  constructor(
    readonly command: string,
    readonly node: string,
  ) {
    super(`Node ${node} has no handler of the command ${show(command)}`);
  }
}

/** The handler of the command threw on the called node, or what it returned can't travel. */
export class CommandFailedError extends RogerError {
  readonly code = 'ROGER_COMMAND_FAILED';
  constructor(
    readonly command: string,
    readonly node: string,
    /** Of what was thrown: its code or class, and its text. */
    readonly reason: { readonly type: string; readonly message: string },
  ) {
    super(`The command ${show(command)} failed on node ${node}: ${reason.type}: ${reason.message}`);
  }
}

/** The called node did not begin the command: it has too many of them under way, or is shutting down. Call again later. */
export class CommandRefusedError extends RogerError {
  readonly code = 'ROGER_COMMAND_REFUSED';
  constructor(
    readonly command: string,
    readonly node: string,
    readonly problem: string,
  ) {
    super(`Node ${node} refused the command ${show(command)}: ${problem}`);
  }
}

function describeCause(cause: unknown): string {
  return cause instanceof Error ? ` (${cause.message})` : '';
}

/** Quotes a text of unknown origin for a message: control characters escaped, length bounded. */
export function show(text: string): string {
  return escapeControls(JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}…` : text));
}

/** A text of unknown origin as one line of a log: control characters escaped, length bounded, no quotes. */
export function oneLine(text: string): string {
  return escapeControls(text.length > 1_000 ? `${text.slice(0, 1_000)}…` : text);
}

/** JSON leaves those beyond ASCII as they are, and some terminals obey them. */
function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}]/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
