// Sends on what a `runNow` that was cut off in its middle has left held.
import type { GlobalStateService, InfoService } from 'nestjs-roger';
import type { JobRecords } from '../history/job-records.service';
import type { Decrees } from './decrees';

/** Why a job is held that is about to be sent ahead. */
export const TO_BE_SENT_AHEAD = 'run now';

export interface CutOffHurriesParts {
  readonly info: Pick<InfoService, 'partitions'>;
  readonly globalState: Pick<GlobalStateService, 'heldJobs' | 'release'>;
  readonly records: Pick<JobRecords, 'get'>;
  readonly decrees: Decrees;
}

export class CutOffHurries {
  constructor(private readonly parts: CutOffHurriesParts) {}

  /** One that is not cut off is only finished by another. @returns how many were sent on */
  async sendOn(): Promise<number> {
    let sent = 0;
    for (const { partition } of (await this.parts.info.partitions()).partitions) {
      for (const { id } of await this.parts.globalState.heldJobs(partition, { why: TO_BE_SENT_AHEAD })) {
        const { released } = await this.parts.globalState.release(partition, id, { now: true });
        if (!released) continue;
        sent++;
        const record = await this.parts.records.get(id, { partition });
        if (record !== undefined) await this.parts.decrees.released({ ...record, dueAt: undefined });
      }
    }
    return sent;
  }
}
