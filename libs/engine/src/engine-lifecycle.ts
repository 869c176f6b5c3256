// Starts and stops the engine with the app that it lives in.
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleInit,
} from '@nestjs/common';
import type { JobDefinitions, JobRecorders, RogerLog } from 'nestjs-roger';
import { isJobThread } from 'nestjs-roger';
import { rowOfCode } from './catalogue/catalogued-job';
import type { DefinitionStore } from './catalogue/definition-store';
import type { KnownDefinitions } from './catalogue/known-definitions';
import type { LostRuns } from './history/lost-runs';
import type { Pruning } from './history/pruning';
import type { EngineStore } from './store/engine-store';
import type { HistoryWriter } from './writer/history-writer';

/** So long the start of the app waits for a database that is away; after that it goes on without. */
const START_TIMEOUT_MS = 5_000;
const AGAIN_MIN_MS = 500;
const AGAIN_MAX_MS = 15_000;
/** What has ended with the jobs, and what ends with Roger. */
const FLUSH_TIMEOUT_MS = 3_000;
const LAST_FLUSH_TIMEOUT_MS = 2_000;
const CLOSE_TIMEOUT_MS = 2_000;
const LOOK_MS = 15_000;
const PRUNE_MS = 10 * 60_000;
const FIRST_PRUNE_MS = 60_000;
const RELOAD_MS = 30_000;

export interface EngineLifecycleParts {
  readonly store: EngineStore;
  readonly writer: HistoryWriter;
  readonly recorders: JobRecorders;
  readonly definitions: JobDefinitions;
  readonly rows: DefinitionStore;
  readonly known: KnownDefinitions;
  readonly lostRuns: LostRuns;
  readonly pruning: Pruning;
  readonly lostAfterMs: number;
  readonly log: RogerLog;
}

/**
 * Records from the start of the modules to the end of Roger, which stops before the engine does. The database may be away
 * at any time, at the start too: then it is tried until it is there.
 */
export class EngineLifecycle
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly timers: NodeJS.Timeout[] = [];
  private stopRecording: () => void = () => undefined;
  private migrated: Promise<void> | undefined;
  private isEnding = false;
  private isReady = false;
  private readonly complaints = new Map<string, string>();

  constructor(private readonly parts: EngineLifecycleParts) {}

  async onModuleInit(): Promise<void> {
    if (isJobThread()) return;
    const { recorders, writer } = this.parts;
    this.stopRecording = recorders.add(writer);
    this.migrated = this.migrate();
    await Promise.race([this.migrated, pause(START_TIMEOUT_MS)]);
  }

  onApplicationBootstrap(): void {
    if (this.migrated === undefined || this.isEnding) return;
    void this.migrated.then(() => this.begin());
  }

  /** The jobs have ended. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isEnding = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.parts.pruning.close();
    if (this.isReady) await this.parts.writer.flush(FLUSH_TIMEOUT_MS);
  }

  /** Roger has ended. */
  async onApplicationShutdown(): Promise<void> {
    if (isJobThread()) return;
    const { writer, store } = this.parts;
    this.isEnding = true;
    this.stopRecording();
    if (this.isReady) await writer.flush(LAST_FLUSH_TIMEOUT_MS);
    writer.close();
    await Promise.race([store.close().catch(() => undefined), pause(CLOSE_TIMEOUT_MS)]);
  }

  private async migrate(): Promise<void> {
    for (let againMs = AGAIN_MIN_MS; !this.isEnding; againMs = Math.min(againMs * 2, AGAIN_MAX_MS)) {
      try {
        await this.parts.store.migrate();
        this.isReady = true;
        this.parts.writer.start();
        return;
      } catch (error) {
        this.complain('The database of the job history is not ready', error);
      }
      await pause(againMs);
    }
  }

  private async begin(): Promise<void> {
    if (this.isEnding) return;
    const { lostRuns, pruning, known, rows, definitions, lostAfterMs } = this.parts;
    let isNoted = false;
    const reload = async (): Promise<void> => {
      if (!isNoted) await rows.note(definitions.all().map((definition) => rowOfCode(definition, Date.now())));
      isNoted = true;
      await known.load();
    };
    this.every('The catalogue of jobs is not up to date', RELOAD_MS, reload);
    this.every('Lost runs are not looked for', Math.min(LOOK_MS, lostAfterMs / 2), () => lostRuns.look());
    this.timers.push(
      setTimeout(() => {
        this.every('The job history is not pruned', PRUNE_MS, () => pruning.prune());
      }, FIRST_PRUNE_MS).unref(),
    );
    await reload().catch(() => undefined);
  }

  /** At once, and so long after the end of each time. */
  private every(complaint: string, ms: number, work: () => Promise<unknown>): void {
    const again = async (): Promise<void> => {
      try {
        await work();
        this.complaints.delete(complaint);
      } catch (error) {
        if (!this.isEnding) this.complain(complaint, error);
      }
      if (!this.isEnding) this.timers.push(setTimeout(() => void again(), ms).unref());
    };
    void again();
  }

  /** Once, until it is something else. */
  private complain(what: string, error: unknown): void {
    const problem = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ');
    if (this.complaints.get(what) === problem) return;
    this.complaints.set(what, problem);
    this.parts.log.warn(`${what}: ${problem}; trying on`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
