// What a job is: one unit of work, as it stands on the wire.

/**
 * One unit of work. Immutable: a retry is another `Job` with the same `id` and a higher `attempt`.
 *
 * Words: a *partition* is a tenant, it owns *queues*; a job belongs to one queue of one partition and is run by the
 * handler registered under its `name`.
 */
export interface Job<Args = unknown> {
  /** Unique; also the AMQP message id. Given by you, or a UUID by time (version 7). */
  readonly id: string;
  /** The name of the job definition that runs it. */
  readonly name: string;
  readonly partition: string;
  readonly queue: string;
  readonly args: Args;
  /** Which attempt this is: 1 at first, one more with every retry. */
  readonly attempt: number;
  /** When it was enqueued, in ms since the epoch, by the producer's clock. */
  readonly queuedAt: number;
  /** When it is due, in ms since the epoch. Absent: it was due at once. */
  readonly runAt?: number;
  /** 1 to 9: it goes before those of its queue with a lower one. Absent: 0. */
  readonly priority?: number;
  /** It is to run before all others of its queue, at its first sending. Absent: it is not. */
  readonly runNow?: true;
  /** Seconds that an attempt may run. Absent: as its definition says. */
  readonly maxExecutionTimeSeconds?: number;
  /** How often it is tried again at most. Absent: as its definition says. */
  readonly maxRetries?: number;
  /** At most one job of its partition with this key exists at a time. Absent: it has none. */
  readonly queueKey?: string;
  /** Jobs of its partition with this key run one after the other, in the order of their enqueueing. Absent: it has none. */
  readonly executionKey?: string;
  /** Set by the ledger of the partition when it sends a job (one with a key, or of a tick) to its queue: the state and number that it belongs to. */
  readonly ledger?: { readonly state: string; readonly dispatch: number };
  /** Who waits for its outcome: a node, and the token that it knows the job by. Absent: nobody. */
  readonly replyTo?: ReplyTo;
  /** How often nodes that don't know its name have handed it on. Absent: never. */
  readonly handedOn?: number;
}

/** Where the outcome of an awaited job goes. Of a job that was received it is untrusted. */
export interface ReplyTo {
  readonly node: string;
  readonly token: string;
}
