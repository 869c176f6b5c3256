// What an outside observer saw of the jobs, on all nodes together, and the waits for it.
import { Gate } from './signal';
import { PATIENCE_MS, within } from './within';
import type { Sighting } from './work';
import { Witness } from './work';

export class Sightings {
  readonly all: Sighting[] = [];
  private readonly gate = new Gate();
  private readonly checks = new Set<() => void>();

  add(sighting: Sighting): void {
    this.all.push(sighting);
    for (const check of this.checks) check();
  }

  /** The provider that reports the jobs of a node of this process. */
  of(node: string): { readonly provide: typeof Witness; readonly useValue: Witness } {
    const see = (sighting: Sighting): void => {
      this.add(sighting);
    };
    return { provide: Witness, useValue: { node, see, released: this.gate.opened } };
  }

  /** Lets the jobs end that are held, on all nodes of this process, and those that come. */
  release(): void {
    this.gate.open();
  }

  /** The ids of the jobs of which this was seen, as often as it was seen. */
  ids(what: Sighting['what'], node?: string): string[] {
    return this.all
      .filter((sighting) => sighting.what === what && (node === undefined || sighting.node === node))
      .map(({ id }) => id);
  }

  /** Those of the ids that were seen more than once. */
  repeated(what: Sighting['what']): string[] {
    const counts = new Map<string, number>();
    for (const id of this.ids(what)) counts.set(id, (counts.get(id) ?? 0) + 1);
    return [...counts].filter(([, count]) => count > 1).map(([id]) => id);
  }

  /** How many jobs ran at once on a node at most. */
  peak(node: string): number {
    let running = 0;
    let peak = 0;
    for (const { what, node: seenAt } of this.all) {
      if (seenAt !== node) continue;
      if (what === 'began') peak = Math.max(peak, ++running);
      if (what === 'ended' || what === 'failed' || what === 'aborted') running--;
    }
    return peak;
  }

  /** Resolves when this was seen of the job so many times, to the last of these sightings. */
  seenOf(id: string, what: Sighting['what'], times = 1): Promise<Sighting> {
    return this.until(
      `job ${id} to be ${what} ${times} times`,
      () => this.all.filter((sighting) => sighting.id === id && sighting.what === what)[times - 1],
      undefined,
      () => JSON.stringify(this.all.filter((sighting) => sighting.id === id)),
    );
  }

  /** What was seen of the job, on all nodes, in the order in which it happened. */
  whatOf(id: string): Sighting['what'][] {
    return this.inOrder()
      .filter((sighting) => sighting.id === id)
      .map(({ what }) => what);
  }

  /** Everything in the order in which it happened: what two processes tell may arrive otherwise. */
  inOrder(): Sighting[] {
    return [...this.all].sort((a, b) => a.at - b.at);
  }

  /** How many of these jobs ran at once, on all nodes together, at most. */
  peakOf(isMeant: (id: string) => boolean): number {
    let running = 0;
    let peak = 0;
    for (const { what, id } of this.inOrder()) {
      if (!isMeant(id)) continue;
      if (what === 'began') peak = Math.max(peak, ++running);
      if (what === 'ended' || what === 'failed' || what === 'aborted') running--;
    }
    return peak;
  }

  /** Resolves when this was seen so many times, to these sightings. */
  seen(what: Sighting['what'], count: number, node?: string): Promise<readonly Sighting[]> {
    const matching = (): Sighting[] =>
      this.all.filter((sighting) => sighting.what === what && (node === undefined || sighting.node === node));
    return this.until(`${count} jobs ${what}${node === undefined ? '' : ` on ${node}`}`, () => {
      const found = matching();
      return found.length >= count ? found : undefined;
    });
  }

  /** Resolves when all of these have ended, wherever. */
  async ended(ids: Iterable<string>, limitMs?: number): Promise<void> {
    const missing = new Set(ids);
    const total = missing.size;
    let looked = 0;
    await this.until(
      `${total} jobs to end`,
      () => {
        for (; looked < this.all.length; looked++) {
          const sighting = this.all[looked];
          if (sighting?.what === 'ended') missing.delete(sighting.id);
        }
        return missing.size === 0 || undefined;
      },
      limitMs,
      () => `${missing.size} have not: ${[...missing].slice(0, 5).join(', ')}`,
    );
  }

  private until<T>(
    what: string,
    probe: () => T | undefined,
    limitMs = PATIENCE_MS,
    standing = () => `seen: ${this.all.length} sightings`,
  ): Promise<T> {
    let check: () => void = () => undefined;
    const found = new Promise<T>((resolve) => {
      check = () => {
        const value = probe();
        if (value !== undefined) resolve(value);
      };
      this.checks.add(check);
      check();
    });
    return within(what, found, standing, limitMs).finally(() => this.checks.delete(check));
  }
}
