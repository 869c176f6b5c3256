// The options of RogerModule: what they mean, their defaults, and what is refused.
import { isAbsolute } from 'node:path';
import type { Problem } from './job/errors';
import { InvalidOptionsError } from './job/errors';
import { problemOfExecutionTime } from './job/execution-time';
import { describe } from './job/names';
import type { Check } from './job/option-checks';
import { isRecord, problemIf, problemsOfFields, wholeNumber } from './job/option-checks';
import { DEFAULT_RETRY_LEVELS, problemOfRetryLevels } from './job/retry-levels';
import { RabbitStatePersister } from './ledger/rabbit-state-persister';
import type { StatePersister } from './ledger/state-persister';
import type { ThreadOptions } from './nest/threads/thread-options';
import type { PartitionSourceOption } from './nest/partition-source-option';
import { isSourceOption, problemsOfSource } from './nest/partition-source-option';
import type { PartitionQueuesById } from './partition/queue-options';
import { problemsOfPartitions } from './partition/queue-options';
import { MemoryBroker } from './transports/memory/memory-broker';
import type { RabbitmqConnectionOptions } from './transports/rabbitmq/connection-options';
import type { JournalLimits } from './transports/rabbitmq/topology';
import type { RunLimits } from './worker/run-limits';

/** What `RogerModule.forRoot` takes. */
export interface RogerModuleOptions {
  /**
   * How to reach RabbitMQ: `{ uri: 'amqp://user:password@host:5672/vhost' }`. Left out, jobs stay in this process's
   * memory and end with it: for development and tests.
   * @default none (in memory)
   */
  connection?: RabbitmqConnectionOptions | undefined;
  /**
   * The partitions (tenants) of this node, their queues, and how many jobs of each run at once here:
   * `{ acme: { default: 10, mail: { maxWorkers: 5 } } }`. Partition ids: `A-Z a-z 0-9 _ -`; queue names: `a-z 0-9 _`.
   * Or where to learn of them: `{ useFactory, inject }`, or `{ useExisting: Tenants }`, a provider that is a
   * {@link PartitionSource} and may tell of changes. More come and go by `PartitionService.start` and `stop`.
   * @default none
   */
  partitions?: PartitionQueuesById | PartitionSourceOption | undefined;
  /**
   * `'worker'` enqueues and runs jobs; `'producer'` only enqueues.
   * @default 'worker'
   */
  mode?: 'producer' | 'worker' | undefined;
  /**
   * What this node is called in `ClusterService.nodes()`, for people: 1 to 128 characters. It need not be unique.
   * @default none (the host's name and the process id are shown: `host:4711`)
   */
  nodeName?: string | undefined;
  /**
   * Put before the name of everything on the broker, so that several apps or stages share a vhost. `A-Z a-z 0-9 _ -`.
   * All nodes of an app need the same.
   * @default none
   */
  namespace?: string | undefined;
  /**
   * Seconds before the 1st, 2nd, … retry of a failed job whose definition and queue don't say their own. After the last,
   * it is buried. Whole seconds, not getting shorter, at most a week each.
   * @default [1, 3, 5, 10, 20, 35, 60, 100, 200, 400, 1000, 1800]
   */
  retryLevels?: readonly number[] | undefined;
  /**
   * Spreads the retries of jobs that fail together, from 0 (not at all) to 1: each comes back up to this part of half its
   * level earlier or later, in five steps; never before half of it. A definition's `{ levels, jitter }` goes before.
   * @default 0
   */
  retryJitter?: number | undefined;
  /**
   * How many buried jobs a queue keeps. When one more comes, the oldest is dropped with an error line in the log that
   * holds it whole. Fixed on the broker when the queue is first declared.
   * @default 10000
   */
  maxBuriedQueueSize?: number | undefined;
  /**
   * How often the broker delivers a job again that never gets settled (its worker dies each time) before it buries it.
   * Fixed on the broker when the queue is first declared.
   * @default 20
   */
  deliveryLimit?: number | undefined;
  /**
   * Milliseconds that running jobs may take to end after `app.close()` or SIGTERM. Those still running then are aborted
   * and given back to their queue.
   * @default 15000
   */
  shutdownTimeoutMs?: number | undefined;
  /**
   * Seconds that an attempt may run where the job's definition doesn't say its own, more than 0. See
   * `maxExecutionTimeSeconds` of `@RogerJob`.
   * @default none
   */
  maxExecutionTimeSeconds?: number | undefined;
  /**
   * Milliseconds that a run may take to end once its signal has aborted. One that goes on is left behind: its worker
   * takes another job, what it comes to is refused, and it costs memory and CPU until it ends. In a thread it is ended.
   * @default 1000
   */
  abortGraceMs?: number | undefined;
  /**
   * The `consumer_timeout` of the broker in milliseconds, 0 when it has none. A job that is not settled within it would be
   * delivered again, for ever; so a run is aborted with JobTimeoutError a minute before that.
   * @default 1800000
   */
  brokerConsumerTimeoutMs?: number | undefined;
  /**
   * What becomes of a rejection that a job's run leaves unhandled (a promise that its handler doesn't await): `'log'`
   * writes an error line that names the job, and the node lives; `'leave'` leaves it to Node, which ends the process.
   * Rejections from anywhere else are Node's in any case, and so are all where Node is started with
   * `--unhandled-rejections`.
   * @default 'log'
   */
  unhandledRejections?: 'log' | 'leave' | undefined;
  /**
   * The worker threads of jobs with `isolation: 'thread'`: `{ module: require.resolve('./app.module') }`.
   * @default none
   */
  threads?: ThreadOptions | undefined;
  /**
   * Milliseconds within which `enqueue` settles, the broker being there or not.
   * @default 10000
   */
  enqueueTimeoutMs?: number | undefined;
  /**
   * Bytes of jobs that may wait for the broker's confirm, about 600 for a small one. Beyond that `enqueue` throws
   * EnqueueBufferFullError.
   * @default 134217728
   */
  maxBufferedBytes?: number | undefined;
  /**
   * Bytes that one encoded job may take, at `enqueue` and on arrival.
   * @default 262144
   */
  maxJobBytes?: number | undefined;
  /**
   * Milliseconds within which what asks the ledger of a partition settles: `enqueue` of a job with a key, cancel, pause.
   * @default 10000
   */
  ledgerTimeoutMs?: number | undefined;
  /**
   * Jobs that may wait in line for their execution key, per ledger. Beyond it `enqueue` throws LedgerFullError. Each
   * takes its own size and about half a KiB of the memory of the node that keeps the ledger.
   * @default 1000000
   */
  maxWaitingJobs?: number | undefined;
  /**
   * How many ledgers share the partitions (keys, cancels and pauses of each are kept by one). Written down on the broker
   * at first use; all nodes need the same.
   * @default 8
   */
  ledgerShards?: number | undefined;
  /**
   * Keeps the state of the ledgers beside the broker's log, or, in memory, from one life of the process to the next:
   * a FileStatePersister, or one of your own. It is stored about a second after a change; what a lost log had in that
   * second is lost with it.
   * @default none (with RabbitMQ the state is the broker's log: RabbitStatePersister)
   */
  persister?: StatePersister | undefined;
  /**
   * Keeps a journal (a stream on the broker) of what comes to and leaves each queue, for `InfoService.queuedJobs`: who
   * looks into a queue itself takes its jobs out and puts them back, which counts as failed deliveries. Costs the broker a
   * second copy of every job, and the client about as much again as the job itself; all nodes of an app need the same. In
   * memory a look needs none.
   * @default none
   */
  journal?: boolean | JournalOptions | undefined;
  /**
   * The broker in memory, when there is no `connection`. Give two modules of one process the same to let one enqueue for
   * the other.
   * @default one of its own
   */
  memory?: MemoryBroker | undefined;
}

