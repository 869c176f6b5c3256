// Remembers what was answered, until the asker is known to have the answer: what is asked twice is done once.
import type { Reply } from '../operation';

interface Session {
  /** Every operation below has been answered, and the answer received. */
  low: number;
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
      this.sessions.set(id, { low, replies: new Map(), at });
      return;
    }
    session.at = at;
    if (low <= session.low) return;
    session.low = low;
    for (const number of session.replies.keys()) {
      // They come in order, but for what was sent again.
      if (number < low) session.replies.delete(number);
      else break;
    }
  }

  recall(id: string, number: number): Recalled {
    const session = this.sessions.get(id);
    if (session === undefined) return undefined;
    return number < session.low ? 'over' : session.replies.get(number);
  }

  remember(id: string, number: number, reply: Reply): void {
    this.sessions.get(id)?.replies.set(number, reply);
  }

  forgetSilentSince(at: number): void {
    for (const [id, session] of this.sessions) if (session.at < at) this.sessions.delete(id);
  }

  /** For a snapshot. */
  dump(): SessionsDump {
    return [...this.sessions].map(([id, { low, replies, at }]) => [id, low, at, [...replies]]);
  }

  load(dump: SessionsDump): void {
    this.sessions.clear();
    for (const [id, low, at, replies] of dump) this.sessions.set(id, { low, at, replies: new Map(replies) });
  }
}

export type SessionsDump = readonly (readonly [
  id: string,
  low: number,
  at: number,
  replies: readonly (readonly [number, Reply])[],
])[];
