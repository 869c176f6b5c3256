// Something that a test waits for.

/** Collects what happens and lets a test await the n-th of it. */
export class Signals<T> {
  readonly seen: T[] = [];
  private readonly waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  add(one: T): void {
    this.seen.push(one);
    for (const { count, resolve } of this.waiters) if (this.seen.length >= count) resolve();
  }

  /** Resolves when so many have been seen. */
  async count(count: number): Promise<readonly T[]> {
    if (this.seen.length < count) {
      await new Promise<void>((resolve) => this.waiters.push({ count, resolve }));
    }
    return this.seen;
  }
}

/** A promise with its handles outside. */
export class Gate {
  open: () => void = () => undefined;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}