/** How much each queue's journal keeps. A job that stands in its queue for longer is not seen any more. */
export interface JournalOptions {
  /** Whole seconds. Fixed when the queue is first declared with a journal. @default 604800 */
  maxAgeSeconds?: number | undefined;
  /** Bytes. Fixed when the queue is first declared with a journal. @default 268435456 */
  maxBytes?: number | undefined;
}

/** The options with their defaults. */
export interface Settings {
  readonly connection: RabbitmqConnectionOptions | undefined;
  readonly partitions: PartitionQueuesById | PartitionSourceOption;
  readonly mode: 'producer' | 'worker';
  readonly nodeName: string | undefined;
  readonly namespace: string | undefined;
  readonly retryLevels: readonly number[];
  readonly retryJitter: number;
  readonly maxBuriedQueueSize: number;
  readonly deliveryLimit: number;
  readonly shutdownTimeoutMs: number;
  readonly maxExecutionTimeSeconds: number | undefined;
  readonly abortGraceMs: number;
  readonly brokerConsumerTimeoutMs: number;
  readonly unhandledRejections: 'log' | 'leave';
  readonly threads: ThreadOptions | undefined;
  readonly enqueueTimeoutMs: number;
  readonly maxBufferedBytes: number;
  readonly maxJobBytes: number;
  readonly ledgerTimeoutMs: number;
  readonly maxWaitingJobs: number;
  readonly ledgerShards: number;
  readonly persister: StatePersister | undefined;
  readonly journal: JournalLimits | undefined;
  readonly memory: MemoryBroker | undefined;
}

