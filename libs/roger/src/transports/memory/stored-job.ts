// What a job is while it stands in memory.
import type { BuriedReason } from '../../transport';

/** A job in its queue. `place` is its turn: it grows with every job put in, and a job that is given back keeps it. */
export interface StoredJob {
  readonly id: string;
  readonly body: Buffer;
  readonly place: number;
  /** How often it was delivered and came back. */
  readonly deliveries: number;
  /** How often of these it came back without a settlement. */
  readonly deaths: number;
}

/** A job that failed for good and is kept. */
export interface BuriedJob {
  readonly body: Buffer;
  /** As settled; for what could not be decoded, the id it was published under. */
  readonly id: string;
  readonly reason: BuriedReason;
}
