// Brings what killed processes have left in their spools to the database, through the writer.
import type { RogerLog } from 'nestjs-roger';
import type { JobEvent } from '../records/job-event';
import { LegacyReader } from './legacy-reader';
import type { Legacy, Spool } from './spool';
import { Segment } from './spool';
import type { Sweep } from './spool-lines';

export interface SpoolReplayParts {
  readonly spool: Pick<Spool, 'claim'>;
  readonly store: { endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> };
  readonly log: RogerLog;
  /** How many rows more the writer takes before it would drop some. */
  readonly room: () => number;
  /** @param isCounted whether a run that has ended is to be counted */
  readonly add: (event: JobEvent, isCounted: boolean, segment: Segment) => void;
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
    const written = new Promise<void>((resolve) => {
      const segment = new Segment(resolve);
      // Until all is read.
      segment.hold();
      void this.read(legacy, segment).then(() => segment.release());
    });
    await written;
    if (!this.isClosed) legacy.remove();
  }

  private async read({ files }: Legacy, segment: Segment): Promise<void> {
    const { log, addSweep } = this.parts;
    const reader = new LegacyReader({ log, onSweep: addSweep });
    for await (const part of reader.partsOf(files)) await this.add(part, segment);
    const { read, unread } = reader;
    if (read + unread === 0) return;
    const torn = unread === 0 ? '' : `; ${unread} lines could not be read`;
    log.log(`Took over ${read} events of the job history from a process that has ended${torn}`);
  }

  private async add(part: readonly JobEvent[], segment: Segment): Promise<void> {
    while (this.parts.room() < 2 * part.length && !this.isClosed) await pause(PAUSE_MS);
    const ended = await this.endedOf(
      part.flatMap(({ run }) => (run === undefined || run.result === null ? [] : [run.id])),
    );
    for (const event of part) this.parts.add(event, !ended.has(event.run?.id ?? ''), segment);
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