/** @throws InvalidOptionsError that names each wrong option, its value and the remedy. */
export function settingsOf(options: RogerModuleOptions): Settings {
  const problems = problemsOfOptions(options);
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return {
    connection: options.connection,
    partitions: options.partitions ?? {},
    mode: options.mode ?? 'worker',
    nodeName: options.nodeName,
    namespace: options.namespace,
    retryLevels: options.retryLevels ?? DEFAULT_RETRY_LEVELS,
    retryJitter: options.retryJitter ?? 0,
    maxBuriedQueueSize: options.maxBuriedQueueSize ?? 10_000,
    deliveryLimit: options.deliveryLimit ?? 20,
    shutdownTimeoutMs: options.shutdownTimeoutMs ?? 15_000,
    maxExecutionTimeSeconds: options.maxExecutionTimeSeconds,
    abortGraceMs: options.abortGraceMs ?? 1_000,
    brokerConsumerTimeoutMs: options.brokerConsumerTimeoutMs ?? 1_800_000,
    unhandledRejections: options.unhandledRejections ?? 'log',
    threads: options.threads,
    enqueueTimeoutMs: options.enqueueTimeoutMs ?? 10_000,
    maxBufferedBytes: options.maxBufferedBytes ?? 128 * 1024 * 1024,
    maxJobBytes: options.maxJobBytes ?? 256 * 1024,
    ledgerTimeoutMs: options.ledgerTimeoutMs ?? 10_000,
    maxWaitingJobs: options.maxWaitingJobs ?? 1_000_000,
    ledgerShards: options.ledgerShards ?? 8,
    // The log is kept whatever stands beside it.
    persister: options.persister instanceof RabbitStatePersister ? undefined : options.persister,
    journal: journalOf(options.journal),
    memory: options.memory,
  };
}

function journalOf(journal: boolean | JournalOptions | undefined): JournalLimits | undefined {
  if (journal === undefined || journal === false) return undefined;
  const { maxAgeSeconds = 7 * 24 * 60 * 60, maxBytes = 256 * 1024 * 1024 } = journal === true ? {} : journal;
  return { maxAgeSeconds, maxBytes };
}

/** How long runs may take on these settings. */
export function limitsOf(settings: Settings): RunLimits {
  const { connection, maxExecutionTimeSeconds, abortGraceMs, brokerConsumerTimeoutMs } = settings;
  // In memory nobody takes a job away.
  const isLimited = connection !== undefined && brokerConsumerTimeoutMs > 0;
  return {
    maxExecutionTimeSeconds,
    abortGraceMs,
    brokerConsumerTimeoutMs: isLimited ? brokerConsumerTimeoutMs : undefined,
  };
}

