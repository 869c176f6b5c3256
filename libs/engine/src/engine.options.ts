// The options of RogerEngineModule: what they mean, their defaults, and what is refused.
import type { Problem } from 'nestjs-roger';
import { InvalidOptionsError } from 'nestjs-roger';
import type { Pool, PoolConfig } from 'pg';
import type { ArgsRecording } from './records/job-facts';

/** Where the history and the catalogue are kept. */
export type DatabaseOptions =
  /** The path of a SQLite file, made where there is none. For one host; several processes may share it. */
  | { readonly sqlite: string }
  /** Where PostgreSQL is (what `pg` takes), or a pool of the app's, which stays open. */
  | { readonly postgres: PoolConfig | Pool };

/** How long rows are kept. */
export interface RetentionOptions {
  /** Jobs that have ended, and runs, are removed after so many days. @default 30 */
  readonly days?: number | undefined;
  /** At most so many runs; the oldest go first, and with them the jobs that were over by then. @default 10_000_000 */
  readonly maxRuns?: number | undefined;
  /** Statistics by hour are removed after so many days. @default 400 */
  readonly statisticsDays?: number | undefined;
}

/** What `RogerEngineModule.forRoot` takes. */
export interface RogerEngineOptions {
  /**
   * `{ sqlite: 'jobs.db' }` or `{ postgres: { connectionString: 'postgres://…' } }` (or a `Pool` of `pg`). All nodes of an
   * app need the same database, and two apps with brokers of their own need two.
   */
  readonly database: DatabaseOptions;
  /**
   * What is kept of a job's args: `'full'` the args, `'hash'` their SHA-256, `'none'` nothing. Args over
   * `maxRecordedBytes` are kept as a hash.
   * @default 'full'
   */
  readonly argsRecording?: ArgsRecording | undefined;
  /** Larger args, and larger results of `perform`, are not kept. @default 65_536 */
  readonly maxRecordedBytes?: number | undefined;
  /** @default 30 days, 10 million runs, 400 days of statistics */
  readonly retention?: RetentionOptions | undefined;
  /**
   * A folder in which each process keeps what the database has not confirmed yet, so that a kill takes none of it: the next
   * process that sees the folder brings it there. It must outlive the process (a volume, in a container); processes of
   * several hosts may share it. `false`: a kill takes what waited.
   * @default beside the file of SQLite, `<file>.spool`; none for PostgreSQL
   */
  readonly spool?: { readonly folder: string } | false | undefined;
  /** How long rows wait for others that are written with them, in ms. @default 100 */
  readonly flushIntervalMs?: number | undefined;
  /** At most so many rows are kept in memory while the database is away; then the oldest are dropped, counted and told of. @default 100_000 */
  readonly maxBufferedRows?: number | undefined;
  /** The same in bytes. @default 134_217_728 (128 MiB) */
  readonly maxBufferedBytes?: number | undefined;
  /** A run whose node has not been there for so long is marked as lost, in ms. @default 60_000 */
  readonly lostAfterMs?: number | undefined;
}

/** The options with their defaults. */
export interface EngineSettings {
  readonly database: DatabaseOptions;
  readonly argsRecording: ArgsRecording;
  readonly maxRecordedBytes: number;
  readonly retentionDays: number;
  readonly maxRuns: number;
  readonly statisticsDays: number;
  /** undefined: none */
  readonly spoolFolder: string | undefined;
  readonly flushIntervalMs: number;
  readonly maxBufferedRows: number;
  readonly maxBufferedBytes: number;
  readonly lostAfterMs: number;
}

/** @throws InvalidOptionsError naming each wrong option and the remedy. */
export function settingsOf(options: RogerEngineOptions): EngineSettings {
  const problems = problemsOfOptions(options);
  if (problems.length > 0) throw new InvalidOptionsError(problems, 'RogerEngineModule options');
  const { retention = {} } = options;
  return {
    database: options.database,
    argsRecording: options.argsRecording ?? 'full',
    maxRecordedBytes: options.maxRecordedBytes ?? 65_536,
    retentionDays: retention.days ?? 30,
    maxRuns: retention.maxRuns ?? 10_000_000,
    statisticsDays: retention.statisticsDays ?? 400,
    spoolFolder: spoolFolderOf(options),
    flushIntervalMs: options.flushIntervalMs ?? 100,
    maxBufferedRows: options.maxBufferedRows ?? 100_000,
    maxBufferedBytes: options.maxBufferedBytes ?? 128 * 1024 * 1024,
    lostAfterMs: options.lostAfterMs ?? 60_000,
  };
}

