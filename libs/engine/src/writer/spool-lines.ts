// The forms of a spool's lines, told apart by their first character: an event's rows, an end that is not settled, a purge. Pure.
import type { QueueAddress } from 'nestjs-roger';
import type { SpooledRows } from './spooled-rows';
import { readSpooledLine, spooledLine } from './spooled-rows';

/** All that waits in this queue and was queued up to then has been removed. */
export interface Purge {
  readonly address: QueueAddress;
  /** In ms since the epoch. */
  readonly at: number;
}

export type SpoolLine =
  | { readonly kind: 'rows' | 'unsettled'; readonly rows: SpooledRows }
  | { readonly kind: 'purge'; readonly purge: Purge };

// A version that doesn't know them skips them.
const UNSETTLED = '?';
const PURGE = '!';

export function unsettledLine(rows: SpooledRows): string {
  return `${UNSETTLED}${spooledLine(rows)}`;
}

export function purgeLine({ address: { partition, queue }, at }: Purge): string {
  return `${PURGE}${JSON.stringify([partition, queue, at])}`;
}

/** @returns undefined for what is none of these: a line that a kill has torn, or another version's. */
export function readLine(line: string): SpoolLine | undefined {
  if (line.startsWith(PURGE)) return readPurge(line.slice(PURGE.length));
  const isUnsettled = line.startsWith(UNSETTLED);
  const rows = readSpooledLine(isUnsettled ? line.slice(UNSETTLED.length) : line);
  return rows === undefined ? undefined : { kind: isUnsettled ? 'unsettled' : 'rows', rows };
}

function readPurge(text: string): SpoolLine | undefined {
  try {
    const [partition, queue, at] = JSON.parse(text) as readonly unknown[];
    if (typeof partition !== 'string' || typeof queue !== 'string' || typeof at !== 'number')
      return undefined;
    return { kind: 'purge', purge: { address: { partition, queue }, at } };
  } catch {
    return undefined;
  }
}
