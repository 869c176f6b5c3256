// Jobs without keys that are held: their copies on the broker are void, or are handed in to the ledger.
import { oneLine, RogerClosedError } from '../job/errors';
import type { Job } from '../job/job';
import { encodeForLedger } from '../job/job-codec';
import type { RogerLog } from '../job/log';
import type { JobHolds } from '../ledger/job-holds';
import type { MovedNote } from '../ledger/standing-board';
import type { Run } from './run';

/** How long a job that can't be held comes back later; it doesn't count as an attempt. */
export const HOLD_AGAIN_SECONDS = 60;
const ASK_AGAIN_MS = 200;

/** What was heard of void copies. */
export interface MovedBoard {
  movedNote(partition: string, id: string, queuedAt: number): MovedNote | undefined;
  forgetMoved(partition: string, id: string, queuedAt: number, note: MovedNote): void;
}

export interface HeldCopiesParts {
  readonly holds: Pick<JobHolds, 'isMoved' | 'met' | 'undo' | 'takeOver'>;
  readonly boardOf: (partition: string) => MovedBoard | undefined;
  readonly log: Pick<RogerLog, 'warn'>;
}

export class HeldCopies {
  private complaint: string | undefined;

  constructor(private readonly parts: HeldCopiesParts) {}

  /** Whether it is said of the delivered copy that it may be void. Costs nothing. */
  isSuspect(job: Job): boolean {
    return this.noteOf(job) !== undefined;
  }

  /**
   * Asks the ledger whether a suspect may run, without a worker meanwhile.
   * @returns `run`: it may, now; `drop`: it is void, and to be acknowledged; `handBack`: nobody can tell any more.
   */
  async judge(job: Job, run: Run): Promise<'run' | 'drop' | 'handBack'> {
    for (;;) {
      const note = this.noteOf(job);
      if (note === undefined) return 'run';
      run.leaveWorker();
      const isVoid = await this.untilAnswered(
        () => run.abortReason !== undefined,
        () => this.parts.holds.isMoved(job),
      );
      if (isVoid === undefined) return 'handBack';
      if (isVoid) return 'drop';
      this.parts.boardOf(job.partition)?.forgetMoved(job.partition, job.id, job.queuedAt, note);
      // It may be held while it waits for a worker.
      if (!(await run.takeWorker())) return 'handBack';
    }
  }

  dropped(job: Job): void {
    this.parts.holds.met(job);
  }

  /** The hold of a job that had begun comes too late; unless it is undone, the job would run again when it is released. */
  async hasRun(job: Job, run: Run): Promise<void> {
    if (this.noteOf(job) === undefined) return;
    await this.untilAnswered(
      () => run.abortReason !== undefined,
      () => this.parts.holds.undo(job),
    );
  }

  /** @returns whether the ledger has the job. Else it has to come back later. Never rejects. */
  async takeOver(job: Job, why: string, run: Run): Promise<boolean> {
    run.leaveWorker();
    try {
      const isTaken = await this.parts.holds.takeOver(job, encodeForLedger(job), why);
      if (isTaken) this.complaint = undefined;
      return isTaken;
    } catch (error) {
      if (!(error instanceof RogerClosedError)) this.complain(error);
      return false;
    }
  }

  private noteOf({ partition, id, queuedAt }: Job): MovedNote | undefined {
    return this.parts.boardOf(partition)?.movedNote(partition, id, queuedAt);
  }

  private async untilAnswered<T>(isOver: () => boolean, ask: () => Promise<T>): Promise<T | undefined> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (isOver() || error instanceof RogerClosedError) return undefined;
        this.complain(error);
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
        if (isOver()) return undefined;
      }
    }
  }

  private complain(error: unknown): void {
    const problem = oneLine(error instanceof Error ? error.message : String(error));
    if (problem !== this.complaint) this.parts.log.warn(`A job that is to be held is held up: ${problem}`);
    this.complaint = problem;
  }
}
