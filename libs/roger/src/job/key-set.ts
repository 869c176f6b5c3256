// A set of keys that can be written down and read back.

/**
 * A set of keys, as the seeds of Roger have it: for an app that keeps count of keys of its own (which mailboxes are
 * synced, which tenants are served) and stores them between runs.
 *
 * @example
 * ```ts
 * import { KeySet } from 'nestjs-roger';
 *
 * const synced = new KeySet(['a', 'b']);
 * synced.add('c');
 * const known = KeySet.fromState(JSON.parse('["b","d"]'));
 * console.log(synced.difference(known).state()); // ['a', 'c']
 * ```
 */
export class KeySet implements Iterable<string> {
  private readonly keys: Set<string>;

  constructor(keys: Iterable<string> = []) {
    this.keys = new Set();
    this.addMany(keys);
  }

  /** The set that `state()` has written down. @throws TypeError when it is no list of texts */
  static fromState(state: unknown): KeySet {
    if (!Array.isArray(state)) throw new TypeError('The state of a KeySet is a list of texts');
    return new KeySet(state as string[]);
  }

  get size(): number {
    return this.keys.size;
  }

  has(key: string): boolean {
    return this.keys.has(key);
  }

  /** @returns whether it was not in yet. @throws TypeError when it is no text */
  add(key: string): boolean {
    if (typeof key !== 'string') throw new TypeError(`A key is a text, not ${typeof key}`);
    const { size } = this.keys;
    return this.keys.add(key).size > size;
  }

  /** @throws TypeError when one is no text; those before it are in then */
  addMany(keys: Iterable<string>): void {
    for (const key of keys) this.add(key);
  }

  /** @returns whether it was in. */
  delete(key: string): boolean {
    return this.keys.delete(key);
  }

  /** A new set with the keys of both. */
  union(other: Iterable<string>): KeySet {
    const both = new KeySet(this.keys);
    both.addMany(other);
    return both;
  }

  /** A new set with the keys of this one that the other has not. */
  difference(other: Iterable<string>): KeySet {
    const rest = new KeySet(this.keys);
    for (const key of other) rest.delete(key);
    return rest;
  }

  /** All keys, for JSON. */
  state(): string[] {
    return [...this.keys];
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.keys.values();
  }
}
