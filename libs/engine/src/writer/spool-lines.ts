// The forms of a spool's lines, told apart by their first character: an event, an end that is not settled, a sweep. Pure.
import type { HeldRelease, QueueAddress } from 'nestjs-roger';
import { rowsIn, textOf } from '../records/record-text';
import type { EventRows } from '../records/rows';

/** What has changed of all jobs that answer to it, up to a time in ms since the epoch. */
export type Sweep =
  | { readonly kind: 'purged'; readonly address: QueueAddress; readonly at: number }
  | { readonly kind: 'released'; readonly release: HeldRelease; readonly at: number };

export type SpoolLine =
  | { readonly kind: 'event' | 'unsettled'; readonly rows: EventRows }
  | { readonly kind: 'sweep'; readonly sweep: Sweep };

// A version that doesn't know them skips them.
const UNSETTLED = '?';
const SWEEP = '!';

export function unsettledLine(rows: EventRows): string {
  return `${UNSETTLED}${textOf(rows)}`;
}

export function sweepLine(sweep: Sweep): string {
  return `${SWEEP}${JSON.stringify(sweep)}`;
}

/** @returns undefined for what is none of these: a line that a kill has torn, or another version's. */
export function readLine(line: string): SpoolLine | undefined {
  if (line.startsWith(SWEEP)) return readSweep(line.slice(SWEEP.length));
  const isUnsettled = line.startsWith(UNSETTLED);
  const rows = rowsIn(isUnsettled ? line.slice(UNSETTLED.length) : line);
  return rows === undefined ? undefined : { kind: isUnsettled ? 'unsettled' : 'event', rows };
}

function readSweep(text: string): SpoolLine | undefined {
  try {
    const sweep = JSON.parse(text) as Sweep;
    return isSweep(sweep) ? { kind: 'sweep', sweep } : undefined;
  } catch {
    return undefined;
  }
}

/** Whatever a line holds. */
function isSweep(sweep: Sweep): boolean {
  if (!Number.isSafeInteger(sweep.at)) return false;
  // A later version may have more kinds.
  if (sweep.kind === 'purged') return areTexts(sweep.address.partition, sweep.address.queue);
  if ((sweep.kind as string) !== 'released') return false;
  const { release } = sweep;
  return areTexts(release.partition, 'why' in release ? release.why : release.jobId);
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === 'string');
}
