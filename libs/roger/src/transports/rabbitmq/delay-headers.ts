// The headers that tell each delay level whether it is a message's.
import { hasLevel, longestLevelOf } from '../../job/delays';
import { levelHeader } from './broker-names';

/** An app that says `delayMs` has few different delays; one that says `runAt` can have one for each second of a year. */
const MAX_KEPT = 1_000;

/**
 * Keeps what it has made: amqplib makes the headers of a message a prototype, which costs V8 more than the whole rest of
 * the publish when the object is a new one.
 */
export class DelayHeaders {
  private readonly kept = new Map<number, Readonly<Record<string, boolean>>>();

  /** From the longest level of the delay on. */
  of(seconds: number): Readonly<Record<string, boolean>> {
    const kept = this.kept.get(seconds);
    if (kept !== undefined) return kept;
    if (this.kept.size === MAX_KEPT) this.kept.clear();
    const headers = headersOf(seconds);
    this.kept.set(seconds, headers);
    return headers;
  }
}

function headersOf(seconds: number): Readonly<Record<string, boolean>> {
  const headers: Record<string, boolean> = {};
  for (let level = longestLevelOf(seconds); level >= 0; level--) {
    headers[levelHeader(level)] = hasLevel(seconds, level);
  }
  return headers;
}
