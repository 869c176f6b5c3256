// The right to run jobs, bound to one delivered message: as long as that is unacknowledged, the jobs are its holder's.
import type { KeyedJob } from './keyed-job';

export class Lease {
  /** Those that have not ended, in the order in which they have to run. */
  readonly jobs: KeyedJob[] = [];

  constructor(
    /** The sending whose message is the pledge. */
    readonly dispatch: number,
    /** Who was granted it last. */
    public owner: string,
    public fence: number,
    /** How often the message had been delivered before its holder got it. */
    public deliveries: number,
  ) {}

  add(job: KeyedJob): void {
    this.jobs.push(job);
    job.lease = this;
    job.phase = 'running';
  }

  remove(job: KeyedJob): void {
    const index = this.jobs.indexOf(job);
    if (index >= 0) this.jobs.splice(index, 1);
    job.lease = undefined;
  }
}
