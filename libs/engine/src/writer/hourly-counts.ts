// Counts runs by hour, name and result, and how long they ran and waited; cheaply, for it is done with every run.
import { bucketOf } from '../records/histogram';
import type { RunResult } from '../records/rows';

/** How often something was counted in one hour for jobs of one name. */
export interface Counted {
  /** In hours since the epoch. */
  readonly hour: number;
  readonly name: string;
  /** `run` and `wait`: durations by bucket; else how many runs had this result. */
  readonly measure: string;
  readonly bucket: number;
  readonly count: number;
}

const HOUR_MS = 3_600_000;

/** In hours since the epoch. */
export function hourOf(atMs: number): number {
  return Math.floor(atMs / HOUR_MS);
}

/** Of jobs of one name in one hour. */
class Hour {
  readonly results = new Map<RunResult, number>();
  readonly runs = new Map<number, number>();
  readonly waits = new Map<number, number>();

  constructor(
    readonly hour: number,
    readonly name: string,
  ) {}

  *counted(): Generator<Counted> {
    const { hour, name } = this;
    for (const [measure, count] of this.results) yield { hour, name, measure, bucket: 0, count };
    for (const [bucket, count] of this.runs) yield { hour, name, measure: 'run', bucket, count };
    for (const [bucket, count] of this.waits) yield { hour, name, measure: 'wait', bucket, count };
  }
}

export class HourlyCounts {
  /** The latest of each name. */
  private readonly latest = new Map<string, Hour>();
  private readonly earlier: Hour[] = [];

  get isEmpty(): boolean {
    return this.latest.size === 0;
  }

  /** @param waitMs undefined: not known */
  add(name: string, endedAt: number, result: RunResult, runMs: number, waitMs: number | undefined): void {
    const at = hourOf(endedAt);
    let hour = this.latest.get(name);
    if (hour?.hour !== at) {
      if (hour !== undefined) this.earlier.push(hour);
      hour = new Hour(at, name);
      this.latest.set(name, hour);
    }
    addOne(hour.results, result);
    addOne(hour.runs, bucketOf(runMs));
    if (waitMs !== undefined) addOne(hour.waits, bucketOf(waitMs));
  }

  /** All, and begins anew. No two are of the same hour, name, measure and bucket. */
  take(): Counted[] {
    const sums = new Map<string, Counted>();
    for (const hour of [...this.earlier, ...this.latest.values()]) {
      for (const one of hour.counted()) {
        const key = `${one.hour} ${one.measure} ${one.bucket} ${one.name}`;
        sums.set(key, { ...one, count: one.count + (sums.get(key)?.count ?? 0) });
      }
    }
    this.latest.clear();
    this.earlier.length = 0;
    return [...sums.values()];
  }
}

function addOne<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
