// How jobs end, for whoever counts.

/** How a delivered job ended on this node. */
export type Outcome =
  | 'done'
  /** Failed, to be tried again. */
  | 'retried'
  /** Failed, not retryable. */
  | 'failed'
  /** Its handler said that there is nothing to do. */
  | 'discarded'
  /** Its handler asked for a later time. */
  | 'snoozed'
  | 'buried'
  | 'cancelled'
  /** Unknown on this node: offered to others. */
  | 'handedOn'
  /** Given back to its queue without an outcome. */
  | 'handedBack'
  /** Its definition is switched off: it is kept until that is on again. */
  | 'held'
  /** Its execution key was taken: it waits in line. */
  | 'parked'
  /** A copy of a job that was over, or that counts elsewhere. */
  | 'stale'
  /** Its delivery was lost while it ran; the outcome is not counted. */
  | 'lost';
