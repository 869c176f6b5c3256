// Brings what killed processes have left in their spools to the database, through the writer.
import type { RogerLog } from 'nestjs-roger';
import { textOf } from '../records/record-text';
import type { EventRows } from '../records/rows';
import { LegacyReader } from './legacy-reader';
import type { Line } from './lines';
import { linesOf } from './lines';
import type { Legacy, Spool } from './spool';
import type { Sweep } from './spool-lines';

export interface SpoolReplayParts {
  readonly spool: Pick<Spool, 'claim'>;
  readonly store: { endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> };
  readonly log: RogerLog;
  /** How many rows more the writer takes before it would drop some. */
  readonly room: () => number;
  /** @param isCounted whether a run that has ended is to be counted */
  readonly add: (rows: EventRows, isCounted: boolean, line: Line) => void;
  readonly addSweep: (sweep: Sweep) => void;
}

const LOOK_MS = 5_000;
const PAUSE_MS = 50;
const AGAIN_MS = 1_000;

export class SpoolReplay {
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  /** Whether something that was taken over is not in the database yet. */
  isBusy = false;

  constructor(private readonly parts: SpoolReplayParts) {}

  /** At once, and every few seconds: a process that goes on takes over from those that die beside it. */
  start(): void {
    void this.look();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  private async look(): Promise<void> {
    const legacies = this.parts.spool.claim();
    this.isBusy = legacies.length > 0;
    for (const legacy of legacies) if (!this.isClosed) await this.replay(legacy);
    if (this.isClosed) return;
    this.isBusy = false;
    this.timer = setTimeout(() => void this.look(), LOOK_MS).unref();
  }

  private async replay(legacy: Legacy): Promise<void> {
    await Promise.all(await this.read(legacy));
    if (!this.isClosed) legacy.remove();
  }

  /** Resolves when all is read, with what resolves when it is in the database. */
  private async read({ files }: Legacy): Promise<readonly Promise<void>[]> {
    const { log, addSweep } = this.parts;
    const reader = new LegacyReader({ log, onSweep: addSweep });
    const written: Promise<void>[] = [];
    for await (const part of reader.partsOf(files)) {
      const ended = await this.readied(part);
      written.push(new Promise((resolve) => this.add(part, ended, resolve)));
    }
    const { read, unread } = reader;
    if (read + unread === 0) return written;
    const torn = unread === 0 ? '' : `; ${unread} lines could not be read`;
    log.log(`Took over ${read} events of the job history from a process that has ended${torn}`);
    return written;
  }

  /** Resolves when there is room for it, with those of its runs whose end the database has. */
  private async readied(part: readonly EventRows[]): Promise<ReadonlySet<string>> {
    while (this.parts.room() < 2 * part.length && !this.isClosed) await pause(PAUSE_MS);
    return await this.endedOf(
      part.flatMap(({ run }) => (run === undefined || run.result === null ? [] : [run.id])),
    );
  }

  private add(part: readonly EventRows[], ended: ReadonlySet<string>, onWritten: () => void): void {
    const lines = linesOf(part.map(textOf), onWritten);
    for (const [index, line] of lines.entries()) {
      const rows = part[index];
      if (rows !== undefined) this.parts.add(rows, !ended.has(rows.run?.id ?? ''), line);
    }
    for (const line of lines) line.release();
  }

  private async endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> {
    while (runIds.length > 0 && !this.isClosed) {
      try {
        return await this.parts.store.endedOf(runIds);
      } catch {
        // The writer says it when the database is away.
        await pause(AGAIN_MS);
      }
    }
    return new Set();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
