// Where jobs run now, by the word of the nodes.
import type { ClusterRunningJob, InfoService } from 'nestjs-roger';
import type { JobRecord, JobRecords } from '../history/job-records.service';
import type { HistoryWriter } from '../writer/history-writer';

export interface LiveRunsParts {
  readonly info: Pick<InfoService, 'runningJobs'>;
  readonly records: Pick<JobRecords, 'get'>;
  readonly writer: Pick<HistoryWriter, 'flush'>;
}

/** So long a call waits for a run to heed its signal. */
const KILL_WAIT_MS = 10_000;
const LOOK_MS = 100;
const FLUSH_MS = 1_000;

export class LiveRuns {
  constructor(private readonly parts: LiveRunsParts) {}

  async find(id: string, partition: string | undefined): Promise<ClusterRunningJob | undefined> {
    const { jobs } = await this.parts.info.runningJobs(partition);
    return jobs.find((job) => job.id === id && (partition === undefined || job.partition === partition));
  }

  /** By the nodes, or by the record. */
  async has({ id, partition, state }: JobRecord): Promise<boolean> {
    return state === 'running' || (await this.find(id, partition)) !== undefined;
  }

  /** @returns the record once the run is over, by the nodes and by the record; undefined: it is not within the time */
  async stopped({ id, partition }: JobRecord): Promise<JobRecord | undefined> {
    const deadline = performance.now() + KILL_WAIT_MS;
    while (performance.now() < deadline) {
      if ((await this.find(id, partition)) === undefined) {
        await this.parts.writer.flush(FLUSH_MS);
        const record = await this.parts.records.get(id, { partition });
        if (record !== undefined && record.state !== 'running') return record;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return undefined;
  }
}