function spoolFolderOf({ database, spool }: RogerEngineOptions): string | undefined {
  if (spool !== undefined) return spool === false ? undefined : spool.folder;
  return 'sqlite' in database ? `${database.sqlite}.spool` : undefined;
}

type Check = (value: unknown, path: string) => Problem[];

const DAYS = wholeNumber(1, 36_500, 'days');

const CHECKS: Record<keyof RogerEngineOptions, Check> = {
  database: problemsOfDatabase,
  argsRecording: (value, path) =>
    value === 'full' || value === 'hash' || value === 'none'
      ? []
      : [{ path, message: `must be 'full', 'hash' or 'none', not ${shown(value)}` }],
  maxRecordedBytes: wholeNumber(0, 16 * 1024 * 1024, 'bytes'),
  retention: (value, path) =>
    isRecord(value)
      ? problemsOfFields(value, RETENTION_CHECKS, path)
      : [{ path, message: `must be an object, not ${shown(value)}` }],
  spool: (value, path) => {
    const folder: unknown = isRecord(value) ? (value as { folder?: unknown }).folder : undefined;
    const isFolder = typeof folder === 'string' && folder.trim() !== '';
    return value === false || isFolder
      ? []
      : [{ path, message: "must be { folder: '/var/lib/jobs/spool' } or false" }];
  },
  flushIntervalMs: wholeNumber(1, 60_000, 'ms'),
  maxBufferedRows: wholeNumber(1_000, 10_000_000, 'rows'),
  maxBufferedBytes: wholeNumber(1024 * 1024, 16 * 1024 ** 3, 'bytes'),
  // A node that hangs for a while, or is cut off from the others, comes back within half a minute.
  lostAfterMs: wholeNumber(1_000, 86_400_000, 'ms'),
};

const RETENTION_CHECKS: Record<keyof RetentionOptions, Check> = {
  days: DAYS,
  maxRuns: wholeNumber(1, Number.MAX_SAFE_INTEGER, 'runs'),
  statisticsDays: DAYS,
};

function problemsOfOptions(options: unknown): Problem[] {
  if (!isRecord(options)) return [{ path: '', message: `must be an object, not ${shown(options)}` }];
  const problems = problemsOfFields(options, CHECKS, '');
  if ((options as { database?: unknown }).database === undefined) {
    problems.unshift({
      path: 'database',
      message: "must be given: { sqlite: 'jobs.db' } or { postgres: { connectionString: '…' } }",
    });
  }
  return problems;
}

function problemsOfDatabase(value: unknown, path: string): Problem[] {
  const { sqlite, postgres } = (isRecord(value) ? value : {}) as { sqlite?: unknown; postgres?: unknown };
  if ((sqlite === undefined) === (postgres === undefined)) {
    return [{ path, message: "must be { sqlite: 'jobs.db' } or { postgres: { connectionString: '…' } }" }];
  }
  if (postgres !== undefined) {
    return typeof postgres === 'object' && postgres !== null
      ? []
      : [{ path: `${path}.postgres`, message: `must be what pg takes, or a Pool, not ${shown(postgres)}` }];
  }
  if (typeof sqlite !== 'string' || sqlite.trim() === '') {
    return [{ path: `${path}.sqlite`, message: `must be the path of a file, not ${shown(sqlite)}` }];
  }
  return sqlite.includes(':memory:')
    ? [
        {
          path: `${path}.sqlite`,
          message: 'must be a file: what is read and what is written have it open each',
        },
      ]
    : [];
}

function problemsOfFields(value: object, checks: Readonly<Record<string, Check>>, parent: string): Problem[] {
  return Object.entries(value).flatMap(([key, field]: [string, unknown]) => {
    const path = parent === '' ? key : `${parent}.${key}`;
    if (!Object.hasOwn(checks, key)) {
      return [{ path, message: `unknown option; there are ${Object.keys(checks).join(', ')}` }];
    }
    return field === undefined ? [] : (checks[key]?.(field, path) ?? []);
  });
}

function wholeNumber(min: number, max: number, unit: string): Check {
  return (value, path) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? []
      : [{ path, message: `must be a whole number of ${unit} from ${min} to ${max}, not ${shown(value)}` }];
}

function isRecord(value: unknown): value is object {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** For a message; what is not plain is named by its kind. A database's options may hold a password, and are not shown. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  return typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : `a value of type ${typeof value}`;
}
