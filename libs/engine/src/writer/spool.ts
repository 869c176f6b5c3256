// Keeps, in files of this process, what the database has not confirmed yet: a process that is killed leaves it to others.
// Appended to the page cache, which outlives the process; a machine that loses its power loses it.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RogerLog } from 'nestjs-roger';
import { isGone, thisProcess } from './process-identity';

/** Counts what waits to be written. Whoever holds all of it lets go when the database has confirmed. */
export class Segment {
  private waiting = 0;

  constructor(private readonly onWritten: () => void = () => undefined) {}

  get isWritten(): boolean {
    return this.waiting === 0;
  }

  hold(): void {
    this.waiting++;
  }

  release(count = 1): void {
    this.waiting -= count;
    if (this.waiting === 0) this.onWritten();
  }
}

/** For what no file has. */
export const UNSPOOLED = new Segment();

export interface SpoolOptions {
  readonly folder: string;
  /** More is not kept for a kill. */
  readonly maxBytes: number;
}

const TOUCH_MS = 10_000;
const SEGMENT_BYTES = 1024 * 1024;
const BUFFER_BYTES = 64 * 1024;
const MAX_BUFFER_BYTES = 4 * 1024 * 1024;
const NEW_LINE = 10;
const SEGMENT_NAME = /^\d+\.events$/;
const FOLDER_NAME = /^roger-[0-9a-f]{16}$/;
const OWNER = 'owner.json';
/** In the folder of an app that has ended while its process goes on. */
const RELEASED = 'released';

class OpenSegment extends Segment {
  bytes = 0;

  constructor(
    readonly file: string,
    readonly fd: number,
    onWritten: () => void,
  ) {
    super(onWritten);
  }
}

/** What a process has left, taken over: nobody else has it. */
export interface Legacy {
  readonly files: readonly string[];
  /** All of it is in the database. */
  remove(): void;
}

export class Spool {
  /** Of this process. */
  private readonly own: string;
  private readonly segments = new Set<OpenSegment>();
  private current: OpenSegment | undefined;
  /** What is to be written at the end of this turn. */
  private buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  private length = 0;
  /** Resolves after it. */
  private dueWrite: Promise<void> | undefined;
  private count = 0;
  private claims = 0;
  private isMade = false;
  private touching: NodeJS.Timeout | undefined;
  private complaint: string | undefined;

  constructor(
    private readonly options: SpoolOptions,
    private readonly log: RogerLog,
  ) {
    this.own = join(options.folder, `roger-${randomBytes(8).toString('hex')}`);
  }

  /** Is in the file before anything that the process does in later turns: before an ack leaves, for one. */
  append(line: string): Segment {
    const segment = this.open();
    if (segment === undefined) return UNSPOOLED;
    // The longest that it can become, and a new line.
    if (this.length + 3 * line.length + 1 > this.buffer.length) this.makeRoom(3 * line.length + 1);
    this.length += this.buffer.write(line, this.length);
    this.buffer[this.length++] = NEW_LINE;
    this.dueWrite ??= new Promise((resolve) => {
      // After what else ends in this turn, and before any setImmediate: acks wait for one.
      process.nextTick(() => {
        this.write();
        resolve();
      });
    });
    return segment;
  }

  /** Resolves when what was appended is in the file, or can't be; undefined: it is. All of one turn wait for one write. */
  untilWritten(): Promise<void> | undefined {
    return this.dueWrite;
  }

  private makeRoom(bytes: number): void {
    const { buffer, length } = this;
    this.buffer = Buffer.allocUnsafeSlow(Math.max(2 * buffer.length, length + bytes));
    buffer.copy(this.buffer, 0, 0, length);
  }

