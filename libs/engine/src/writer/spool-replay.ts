// Brings what killed processes have left in their spools to the database, through the writer.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { RogerLog } from 'nestjs-roger';
import type { JobEvent } from '../records/job-event';
import { readJobEvent } from '../records/job-event';
import type { Legacy, Spool } from './spool';
import { Segment } from './spool';

export interface SpoolReplayParts {
  readonly spool: Pick<Spool, 'claim'>;
  readonly store: { endedOf(runIds: readonly string[]): Promise<ReadonlySet<string>> };
  readonly log: RogerLog;
  /** How many rows more the writer takes before it would drop some. */
  readonly room: () => number;
  /** @param isCounted whether a run that has ended is to be counted */
  readonly add: (event: JobEvent, isCounted: boolean, segment: Segment) => void;
}

const LOOK_MS = 5_000;
const CHUNK = 500;
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
    for (const legacy of this.parts.spool.claim()) await this.replay(legacy);
    if (!this.isClosed) this.timer = setTimeout(() => void this.look(), LOOK_MS).unref();
  }

  private async replay(legacy: Legacy): Promise<void> {
    this.isBusy = true;
    const written = new Promise<void>((resolve) => {
      const segment = new Segment(resolve);
      // Until all is read.
      segment.hold();
      void this.read(legacy, segment).then(() => segment.release());
    });
    await written;
    if (this.isClosed) return;
    legacy.remove();
    this.isBusy = false;
  }

  private async read({ files }: Legacy, segment: Segment): Promise<void> {
    let lines = 0;
    let unread = 0;
    for (const file of files) {
      let chunk: JobEvent[] = [];
      try {
        for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
          const event = readJobEvent(line);
          if (event === undefined) unread++;
          else chunk.push(event);
          if (chunk.length < CHUNK) continue;
          await this.add(chunk, segment);
          lines += chunk.length;
          chunk = [];
        }
      } catch (error) {
        this.parts.log.warn(`A part of the job history that a process left can't be read: ${String(error)}`);
      }
      await this.add(chunk, segment);
      lines += chunk.length;
    }
    if (lines + unread === 0) return;
    const torn = unread === 0 ? '' : `; ${unread} lines could not be read`;
    this.parts.log.log(`Took over ${lines} events of the job history from a process that has ended${torn}`);
  }

  private async add(chunk: readonly JobEvent[], segment: Segment): Promise<void> {
    if (chunk.length === 0) return;
    while (this.parts.room() < 2 * chunk.length && !this.isClosed) await pause(PAUSE_MS);
    const ended = await this.endedOf(
      chunk.flatMap(({ run }) => (run === undefined || run.result === null ? [] : [run.id])),
    );
    for (const event of chunk) this.parts.add(event, !ended.has(event.run?.id ?? ''), segment);
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
