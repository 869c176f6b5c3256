// What an end counts as.
import type { End } from './attempts';
import type { Outcome } from './outcome';

/** For whoever counts. */
export function outcomeOf(end: End): Outcome {
  switch (end.kind) {
    case 'retry':
      return end.changes.handedOn === undefined ? 'retried' : 'handedOn';
    case 'bury':
      return 'buried';
    case 'handBack':
      return 'handedBack';
    default:
      return end.kind;
  }
}
