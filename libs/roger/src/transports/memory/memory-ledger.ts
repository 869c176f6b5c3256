// One ledger in memory: its log, the line of those who can keep it, and the requests to whoever does.
// Of node:timers, so that records still come in a test that fakes the global timers.
import { setImmediate } from 'node:timers';
import Denque from 'denque';
import type { LedgerMember } from '../../ledger-transport';

/** A member's place in the line. A member that joins again has another one. */
export interface LedgerPlace {
  readonly nodeId: string;
  readonly member: LedgerMember;
}

/** A request that waits for somebody to take it. */
interface WaitingRequest {
  readonly body: Buffer;
  readonly sentAt: number;
}

/** From the choice of a member until its place is left: what it was given of the ledger. */
interface Term {
  readonly place: LedgerPlace;
  /** How many of the untrimmed records it has. */
  given: number;
  takesRequests: boolean;
  /** The requests it has and has not answered, in the order in which they came. */
  readonly unacked: Set<Buffer>;
}

/** A request that nobody has taken for so long has been given up by who asked. */
const REQUEST_TTL_MS = 30_000;
/** How many records and requests are given before other work of the process gets its turn. */
const PER_ROUND = 1000;

/** The first in the line is the chosen one, until its place is left. */
export class MemoryLedger {
  private readonly log = new Denque<Buffer>();
  private readonly line = new Set<LedgerPlace>();
  private readonly requests = new Denque<WaitingRequest>();
  private term: Term | undefined;
  private roundIsDue = false;

  /** The place is the last in the line, and the log says so. */
  join(place: LedgerPlace): void {
    this.line.add(place);
    this.append(Buffer.from(`JOIN${place.nodeId}`));
    this.choose();
  }

  /** Voids what was given to the place. What it was asked and has not answered is given to the next. */
  leave(place: LedgerPlace): void {
    this.line.delete(place);
    const term = this.termOf(place);
    if (term === undefined) return;
    const sentAt = performance.now();
    for (const body of [...term.unacked].reverse()) this.requests.unshift({ body, sentAt });
    this.term = undefined;
    this.choose();
  }

  append(bytes: Buffer): void {
    this.log.push(bytes);
    this.callRound();
  }

  request(body: Buffer): void {
    this.dropExpired();
    this.requests.push({ body, sentAt: performance.now() });
    this.callRound();
  }

  takeRequests(place: LedgerPlace): void {
    const term = this.termOf(place);
    if (term === undefined) return;
    term.takesRequests = true;
    this.callRound();
  }

  /** Forgets the oldest records, of those that the place was given. */
  trim(place: LedgerPlace, count: number): void {
    const term = this.termOf(place);
    if (term === undefined) return;
    const trimmed = Math.min(count, term.given);
    for (let n = 0; n < trimmed; n++) this.log.shift();
    term.given -= trimmed;
  }

  private termOf(place: LedgerPlace): Term | undefined {
    return this.term?.place === place ? this.term : undefined;
  }

  private choose(): void {
    const [place] = this.line;
    if (this.term !== undefined || place === undefined) return;
    this.term = { place, given: 0, takesRequests: false, unacked: new Set() };
    // The first record tells a member that it is the one, so there must be one.
    if (this.log.isEmpty()) this.append(Buffer.from(`JOIN${place.nodeId}`));
    this.callRound();
  }

  /** Records and requests are given in rounds, so that nobody is given one inside a call of their own. */
  private callRound(): void {
    if (this.roundIsDue || !this.hasMore) return;
    this.roundIsDue = true;
    setImmediate(() => {
      this.round();
    });
  }

  private get hasMore(): boolean {
    if (this.term === undefined) return false;
    const { given, takesRequests } = this.term;
    return given < this.log.length || (takesRequests && !this.requests.isEmpty());
  }

  private round(): void {
    try {
      for (let turns = 0; turns < PER_ROUND && this.giveNext(); turns++);
    } finally {
      this.roundIsDue = false;
      this.callRound();
    }
  }

  /** Gives the chosen one the next record or, when it has all of them, the next request; false when there is nothing. */
  private giveNext(): boolean {
    const { term } = this;
    if (term === undefined) return false;
    const record = this.log.peekAt(term.given);
    if (record !== undefined) {
      term.given++;
      term.place.member.onRecord(record);
      return true;
    }
    if (!term.takesRequests) return false;
    this.dropExpired();
    const request = this.requests.shift();
    if (request === undefined) return false;
    this.ask(term, request.body);
    return true;
  }

  private ask(term: Term, bytes: Buffer): void {
    // Of its own, for the same bytes may be sent twice.
    const body = Buffer.from(bytes);
    term.unacked.add(body);
    term.place.member.onRequest({
      body,
      ack: () => {
        term.unacked.delete(body);
      },
    });
  }

  private dropExpired(): void {
    const oldest = performance.now() - REQUEST_TTL_MS;
    while ((this.requests.peekFront()?.sentAt ?? oldest) < oldest) this.requests.shift();
  }
}
