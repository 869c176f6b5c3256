// Percentiles from buckets are as near as they are said to be.
import fc from 'fast-check';
import { bucketOf, middleOf, quantileOf } from './histogram';

test('what stands for a duration is no more than 5 % beside it, or half a ms', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 3.1e10, noNaN: true }), (ms) => {
      expect(Math.abs(middleOf(bucketOf(ms)) - ms)).toBeLessThanOrEqual(Math.max(0.5, ms * 0.05));
    }),
  );
});

test('a quantile is that of the durations themselves, to within 5 %', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 0.95, 0.99),
      (durations, quantile) => {
        const counts = new Map<number, number>();
        for (const ms of durations) counts.set(bucketOf(ms), (counts.get(bucketOf(ms)) ?? 0) + 1);
        const sorted = [...durations].sort((one, other) => one - other);
        const exact = sorted[Math.max(1, Math.ceil(quantile * sorted.length)) - 1] ?? 0;
        expect(Math.abs((quantileOf(counts, quantile) ?? -1) - exact)).toBeLessThanOrEqual(
          Math.max(0.5, exact * 0.05),
        );
      },
    ),
  );
});

test('where nothing was counted there is no quantile, and odd durations count as none', () => {
  expect(quantileOf(new Map(), 0.5)).toBeUndefined();
  expect([bucketOf(Number.NaN), bucketOf(-5)]).toEqual([0, 0]);
});
