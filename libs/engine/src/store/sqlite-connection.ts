// A SQLite file, open in a thread of its own: SQLite's calls take their time, and would keep the process from its jobs.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';
import type { Line, Segment } from '../writer/lines';
import type { EachRecord } from './batch-sql';

/** How long a statement waits for another process that writes to the file. */
const BUSY_TIMEOUT_MS = 10_000;

/** What SQLite says of a statement that it can't carry out. `code` is SQLite's: `SQLITE_BUSY`, `SQLITE_CONSTRAINT`, … */
class SqliteError extends Error {
  constructor(
    message: string,
    readonly code: string | undefined,
  ) {
    super(message);
    this.name = 'SqliteError';
  }
}

/** In place of a statement and its parameters: statements that are carried out for each of these records. */
export class Records {
  /** @param records objects as JSON. The thread reads them where they are: they must stay there until it has answered */
  constructor(
    private readonly records: readonly Line[],
    readonly statements: readonly EachRecord[],
  ) {}

  get task(): object {
    const numbers = new Map<Segment, number>();
    // Of each record its piece, and where it begins and ends there.
    const places = new Int32Array(3 * this.records.length);
    let at = 0;
    for (const { segment, start, end } of this.records) {
      let number = numbers.get(segment);
      if (number === undefined) numbers.set(segment, (number = numbers.size));
      places[at++] = number;
      places[at++] = start;
      places[at++] = end;
    }
    const pieces = [...numbers.keys()].map(({ bytes }) => bytes.buffer);
    return { pieces, places, statements: this.statements };
  }
}

interface Answer {
  readonly number: number;
  readonly rows?: unknown[];
  readonly changes?: number;
  readonly lastInsertRowid?: number | bigint;
  readonly error?: { readonly message: string; readonly code?: string };
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteConnection implements DatabaseConnection {
  private readonly waiting = new Map<number, Waiting>();
  private worker: Worker | undefined;
  private last = 0;

  constructor(private readonly path: string) {}

  async executeQuery<Row>({ sql: text, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { rows = [], changes, lastInsertRowid } = await this.ask(text, parameters);
    return {
      rows: rows as Row[],
      ...(changes === undefined ? {} : { numAffectedRows: BigInt(changes) }),
      ...(lastInsertRowid === undefined ? {} : { insertId: BigInt(lastInsertRowid) }),
    };
  }

  // eslint-disable-next-line require-yield -- nobody streams
  async *streamQuery(): AsyncGenerator<never> {
    await Promise.reject(new Error('SQLite gives all rows of a query at once'));
  }

  /** Resolves when the file is closed. */
  async close(): Promise<void> {
    const { worker } = this;
    if (worker === undefined) return;
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    worker.ref();
    worker.postMessage({});
    await exited;
  }

  private ask(text: string, parameters: readonly unknown[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const worker = (this.worker ??= this.open());
      const number = ++this.last;
      this.waiting.set(number, { resolve, reject });
      // An answer that somebody waits for keeps the process alive, the thread as such doesn't.
      worker.ref();
      const [given] = parameters;
      worker.postMessage(given instanceof Records ? { number, ...given.task } : { number, text, parameters });
    });
  }

  private open(): Worker {
    const worker = new Worker(join(__dirname, 'sqlite-thread.js'), {
      workerData: { path: this.path, busyTimeoutMs: BUSY_TIMEOUT_MS },
    });
    worker.on('message', (answer: Answer) => {
      const waiting = this.waiting.get(answer.number);
      this.waiting.delete(answer.number);
      if (this.waiting.size === 0) worker.unref();
      const { error } = answer;
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new SqliteError(error.message, error.code));
    });
    worker.on('error', (error: Error & { readonly code?: string }) => {
      this.lost(worker, new SqliteError(error.message, error.code));
    });
    worker.on('exit', () => {
      this.lost(worker, new SqliteError('the thread that has the SQLite file open has ended', undefined));
    });
    return worker;
  }

  /** The next statement opens the file anew. */
  private lost(worker: Worker, error: Error): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}