/** Node fires a timer of 2^31 ms or more after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const GIB = 1024 ** 3;

const CHECKS: Record<keyof RogerModuleOptions, Check> = {
  connection: problemsOfConnection,
  partitions: (value, path) =>
    isSourceOption(value) ? problemsOfSource(value, path) : problemsOfPartitions(value, path),
  mode: (value, path) =>
    value === 'producer' || value === 'worker'
      ? []
      : [{ path, message: `must be 'producer' or 'worker', not ${describe(value)}` }],
  nodeName: shortText,
  namespace: (value, path) =>
    typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value)
      ? []
      : [
          {
            path,
            message: `must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -, not ${describe(value)}`,
          },
        ],
  retryLevels: (value, path) => problemIf(path, problemOfRetryLevels(value)),
  retryJitter: (value, path) =>
    typeof value === 'number' && value >= 0 && value <= 1
      ? []
      : [{ path, message: `must be a number from 0 to 1, not ${describe(value)}` }],
  maxBuriedQueueSize: wholeNumber(1, 100_000_000, 'jobs'),
  deliveryLimit: wholeNumber(1, 1_000_000, 'deliveries'),
  shutdownTimeoutMs: wholeNumber(0, MAX_TIMER_MS, 'ms'),
  maxExecutionTimeSeconds: (value, path) => problemIf(path, problemOfExecutionTime(value)),
  abortGraceMs: wholeNumber(0, 600_000, 'ms'),
  brokerConsumerTimeoutMs: wholeNumber(0, MAX_TIMER_MS, 'ms'),
  unhandledRejections: (value, path) =>
    value === 'log' || value === 'leave'
      ? []
      : [{ path, message: `must be 'log' or 'leave', not ${describe(value)}` }],
  threads: problemsOfThreads,
  enqueueTimeoutMs: wholeNumber(1, MAX_TIMER_MS, 'ms'),
  maxBufferedBytes: wholeNumber(1024, 64 * GIB, 'bytes'),
  maxJobBytes: wholeNumber(256, 16 * 1024 * 1024, 'bytes'),
  ledgerTimeoutMs: wholeNumber(1, MAX_TIMER_MS, 'ms'),
  maxWaitingJobs: wholeNumber(0, 100_000_000, 'jobs'),
  ledgerShards: wholeNumber(1, 64, 'ledgers'),
  persister: problemsOfPersister,
  journal: (value, path) => (typeof value === 'boolean' ? [] : problemsOfJournal(value, path)),
  memory: (value, path) =>
    value instanceof MemoryBroker
      ? []
      : [{ path, message: `must be a MemoryBroker, not ${describe(value)}` }],
};

const CONNECTION_CHECKS: Record<keyof RabbitmqConnectionOptions, Check> = {
  uri: problemsOfUri,
  managementUri: problemsOfManagementUri,
  heartbeatSeconds: wholeNumber(1, 3600, 's'),
  name: shortText,
  tls: (value, path) =>
    typeof value === 'object' && value !== null
      ? []
      : [{ path, message: `must be an object of TLS settings, not ${describeKind(value)}` }],
};

const THREAD_CHECKS: Record<keyof ThreadOptions, Check> = {
  module: (value, path) =>
    typeof value === 'string' && isAbsolute(value)
      ? []
      : [
          {
            path,
            message: `must be the absolute path of a file, like require.resolve('./app.module'), not ${describe(value)}`,
          },
        ],
  exportName: (value, path) =>
    typeof value === 'string' && value.length > 0
      ? []
      : [{ path, message: `must be the name of an export, not ${describe(value)}` }],
  maxThreads: wholeNumber(1, 1_024, 'threads'),
  idleTimeoutMs: wholeNumber(0, MAX_TIMER_MS, 'ms'),
  resourceLimits: (value, path) =>
    isRecord(value) ? [] : [{ path, message: `must be an object, not ${describe(value)}` }],
  execArgv: (value, path) =>
    Array.isArray(value) && value.every((part) => typeof part === 'string')
      ? []
      : [{ path, message: `must be a list of texts, not ${describe(value)}` }],
};

function problemsOfThreads(value: unknown, path: string): Problem[] {
  if (!isRecord(value)) {
    return [
      {
        path,
        message: `must be an object like { module: require.resolve('./app.module') }, not ${describe(value)}`,
      },
    ];
  }
  const problems = problemsOfFields(value, THREAD_CHECKS, path);
  if ((value as { module?: unknown }).module === undefined) {
    problems.push({
      path: `${path}.module`,
      message: "is missing; say for example require.resolve('./app.module')",
    });
  }
  return problems;
}

const JOURNAL_CHECKS: Record<keyof JournalOptions, Check> = {
  maxAgeSeconds: wholeNumber(60, 10 * 365 * 24 * 60 * 60, 's'),
  maxBytes: wholeNumber(1024 * 1024, 1024 * GIB, 'bytes'),
};

function problemsOfJournal(value: unknown, path: string): Problem[] {
  return isRecord(value)
    ? problemsOfFields(value, JOURNAL_CHECKS, path)
    : [
        {
          path,
          message: `must be true, false or an object like { maxAgeSeconds: 3600 }, not ${describe(value)}`,
        },
      ];
}

function problemsOfPersister(value: unknown, path: string): Problem[] {
  const methods = (value ?? {}) as Partial<Record<string, unknown>>;
  const missing = ['init', 'load', 'store'].filter((name) => typeof methods[name] !== 'function');
  return missing.length === 0
    ? []
    : [{ path, message: `has no method ${missing.join(', ')}; a StatePersister has init, load and store` }];
}

function problemsOfOptions(options: unknown): Problem[] {
  if (!isRecord(options)) {
    return [{ path: '', message: `the options must be an object, not ${describeKind(options)}` }];
  }
  const problems = problemsOfFields(options, CHECKS, '');
  const { connection, memory, persister } = options as RogerModuleOptions;
  if (connection !== undefined && memory !== undefined) {
    problems.push({ path: 'memory', message: 'leave it out where there is a connection' });
  }
  if (connection === undefined && persister instanceof RabbitStatePersister) {
    problems.push({ path: 'persister', message: 'a RabbitStatePersister needs a connection' });
  }
  return problems;
}

function problemsOfConnection(value: unknown, path: string): Problem[] {
  if (!isRecord(value)) {
    return [
      { path, message: `must be an object like { uri: 'amqp://localhost' }, not ${describeKind(value)}` },
    ];
  }
  const problems = problemsOfFields(value, CONNECTION_CHECKS, path);
  if ((value as { uri?: unknown }).uri === undefined) {
    problems.push({ path: `${path}.uri`, message: "is missing; say for example 'amqp://localhost'" });
  }
  return problems;
}

function problemsOfUri(value: unknown, path: string): Problem[] {
  const uris: unknown[] = Array.isArray(value) ? value : [value];
  if (uris.length === 0) return [{ path, message: 'is an empty list' }];
  return uris.flatMap((uri) => problemIf(path, problemOfOneUri(uri)));
}

/** Never shows the URI: it may hold a password. */
function problemsOfManagementUri(value: unknown, path: string): Problem[] {
  const isUri = typeof value === 'string' && URL.canParse(value) && /^https?:\/\/./.test(value);
  return isUri
    ? []
    : [
        {
          path,
          message:
            "must be a URI like 'http://user:password@localhost:15672', with @ : / and % in user name and password percent-encoded",
        },
      ];
}

