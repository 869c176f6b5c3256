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
import type { Line, LineBytes, Segment } from './lines';
import { Lines } from './lines';
import { isGone, thisProcess } from './process-identity';

export interface SpoolOptions {
  readonly folder: string;
  /** More is not kept for a kill. */
  readonly maxBytes: number;
}

const TOUCH_MS = 10_000;
/** So long after a file could not be written to. */
const AGAIN_MS = 1_000;
const SEGMENT_NAME = /^\d+\.events$/;
const FOLDER_NAME = /^roger-[0-9a-f]{16}$/;
const OWNER = 'owner.json';
/** In the folder of an app that has ended while its process goes on. */
const RELEASED = 'released';

/** Has what its segment has, at the same places. */
interface SegmentFile {
  readonly path: string;
  readonly fd: number;
  /** So much of it is in the file. */
  length: number;
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
  private readonly lines: Lines;
  /** Undefined: there was no room for it. */
  private readonly files = new Map<Segment, SegmentFile | undefined>();
  /** Those of which the files don't have all. */
  private readonly behind = new Set<Segment>();
  /** Resolves when the end of this turn has come, and they have. */
  private dueWrite: Promise<void> | undefined;
  private againAt = 0;
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
    this.lines = new Lines({
      appended: (segment) => this.appended(segment),
      emptied: (segment) => this.emptied(segment),
      gone: (segment) => this.remove(segment),
    });
  }

  /**
   * Is in the file before anything that the process does in later turns: before an ack leaves, for one.
   * @returns the line, held once: it is in the file until nobody holds it.
   */
  append(bytes: LineBytes): Line {
    return this.lines.append(bytes);
  }

  /** Resolves when what was appended is in the file, or can't be; undefined: it is. All of one turn wait for one write. */
  untilWritten(): Promise<void> | undefined {
    return this.dueWrite;
  }

  private appended(segment: Segment): void {
    this.behind.add(segment);
    this.dueWrite ??= new Promise((resolve) => {
      // After what else ends in this turn, and before any setImmediate: acks wait for one.
      process.nextTick(() => {
        this.write();
        resolve();
      });
    });
  }

  /** What was appended is in the file now. */
  write(): void {
    this.dueWrite = undefined;
    if (performance.now() < this.againAt) return;
    for (const segment of this.behind) {
      try {
        this.writeOut(segment);
        this.behind.delete(segment);
      } catch (error) {
        this.complain(error);
        this.againAt = performance.now() + AGAIN_MS;
        return;
      }
    }
  }

  private writeOut(segment: Segment): void {
    const file = this.fileOf(segment);
    if (file === undefined) return;
    while (file.length < segment.length) {
      // At its place, so that what comes after a write that failed half-way replaces what that has left.
      file.length += writeSync(
        file.fd,
        segment.bytes,
        file.length,
        segment.length - file.length,
        file.length,
      );
    }
  }

  /** Says that this process lives, to those that can't see it. */
  private touch(): void {
    const now = new Date();
    this.attempt(() => utimesSync(join(this.own, OWNER), now, now));
  }

  /** @param isWritten whether the database has all of it; else the next start, here or elsewhere, brings it there */
  close(isWritten: boolean): void {
    this.againAt = 0;
    this.write();
    for (const file of this.files.values()) if (file !== undefined) this.attempt(() => closeSync(file.fd));
    this.files.clear();
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

  private fileOf(segment: Segment): SegmentFile | undefined {
    if (this.files.has(segment)) return this.files.get(segment);
    this.make();
    const path = join(this.own, `${++this.count}.events`);
    const file = { path, fd: openSync(path, 'wx'), length: 0 };
    this.files.set(segment, file);
    this.bound(segment);
    return file;
  }

  private emptied(segment: Segment): void {
    const file = this.files.get(segment);
    if (file === undefined) {
      this.remove(segment);
      return;
    }
    this.behind.delete(segment);
    file.length = 0;
    try {
      ftruncateSync(file.fd, 0);
    } catch (error) {
      this.complain(error);
      // What it had would follow what comes now.
      this.remove(segment);
    }
  }

  private remove(segment: Segment): void {
    this.behind.delete(segment);
    this.removeFile(this.files.get(segment));
    this.files.delete(segment);
  }

  private removeFile(file: SegmentFile | undefined): void {
    if (file === undefined) return;
    this.attempt(() => closeSync(file.fd));
    this.attempt(() => unlinkSync(file.path));
  }

  /** @param current keeps its file */
  private bound(current: Segment): void {
    let bytes = [...this.files.values()].reduce((sum, file) => sum + (file?.length ?? 0), 0);
    for (const [segment, file] of this.files) {
      if (bytes <= this.options.maxBytes || segment === current) return;
      if (file === undefined) continue;
      bytes -= file.length;
      this.removeFile(file);
      this.files.set(segment, undefined);
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
