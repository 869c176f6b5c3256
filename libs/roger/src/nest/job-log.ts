// A log for one job's handler.
import { Logger } from '@nestjs/common';
import type { Job } from '../job/job';
import type { RogerLog } from '../job/log';

/** Writes to the app's log, with the job's name and id as the context of each line. */
export function jobLog({ name, id }: Job): RogerLog {
  return new Logger(`${name} ${id}`);
}