/** Never shows the URI: it may hold a password. */
function problemOfOneUri(uri: unknown): string | undefined {
  if (typeof uri !== 'string') return `must be a text like 'amqp://localhost', not ${describe(uri)}`;
  if (!URL.canParse(uri)) {
    return 'is no URI; percent-encode @ : / and % in user name, password and vhost (a password p@ss is p%40ss)';
  }
  const { protocol, hostname, pathname, username, password } = new URL(uri);
  if (protocol !== 'amqp:' && protocol !== 'amqps:') {
    return `has the scheme ${describe(protocol)}; it must be amqp:// or amqps://`;
  }
  if (hostname === '') return 'names no host';
  if (pathname === '/')
    return 'ends in a /, which means the vhost with the empty name; leave the / out for the default vhost';
  if (pathname === '//' || pathname.slice(1).includes('/')) return 'has a / in its vhost; write it as %2F';
  const isDecodable = [username, password, pathname].every((part) => {
    try {
      decodeURIComponent(part);
      return true;
    } catch {
      return false;
    }
  });
  return isDecodable ? undefined : 'has a % that begins no percent-encoding; write % as %25';
}

/** For what may hold a secret, such as a URI in the wrong place. */
function describeKind(value: unknown): string {
  return typeof value === 'string' ? 'a text' : describe(value);
}

function shortText(value: unknown, path: string): Problem[] {
  return typeof value === 'string' && value.length > 0 && value.length <= 128
    ? []
    : [{ path, message: `must be a text of 1 to 128 characters, not ${describe(value)}` }];
}
