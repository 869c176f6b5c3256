// What has been opened, to be closed in reverse order however the demo ends.
export class Closers {
  private readonly closers: (() => Promise<void>)[] = [];

  /** Returns a function that closes it earlier; it is never closed twice. */
  add(close: () => Promise<void>): () => Promise<void> {
    let closing: Promise<void> | undefined;
    const once = (): Promise<void> => (closing ??= close());
    this.closers.unshift(once);
    return once;
  }

  /** Closes all that is open; one that fails doesn't keep the others from it, and fails the whole at the end. */
  async closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.closers) await close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}
