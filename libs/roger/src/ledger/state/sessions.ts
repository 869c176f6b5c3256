// Remembers what was answered, until the asker is known to have the answer: what is asked twice is done once.
import type { Reply } from '../operation';

interface Session {
  /** Every operation below has been answered, and the answer received. */
  low: number;
  /** Every operation up to it has been answered: they are taken in the order of their numbers. */
  upTo: number;
  readonly replies: Map<number, Reply>;
  /** When it was last heard of, in ms since the epoch. */
  at: number;
}

/** What was remembered of an operation: that it was answered and the answer received, or the answer itself. */
export type Recalled = 'over' | Reply | undefined;

export class Sessions {
  private readonly sessions = new Map<string, Session>();

  /** To be said of each request: its sender has all answers below `low`. */
  open(id: string, low: number, at: number): void {
    const session = this.sessions.get(id);
    if (session === undefined) {
      this.sessions.set(id, { low, upTo: low - 1, replies: new Map(), at });
      return;
    }
    session.at = at;
    if (low <= session.low) return;
    session.low = low;
    session.upTo = Math.max(session.upTo, low - 1);
    for (const number of session.replies.keys()) {
      // They are in order.
      if (number < low) session.replies.delete(number);
      else break;
    }
  }

  recall(id: string, number: number): Recalled {
    const session = this.sessions.get(id);
    if (session === undefined) return undefined;
    return number < session.low ? 'over' : session.replies.get(number);
  }

  /** Whether everything before it has been answered. What came too early is asked again behind what was lost. */
  isInOrder(id: string, number: number): boolean {
    const session = this.sessions.get(id);
    return session !== undefined && number <= session.upTo + 1;
  }

  /** Whether something behind it has been answered. */
  isPassed(id: string, number: number): boolean {
    const session = this.sessions.get(id);
    return session !== undefined && number < session.upTo;
  }

  /** @param reply undefined: it is not remembered, and answered anew when it is asked again */
  answered(id: string, number: number, reply: Reply | undefined): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    session.upTo = Math.max(session.upTo, number);
    if (reply !== undefined) session.replies.set(number, reply);
  }

  forgetSilentSince(at: number): void {
    for (const [id, session] of this.sessions) if (session.at < at) this.sessions.delete(id);
  }

  /** For a snapshot. */
  dump(): SessionsDump {
    return [...this.sessions].map(([id, { low, upTo, replies, at }]) => [id, low, upTo, at, [...replies]]);
  }

  load(dump: SessionsDump): void {
    this.sessions.clear();
    for (const [id, low, upTo, at, replies] of dump) {
      this.sessions.set(id, { low, upTo, at, replies: new Map(replies) });
    }
  }
}

export type SessionsDump = readonly (readonly [
  id: string,
  low: number,
  upTo: number,
  at: number,
  replies: readonly (readonly [number, Reply])[],
])[];
