// Chance that is the same again for the same seed, so that a run can be repeated.

export class SeededChance {
  constructor(private state: number) {}

  /** A whole number from 0 up to the limit, without it. */
  below(limit: number): number {
    // mulberry32
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  /** @throws RangeError when there is none */
  one<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('One of nothing');
    return items[this.below(items.length)] as T;
  }
}
