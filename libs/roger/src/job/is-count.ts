// Tells counts from everything else that JSON may hold.

/** A whole number of 0 or more that a double holds exactly. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
