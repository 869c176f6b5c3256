// What a call of the control came to.

/** Why nothing was done. */
export type Obstacle =
  /** There is no record of such a job. */
  | 'unknown'
  /** It is over: done, failed, cancelled, buried, … */
  | 'ended'
  /** It is not over, so there is nothing to retry. */
  | 'not ended'
  | 'running'
  | 'not running'
  | 'held'
  | 'not held'
  /** It was cancelled (removed, ended by decree) and has not been met yet; then it can't be sent again either. */
  | 'cancelled'
  /** Another job has its queue key. */
  | 'duplicate'
  /** The node that runs it is there: by the broker, by its own word, or because it has written in the last 15 s. */
  | 'node alive'
  /** This node is cut off from the broker, and can't tell who is there. */
  | 'not connected';

/** What was done; `nothing` names the reason. To call once more is always safe. */
export type Did<What extends string> =
  { readonly did: What } | { readonly did: 'nothing'; readonly because: Obstacle };

export function nothing(because: Obstacle): { readonly did: 'nothing'; readonly because: Obstacle } {
  return { did: 'nothing', because };
}
