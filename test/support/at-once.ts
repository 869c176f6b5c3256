// Tests of a file that run at the same time: those that wait for the clock, each for itself, in a partition of its own.
/* eslint-disable jest/no-export, jest/expect-expect, jest/valid-title -- it declares the tests of others */
import { besideOthers } from './after-test';

type Run = () => Promise<void>;

/**
 * What declares the tests of a group, as `test` does. They begin when the first has its turn, so many at once, and each has
 * its own outcome, and its own log of what its apps say.
 */
export function testsAtOnce(atMost: number): (title: string, run: Run, limitMs?: number) => void {
  const runs: Run[] = [];
  let outcomes: readonly Promise<void>[] | undefined;
  return (title, run, limitMs) => {
    const place = runs.push(run) - 1;
    test(
      title,
      async () => {
        outcomes ??= beginAll(runs, atMost);
        await outcomes[place];
      },
      limitMs,
    );
  };
}

function beginAll(runs: readonly Run[], atMost: number): readonly Promise<void>[] {
  let free = atMost;
  const waiting: (() => void)[] = [];
  const turn = (): Promise<void> =>
    free-- > 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve));
  return runs.map((run) => {
    const outcome = turn()
      .then(() => besideOthers(run))
      .finally(() => {
        free++;
        waiting.shift()?.();
      });
    // A failure is that of its own test, which may look at it later.
    outcome.catch(() => undefined);
    return outcome;
  });
}