  /** What was appended is in the file now. */
  write(): void {
    this.dueWrite = undefined;
    const { length, current } = this;
    if (length === 0 || current === undefined) return;
    this.length = 0;
    try {
      for (let written = 0; written < length;) {
        written += writeSync(current.fd, this.buffer, written, length - written);
      }
      current.bytes += length;
      if (current.bytes >= SEGMENT_BYTES) this.rotate();
    } catch (error) {
      this.complain(error);
      // What follows a torn line would be unreadable.
      this.rotate();
    }
    if (this.buffer.length > MAX_BUFFER_BYTES) this.buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Says that this process lives, to those that can't see it. */
  private touch(): void {
    const now = new Date();
    this.attempt(() => utimesSync(join(this.own, OWNER), now, now));
  }

  /** @param isWritten whether the database has all of it; else the next start, here or elsewhere, brings it there */
  close(isWritten: boolean): void {
    this.write();
    for (const { fd } of this.segments) this.attempt(() => closeSync(fd));
    this.segments.clear();
    this.current = undefined;
    if (!this.isMade) return;
    clearInterval(this.touching);
    this.isMade = false;
    this.attempt(() => {
      if (isWritten) rmSync(this.own, { recursive: true, force: true });
      else writeFileSync(join(this.own, RELEASED), '');
    });
  }

  /** Takes over what the dead have left. Two that try get half each: a folder can be renamed once. */
  claim(): Legacy[] {
    const legacies: Legacy[] = [];
    for (const name of namesIn(this.options.folder)) {
      const folder = join(this.options.folder, name);
      if (!FOLDER_NAME.test(name) || folder === this.own || !isLeft(folder)) continue;
      try {
        this.make();
        const mine = join(this.own, `roger-${String(++this.claims).padStart(16, '0')}`);
        renameSync(folder, mine);
        legacies.push({
          files: filesIn(mine),
          remove: () => this.attempt(() => rmSync(mine, { recursive: true, force: true })),
        });
      } catch (error) {
        // Another was faster.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.complain(error);
      }
    }
    return legacies;
  }

  private make(): void {
    if (this.isMade) return;
    mkdirSync(this.options.folder, { recursive: true });
    // Under its name with its owner in it, or not at all.
    const unfinished = `${this.own}.new`;
    mkdirSync(unfinished);
    writeFileSync(join(unfinished, OWNER), JSON.stringify(thisProcess()));
    renameSync(unfinished, this.own);
    this.touching = setInterval(() => this.touch(), TOUCH_MS).unref();
    this.isMade = true;
  }

  private open(): OpenSegment | undefined {
    if (this.current !== undefined) return this.current;
    try {
      this.make();
      const file = join(this.own, `${++this.count}.events`);
      const segment = new OpenSegment(file, openSync(file, 'ax'), () => this.written(segment));
      this.segments.add(segment);
      this.current = segment;
      this.bound();
      return segment;
    } catch (error) {
      this.complain(error);
      return undefined;
    }
  }

  private rotate(): void {
    const { current } = this;
    this.current = undefined;
    if (current?.isWritten === true) this.written(current);
  }

  private written(segment: OpenSegment): void {
    if (!this.segments.has(segment)) return;
    if (segment !== this.current) {
      this.remove(segment);
      return;
    }
    // What waits in the buffer is of rows that wait, too: there is none.
    if (this.length > 0 || segment.bytes < SEGMENT_BYTES / 16) return;
    segment.bytes = 0;
    this.attempt(() => ftruncateSync(segment.fd, 0));
  }

  private remove(segment: OpenSegment): void {
    this.segments.delete(segment);
    this.attempt(() => closeSync(segment.fd));
    this.attempt(() => unlinkSync(segment.file));
  }

  private bound(): void {
    let bytes = [...this.segments].reduce((sum, segment) => sum + segment.bytes, 0);
    for (const segment of this.segments) {
      if (bytes <= this.options.maxBytes || segment === this.current) return;
      bytes -= segment.bytes;
      this.remove(segment);
      this.complain(new Error(`more than ${this.options.maxBytes} bytes wait for the database`));
    }
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.complain(error);
    }
  }

  /** Once, until it is something else. */
  private complain(error: unknown): void {
    const message = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ');
    if (message === this.complaint) return;
    this.complaint = message;
    this.log.warn(`A kill of this process would leave gaps in the job history: ${message}; the jobs go on`);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isLeft(folder: string): boolean {
  const names = namesIn(folder);
  if (names.includes(RELEASED)) return true;
  try {
    return isGone(readFileSync(join(folder, OWNER), 'utf8'), join(folder, OWNER));
  } catch {
    return false;
  }
}

/** In the order in which they were written. What the dead had taken over from others included. */
function filesIn(folder: string): string[] {
  const names = namesIn(folder);
  const own = names.filter((name) => SEGMENT_NAME.test(name));
  own.sort((one, other) => parseInt(one, 10) - parseInt(other, 10));
  const taken = names.filter((name) => FOLDER_NAME.test(name));
  return [...own.map((name) => join(folder, name)), ...taken.flatMap((name) => filesIn(join(folder, name)))];
}
