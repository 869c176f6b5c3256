// Makes a job again of what was recorded of it.
import type { Job } from 'nestjs-roger';
import { ArgsNotRecordedError } from './args-not-recorded.error';
import type { JobRecord } from '../history/job-records.service';

/**
 * The job as it stands by its record.
 * @throws ArgsNotRecordedError
 */
export function jobOfRecord(record: JobRecord): Job {
  const { id, name, partition, queue, state, attempt, priority, queueKey, executionKey, args } = record;
  const { maxRetries, maxExecutionTimeSeconds, replyTo } = record;
  if (args === undefined) throw new ArgsNotRecordedError(id);
  return {
    ...{ id, name, partition, queue, args, attempt },
    queuedAt: record.queuedAt.getTime(),
    ...(state === 'delayed' && record.dueAt !== undefined ? { runAt: record.dueAt.getTime() } : {}),
    ...(priority === 0 ? {} : { priority }),
    ...(queueKey === undefined ? {} : { queueKey }),
    ...(executionKey === undefined ? {} : { executionKey }),
    ...(maxRetries === undefined ? {} : { maxRetries }),
    ...(maxExecutionTimeSeconds === undefined ? {} : { maxExecutionTimeSeconds }),
    ...(replyTo === undefined ? {} : { replyTo }),
  };
}
