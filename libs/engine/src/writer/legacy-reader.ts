// Reads what a process has left, some hundred events at a time; of its ends that were not settled those that no other end outdoes.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { RogerLog } from 'nestjs-roger';
import type { EventRows } from '../records/rows';
import type { Sweep } from './spool-lines';
import { readLine } from './spool-lines';

export interface LegacyReaderParts {
  readonly log: RogerLog;
  readonly onSweep: (sweep: Sweep) => void;
}

const PART = 500;

export class LegacyReader {
  read = 0;
  /** Lines that no event has made. */
  unread = 0;
  /** By run. */
  private readonly unsettled = new Map<string, EventRows>();

  constructor(private readonly parts: LegacyReaderParts) {}

  /** @param files in the order in which they were written, or a run could count with both of its ends */
  async *partsOf(files: readonly string[]): AsyncGenerator<readonly EventRows[]> {
    let part: EventRows[] = [];
    for (const file of files) {
      try {
        for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
          const rows = this.take(text);
          if (rows === undefined) continue;
          part.push(rows);
          if (part.length < PART) continue;
          yield part;
          part = [];
        }
      } catch (error) {
        this.parts.log.warn(`A part of the job history that a process left can't be read: ${String(error)}`);
      }
    }
    this.read += this.unsettled.size;
    const last = [...part, ...this.unsettled.values()];
    for (let from = 0; from < last.length; from += PART) yield last.slice(from, from + PART);
  }

  /** @returns rows of an event that counts whatever follows it. */
  private take(text: string): EventRows | undefined {
    const line = readLine(text);
    if (line === undefined) {
      this.unread++;
      return undefined;
    }
    if (line.kind === 'sweep') {
      this.read++;
      this.parts.onSweep(line.sweep);
      return undefined;
    }
    const { rows } = line;
    const { run } = rows;
    if (run !== undefined && run.result !== null) this.unsettled.delete(run.id);
    if (line.kind === 'unsettled' && run !== undefined) {
      this.unsettled.set(run.id, rows);
      return undefined;
    }
    this.read++;
    return rows;
  }
}
