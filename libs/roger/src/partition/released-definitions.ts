// Lets jobs go that are held for a definition which is on: also those that a node held which had not heard of it yet.
import type { DefinitionGates } from '../job/definition-gates';
import { oneLine } from '../job/errors';
import type { RogerLog } from '../job/log';
import type { JobHolds } from '../ledger/job-holds';
import type { JobRecorders } from '../reports/job-recorders';

const SWEEP_MS = 60_000;
/** After the ledgers could not be asked. */
const AGAIN_MS = 5_000;

export interface ReleasedDefinitionsParts {
  readonly gates: Pick<DefinitionGates, 'follow' | 'isOver'>;
  readonly holds: Pick<JobHolds, 'reasons' | 'releaseAll'>;
  readonly log: Pick<RogerLog, 'log' | 'warn'>;
  /** Who keeps a record of jobs. */
  readonly recorders?: Pick<JobRecorders, 'released'> | undefined;
}

export class ReleasedDefinitions {
  private timer: NodeJS.Timeout | undefined;
  private isSweeping = false;
  private isStale = false;
  private isClosed = false;
  private complaint: string | undefined;

  /** Does nothing until the gates have an owner. */
  constructor(private readonly parts: ReleasedDefinitionsParts) {
    parts.gates.follow(() => {
      this.sweepSoon();
    });
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  private sweepSoon(): void {
    if (this.isClosed) return;
    if (this.isSweeping) {
      this.isStale = true;
      return;
    }
    clearTimeout(this.timer);
    this.isSweeping = true;
    void this.sweep().then((isDone) => {
      this.isSweeping = false;
      if (this.isClosed) return;
      if (this.isStale) {
        this.isStale = false;
        this.sweepSoon();
        return;
      }
      this.timer = setTimeout(
        () => {
          this.sweepSoon();
        },
        isDone ? SWEEP_MS : AGAIN_MS,
      ).unref();
    });
  }

  /** @returns false when the ledgers could not be asked. Never rejects. */
  private async sweep(): Promise<boolean> {
    const { gates, holds, log, recorders } = this.parts;
    try {
      for (const [partition, why] of await holds.reasons()) {
        if (this.isClosed || !gates.isOver(why)) continue;
        const at = Date.now();
        const released = await holds.releaseAll(partition, why);
        if (released === 0) continue;
        recorders?.released({ partition, why }, at);
        log.log(`${released} jobs of partition ${partition} are released (${oneLine(why)})`);
      }
      this.complaint = undefined;
      return true;
    } catch (error) {
      const problem = oneLine(error instanceof Error ? error.message : String(error));
      if (!this.isClosed && problem !== this.complaint)
        log.warn(`Jobs of definitions that are on may be held still: ${problem}; trying on`);
      this.complaint = problem;
      return false;
    }
  }
}
