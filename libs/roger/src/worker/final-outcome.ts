// What is told of an end to whoever awaits the job.
import type { EndedJob } from '../reports/outcome-replies';
import type { End } from './attempts';

/** Undefined while the job goes on. */
export function endedJobOf(end: End): EndedJob | undefined {
  switch (end.kind) {
    case 'done':
      return { kind: 'done', result: end.result };
    case 'failed':
      return { kind: 'failed', type: end.reason.type, message: end.reason.message };
    case 'discarded':
      return { kind: 'failed', type: 'DiscardJob', message: 'its handler said that there is nothing to do' };
    case 'bury':
      return { kind: 'buried', type: end.reason.type, message: end.reason.message };
    case 'cancelled':
      return end;
    default:
      return undefined;
  }
}
