// Knows which nodes serve partitions, by what they say of themselves.
import { performance } from 'node:perf_hooks';

/** How often a node says that it is there. */
export const HERE_MS = 5_000;
/** Who has not been heard of for so long is gone. */
const GONE_MS = 2.5 * HERE_MS;
/** How long after asking who is there all answers are there. */
const ROLL_CALL_MS = 300;

export class ServingNodes {
  private readonly lastHeard = new Map<string, number>();
  private askedAt: number | undefined;

  /** The roll is called: everybody answers. */
  calledRoll(): void {
    this.askedAt = performance.now();
  }

  /** Nothing has been heard for a while. */
  wasDeaf(): void {
    this.askedAt = undefined;
  }

  heardOf(node: string): void {
    this.lastHeard.set(node, performance.now());
  }

  left(node: string): void {
    this.lastHeard.delete(node);
  }

  present(): string[] {
    const since = performance.now() - GONE_MS;
    for (const [node, at] of this.lastHeard) if (at < since) this.lastHeard.delete(node);
    return [...this.lastHeard.keys()];
  }

  /** A node of which nothing is known yet, for the roll was not called, counts as present. */
  isPresent(node: string): boolean {
    return this.incompleteForMs > 0 || this.present().includes(node);
  }

  /** How long until {@link present} is complete; 0: it is. */
  get incompleteForMs(): number {
    if (this.askedAt === undefined) return ROLL_CALL_MS;
    return Math.max(0, this.askedAt + ROLL_CALL_MS - performance.now());
  }
}
