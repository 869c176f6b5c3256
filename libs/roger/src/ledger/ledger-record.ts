// What stands in a ledger's log.
import type { Operation } from './operation';

/** The head of a record. Those that don't begin with a frame (a node that joins) mean nothing. */
export type RecordHead =
  /** From here on only this keeper's records count, until the next claim. */
  | { readonly kind: 'claim'; readonly by: string; readonly stateId: string; readonly at: number }
  /** Requests, one per part, to be carried out at this time; then the keeper's own operations. */
  | {
      readonly kind: 'requests';
      readonly by: string;
      readonly at: number;
      readonly maxWaitingJobs: number;
      readonly own: readonly Operation[];
    }
  /** A piece of the state (its only part) as it stood when the first piece was written; `first` begins a new one. */
  | { readonly kind: 'snapshot'; readonly by: string; readonly first: boolean };

/** The head of a request: operations of one node, carried out in their order. */
export interface RequestHead {
  /** To whom the reply goes. */
  readonly node: string;
  /** The sender's numbering. */
  readonly session: string;
  /** All operations below have been answered, and the answer received. */
  readonly low: number;
  readonly operations: readonly (readonly [number: number, operation: Operation])[];
}
