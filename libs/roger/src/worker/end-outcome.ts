// What an end counts as.
import type { End } from './attempts';
import type { Outcome } from './outcome';

/** For whoever counts. */
export function outcomeOf(end: End): Outcome {
  switch (end.kind) {
    case 'retry':
      if (end.changes.handedOn !== undefined) return 'handedOn';
      return end.changes.attempt === undefined ? 'snoozed' : 'retried';
    case 'bury':
      return 'buried';
    case 'hold':
      return 'held';
    case 'handBack':
      return 'handedBack';
    default:
      return end.kind;
  }
}
