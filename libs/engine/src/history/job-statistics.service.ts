// Throughput, times and failures of jobs by hour, from what was counted with every batch.
import type { EngineStore } from '../store/engine-store';
import { quantileOf } from '../records/histogram';
import { plainText } from '../records/plain-text';
import type { RunResult } from '../records/rows';
import { RUN_RESULTS } from '../records/rows';
import { hourOf } from '../writer/hourly-counts';
import { timeOf } from './run-history.service';

/** How long something took, in ms; each to within 5 % (or half a ms). */
export interface Durations {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What the jobs of one name did in one hour. */
export interface HourlyStatistics {
  readonly name: string;
  /** When the hour begins (UTC). */
  readonly hour: Date;
  /** Runs that ended. */
  readonly runs: number;
  /** How many ended with each result; those with none are left out. */
  readonly results: Partial<Record<RunResult, number>>;
  /** Failed, timed out and crashed ones in all that ended with an outcome of their own (not handed back, lost or snoozed); 0 to 1. */
  readonly failureRate: number;
  /** Runs per second, over the hour, or what has passed of it. */
  readonly throughput: number;
  /** How long runs took. Undefined where none ended. */
  readonly runTime: Durations | undefined;
  /** How long jobs were due before their first run, by the clocks of producer and worker. Undefined where there was no first run. */
  readonly waitTime: Durations | undefined;
}

/** Which hours, of which jobs. */
export interface StatisticsFilter {
  readonly name?: string | undefined;
  /** The hour that this is in, and later ones. @default 24 hours ago */
  readonly from?: Date | undefined;
  /** Hours that begin before. @default now */
  readonly to?: Date | undefined;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * What jobs did, hour by hour, over all nodes and partitions. Counted as runs end, so it outlives the rows of the runs. What
 * `JobEngine.fail` and `complete` have made of a run counts as they say; where they did not wait for its end (`told to
 * end`), it counts as its node says once it is over. Runs that are marked as lost are not among it: their node may yet tell
 * how they ended, and counts them then.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common';
 * import { JobStatistics } from 'nestjs-roger-engine';
 *
 * \@Injectable()
 * export class Slowest {
 *   constructor(private readonly statistics: JobStatistics) {}
 *
 *   async today(): Promise<string[]> {
 *     const hours = await this.statistics.byHour();
 *     return hours.filter(({ runTime }) => (runTime?.p95 ?? 0) > 10_000).map(({ name }) => name);
 *   }
 * }
 * ```
 */
export class JobStatistics {
  /** @internal */
  constructor(private readonly store: EngineStore) {}

  /** By hour, the latest first, then by name. @throws InvalidArgumentError, and the database's error where that is away */
  async byHour(filter: StatisticsFilter = {}): Promise<HourlyStatistics[]> {
    const now = Date.now();
    const from = filter.from === undefined ? now - DAY_MS : timeOf('from', filter.from);
    const to = filter.to === undefined ? now : timeOf('to', filter.to);
    let query = this.store.reading
      .selectFrom('roger_counts')
      .selectAll()
      .where('hour', '>=', hourOf(from))
      .where('hour', '<', Math.ceil(to / HOUR_MS));
    if (filter.name !== undefined) query = query.where('name', '=', plainText(filter.name));
    const rows = await query.orderBy('hour', 'desc').orderBy('name').execute();
    const hours = new Map<string, { hour: number; name: string; counts: Map<string, Map<number, number>> }>();
    for (const row of rows) {
      const hour = Number(row.hour);
      const key = `${hour} ${row.name}`;
      const known = hours.get(key) ?? {
        hour,
        name: row.name,
        counts: new Map<string, Map<number, number>>(),
      };
      hours.set(key, known);
      const buckets = known.counts.get(row.measure) ?? new Map<number, number>();
      known.counts.set(row.measure, buckets);
      buckets.set(Number(row.bucket), Number(row.count));
    }
    return [...hours.values()].map(({ hour, name, counts }) => statisticsOf(hour, name, counts, now));
  }
}

function statisticsOf(
  hour: number,
  name: string,
  counts: ReadonlyMap<string, ReadonlyMap<number, number>>,
  now: number,
): HourlyStatistics {
  const results: Partial<Record<RunResult, number>> = {};
  for (const result of RUN_RESULTS) {
    const count = counts.get(result)?.get(0) ?? 0;
    if (count > 0) results[result] = count;
  }
  const sumOf = (...which: readonly RunResult[]): number =>
    which.reduce((sum, result) => sum + (results[result] ?? 0), 0);
  const runs = sumOf(...RUN_RESULTS);
  const failed = sumOf('failed', 'timedOut', 'crashed');
  const decided = failed + sumOf('done', 'discarded');
  const seconds = Math.min(HOUR_MS, Math.max(1_000, now - hour * HOUR_MS)) / 1_000;
  return {
    name,
    hour: new Date(hour * HOUR_MS),
    runs,
    results,
    failureRate: decided === 0 ? 0 : failed / decided,
    throughput: runs / seconds,
    runTime: durationsOf(counts.get('run')),
    waitTime: durationsOf(counts.get('wait')),
  };
}

function durationsOf(buckets: ReadonlyMap<number, number> = new Map()): Durations | undefined {
  const p50 = quantileOf(buckets, 0.5);
  const p95 = quantileOf(buckets, 0.95);
  const p99 = quantileOf(buckets, 0.99);
  return p50 === undefined || p95 === undefined || p99 === undefined ? undefined : { p50, p95, p99 };
}
