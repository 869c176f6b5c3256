// Pages of rows that are sorted by a time and an id: the next one begins behind the last row of this.
import { InvalidArgumentError } from 'nestjs-roger';
import { plainText } from '../records/plain-text';

/** Part of what was found. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Give it as `after` to get the next page. Undefined: there is none. */
  readonly next?: string | undefined;
}

/** Which part of what is found. */
export interface PageOptions {
  /** 1 to 1000. @default 50 */
  readonly limit?: number | undefined;
  /** The `next` of the page before. @default none (the first page) */
  readonly after?: string | undefined;
}

/** Where a page ends. */
export interface Place {
  readonly at: number;
  readonly id: string;
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1_000;

/** @throws InvalidArgumentError */
export function limitOf({ limit = DEFAULT_LIMIT }: PageOptions): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new InvalidArgumentError('limit', `must be a whole number from 1 to ${MAX_LIMIT}`);
}

/** @throws InvalidArgumentError */
export function placeOf({ after }: PageOptions): Place | undefined {
  if (after === undefined) return undefined;
  try {
    const [at, id, ...more] = JSON.parse(Buffer.from(after, 'base64url').toString()) as unknown[];
    if (Number.isSafeInteger(at) && typeof id === 'string' && more.length === 0)
      return { at: at as number, id: plainText(id) };
  } catch {
    // It is refused below.
  }
  throw new InvalidArgumentError('after', 'must be the `next` of another page');
}

/** @param rows one more than asked for, where there are so many */
export function pageOf<Row, T>(
  rows: readonly Row[],
  limit: number,
  read: (row: Row) => T,
  place: (row: Row) => Place,
): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  if (rows.length <= limit || last === undefined) return { items: items.map(read) };
  const { at, id } = place(last);
  return { items: items.map(read), next: Buffer.from(JSON.stringify([at, id])).toString('base64url') };
}
