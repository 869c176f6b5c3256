// What is told of an end to whoever awaits the job.
import type { EndedJob } from '../reports/outcome-replies';
import type { End } from './attempts';

/** Undefined while the job goes on. */
export function endedJobOf(end: End): EndedJob | undefined {
  switch (end.kind) {
    case 'done':
      return { kind: 'done', result: end.result };
    case 'failed':
      return { kind: 'failed', ...end.reason };
    case 'discarded':
      return { kind: 'failed', type: 'DiscardJob', message: 'its handler said that there is nothing to do' };
    case 'bury':
      return { kind: 'buried', ...end.reason };
    case 'cancelled':
      return end;
    default:
      return undefined;
  }
}
