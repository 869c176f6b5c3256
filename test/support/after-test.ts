// What a test leaves behind is ended after it, be it one of several that run at the same time.
import { AsyncLocalStorage } from 'node:async_hooks';

type End = () => Promise<unknown>;

/** What one test has begun. */
class Leftovers {
  private readonly apps: End[] = [];
  private readonly processes: End[] = [];

  add(kind: 'app' | 'process', end: End): void {
    (kind === 'app' ? this.apps : this.processes).push(end);
  }

  /** The apps first: those of other processes may be needed for their farewells. */
  async end(): Promise<void> {
    for (const ends of [this.apps, this.processes]) await Promise.all(ends.splice(0).map((end) => end()));
  }
}

const ofTestsAtOnce = new AsyncLocalStorage<Leftovers>();
let ofOneTest = new Leftovers();

afterEach(async () => {
  await ofOneTest.end();
  ofOneTest = new Leftovers();
});

/** What stands for the test that calls it, or that began what calls it. */
export function runningTest(): object {
  return ofTestsAtOnce.getStore() ?? ofOneTest;
}

/** Has this done at the end of the test that calls it. */
export function afterTest(kind: 'app' | 'process', end: End): void {
  (ofTestsAtOnce.getStore() ?? ofOneTest).add(kind, end);
}

/** Runs a test beside others, and ends what it leaves behind. */
export async function besideOthers(run: () => Promise<void>): Promise<void> {
  const leftovers = new Leftovers();
  try {
    await ofTestsAtOnce.run(leftovers, run);
  } finally {
    await leftovers.end();
  }
}
