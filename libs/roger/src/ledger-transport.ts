// The second port: what a ledger needs of a broker, in Roger's words. Adapters live in transports/.
import type { BuriedReason, QueueLane } from './transport';
import type { QueueAddress } from './job/names';

/**
 * Carries the records, requests and replies of ledgers, and the news between nodes. A process that never uses a key and
 * serves no partition opens none of it.
 */
export interface LedgerTransport {
  /** This process among the others: letters, digits, `-`, unique for ever. */
  readonly nodeId: string;

  /**
   * Begins to take mail: what is sent to this node, and what is announced to all. Goes on, by itself, through lost
   * connections. Called once, before anything else here.
   */
  receive(mailbox: Mailbox): void;

  /** Whether the mail comes: what is announced from now on is heard. */
  readonly isReceiving: boolean;

  /** Sends to one node. Resolves to false when the broker knows that the node is gone; a lost message is not told. */
  send(nodeId: string, bytes: Buffer): Promise<boolean>;

  /** Tells all nodes that take mail, this one too. A lost message is not told. */
  announce(bytes: Buffer): void;

  /**
   * Whether somebody has ever used this ledger.
   * @throws LedgerShardsMismatchError when ledgers are used, but of another number, NotConnectedError, BrokerRefusedError
   */
  exists(ledger: number): Promise<boolean>;

  /**
   * Puts this node among those that can keep the ledger, and makes the ledger if there is none. One member at a time,
   * chosen by the broker, is given the records and then the requests; see {@link LedgerMember}.
   */
  join(ledger: number, member: LedgerMember): LedgerMembership;

  /** Sends a request to whoever keeps the ledger. A lost one is not told: the reply is the confirmation. */
  request(ledger: number, bytes: Buffer): void;

  /**
   * Publishes a job on a ledger's behalf, once: resolves when it is confirmed and routed. Declares the queue when it is
   * missing.
   * @throws DispatchDoubtfulError when the job may or may not have arrived; any other error: it has not.
   */
  dispatch(job: DispatchedJob): Promise<void>;

  /**
   * Connects anew, to another node of the broker where there are several: what this one says of its cluster may be out of
   * date for good. Does nothing while there is no connection, or while the broker takes no publishes.
   */
  reconnect(detail: string): void;

  /** Leaves everything within the time. Never rejects. Safe to repeat. */
  closeLedgers(timeoutMs: number): Promise<void>;
}

/** Who takes a node's mail. None of its methods may throw. */
export interface Mailbox {
  /** Something for this node, or for all. Untrusted. */
  take(bytes: Buffer): void;
  /** The mail comes (again). Whatever was announced before has to be asked for. */
  up(): void;
  /** The mail does not come, and why: from now on nothing that is announced is heard. */
  down(reason: Error): void;
  /**
   * The broker has buried a job without a word to anybody: it was delivered too often. Acknowledge it when that has been
   * dealt with. One node of all is told.
   */
  buried(job: BrokerMessageToAck): void;
}

/** A message that stays the broker's until it is acknowledged. */
export interface BrokerMessageToAck {
  readonly body: Buffer;
  ack(): void;
}

/** A node's part in a ledger. None of its methods may throw. */
export interface LedgerMember {
  /**
   * The next record of the log, in the one order that all members see. The first one says that the broker has chosen
   * this node: it is given all records that have not been trimmed, from the oldest, and then each new one.
   *
   * A node that has been cut off learns late that it is no longer the one; its records still come to the chosen one.
   */
  onRecord(bytes: Buffer): void;
  /** A request, given to the chosen node only. Until it is answered (`ack`) it stays the broker's. */
  onRequest(request: BrokerMessageToAck): void;
  /** The broker is about to choose anew: everything given is void. The membership joins again by itself. */
  onLost(detail: string): void;
}

/** A node's place in a ledger. */
export interface LedgerMembership {
  /**
   * Puts a record behind all others. A lost one is not told: it counts when it comes back by `onRecord`.
   */
  append(bytes: Buffer): void;
  /** Takes requests from now on; before that none comes. To be said once per time that the node was chosen. */
  takeRequests(): void;
  /** Forgets the first so many of the records that came since the node was chosen and are not forgotten yet. */
  trim(count: number): void;
  /** Gives the choice back to the broker: void is all that was given, and it joins again as the last in line. */
  stepDown(detail: string): void;
  /** Leaves for good: the broker chooses another at once, and nothing is given or taken any more. */
  leave(): void;
  /** The broker takes no publishes at the moment, so that a record's absence says nothing. */
  readonly isBlocked: boolean;
}

/** Where a job goes that a ledger sends. */
export type DispatchRoute =
  /** To the end of its queue. */
  | { readonly kind: 'normal' }
  /** Before all that waits in the queue with its priority; with `isNow`, before everything. */
  | { readonly kind: 'express'; readonly isNow?: true }
  /** To its queue after some seconds. */
  | { readonly kind: 'retry'; readonly afterSeconds: number }
  /** The same for a job that is not due yet; see `afterSeconds` of an OutgoingJob. */
  | { readonly kind: 'delay'; readonly seconds: number }
  /** To the buried. */
  | { readonly kind: 'bury'; readonly reason: BuriedReason };

export interface DispatchedJob extends QueueAddress {
  readonly id: string;
  readonly body: Buffer;
  readonly route: DispatchRoute;
  /**
   * The lane that it goes by, or comes home to, by its priority. Left out: the normal one, or the express one where its
   * route says so.
   */
  readonly lane?: Exclude<QueueLane, 'normal' | 'express'> | undefined;
}

/** Whether a job that was to be dispatched has arrived is unknown: the connection was lost before the confirm. */
export class DispatchDoubtfulError extends Error {
  constructor(cause?: unknown) {
    super('it is unknown whether the job has arrived', { cause });
    this.name = 'DispatchDoubtfulError';
  }
}
