// Asks again and again how things stand, and shows it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Display } from './display';
import type { QuietLogger } from './quiet-logger';
import { standings, type Sources, type Standing } from './standing';

/** Jobs per second are those of about this time back. */
const RATE_WINDOW_MS = 1_000;

interface Sample {
  readonly atMs: number;
  readonly ended: ReadonlyMap<string, number>;
}

export class LiveReport {
  private readonly beganAtMs = performance.now();
  private readonly samples: Sample[] = [{ atMs: this.beganAtMs, ended: new Map() }];
  private readonly stopping = new AbortController();
  private looping: Promise<void> | undefined;

  constructor(
    private readonly sources: Sources,
    private readonly log: QuietLogger,
    private readonly display: Display,
  ) {}

  /** Resolves when the first frame stands; goes on until it is stopped. */
  async start(): Promise<void> {
    await this.draw();
    this.looping = this.loop(this.stopping.signal);
  }

  /** Shows the last frame and gives the output back. Safe to repeat. */
  async stop(): Promise<void> {
    if (this.stopping.signal.aborted) return;
    this.stopping.abort();
    await this.looping;
    await this.draw();
    this.display.end();
  }

  private async loop(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.display.periodMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      await this.draw();
    }
  }

  private async draw(): Promise<void> {
    const rows = await standings(this.sources);
    const rateOf = this.sample(rows);
    this.display.show({
      seconds: (performance.now() - this.beganAtMs) / 1_000,
      rows: rows.map((row) => ({ ...row, jobsPerSecond: rateOf(row) })),
      logCounts: this.log.counts,
      logLines: this.log.lastLines,
    });
  }

  /** Takes a sample; the answer tells how many jobs of a partition ended per second within the window. */
  private sample(rows: readonly Standing[]): (row: Standing) => number {
    const atMs = performance.now();
    this.samples.push({ atMs, ended: new Map(rows.map((row) => [row.partition, endedOf(row)])) });
    // The first that stays is the youngest that is a whole window old.
    while ((this.samples[1]?.atMs ?? atMs) <= atMs - RATE_WINDOW_MS) this.samples.shift();
    const [first] = this.samples;
    return (row) => {
      const endedSince = endedOf(row) - (first?.ended.get(row.partition) ?? 0);
      return Math.round((endedSince * 1_000) / (atMs - (first?.atMs ?? 0)));
    };
  }
}

function endedOf({ done, buried }: Standing): number {
  return done + buried;
}
