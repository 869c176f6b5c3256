// A job with a key, as a ledger knows it.
import type { DispatchRoute } from '../../ledger-transport';
import type { DispatchToken } from '../operation';
import type { Lease } from './lease';
import type { PartitionState } from './partition-state';

export type Phase =
  /** In line for its execution key, its bytes with the ledger. */
  | 'waiting'
  /** On its way to its queue (or level, or the buried), its bytes still with the ledger. */
  | 'dispatching'
  /** The broker has it. */
  | 'queued'
  | 'running'
  /** The broker seems to have lost it; it is taken back when it turns up. */
  | 'missing';

export class KeyedJob {
  phase: Phase = 'waiting';
  /** The number of its latest sending; 0: none counts. */
  dispatch = 0;
  /** What names its message instead, when a state that is gone has sent it: until it is sent anew. */
  adoptedFrom: DispatchToken | undefined;
  /** Where it was last sent. */
  route: DispatchRoute | undefined;
  /** Its bytes, one per character, as long as nobody else has them. */
  body: string | undefined;
  lease: Lease | undefined;
  holdsQueueKey = false;
  /** Why it was cancelled; undefined while it was not. */
  cancelReason: string | undefined;
  /** When the broker took it over, or will have it in its queue again; in ms since the epoch. */
  since = 0;
  /** Its neighbours in line. */
  previous: KeyedJob | undefined;
  next: KeyedJob | undefined;

  constructor(
    readonly partition: PartitionState,
    readonly id: string,
    readonly queue: string,
    readonly queueKey: string | undefined,
    readonly executionKey: string | undefined,
    /** Its turn among the jobs of its execution key; it keeps it through retries. */
    readonly place: number,
  ) {}
}
