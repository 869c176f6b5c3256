// Durations in buckets that grow by a tenth each, so that a percentile is known to within five percent.

const GROWTH = 1.1;
const LOG_GROWTH = Math.log(GROWTH);
/** Beyond a year nothing is told apart. */
const MAX_BUCKET = 260;

/** The bucket of a duration in ms: 0 is below one ms, n from 1.1^(n-1) to 1.1^n ms. */
export function bucketOf(durationMs: number): number {
  if (!(durationMs >= 1)) return 0;
  return Math.min(MAX_BUCKET, Math.floor(Math.log(durationMs) / LOG_GROWTH) + 1);
}

/** What stands for the durations of a bucket, in ms: no more than 5 % beside any of them, or half a ms. */
export function middleOf(bucket: number): number {
  return bucket === 0 ? 0.5 : GROWTH ** (bucket - 0.5);
}

/** A quantile (0 to 1) of counted buckets, in ms; undefined where nothing was counted. */
export function quantileOf(counts: ReadonlyMap<number, number>, quantile: number): number | undefined {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let left = Math.max(1, Math.ceil(quantile * total));
  for (const [bucket, count] of [...counts].sort(([one], [other]) => one - other)) {
    left -= count;
    if (left <= 0) return middleOf(bucket);
  }
  return undefined;
}
