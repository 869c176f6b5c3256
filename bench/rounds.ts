// Takes turns between contestants, so that whatever else the machine does hits them alike.

/** What one round measured: how long, and how much of the process's CPU time. */
export interface Span {
  readonly jobs: number;
  readonly ms: number;
  readonly cpuMs: number;
}

export type Contestant = () => Promise<Span>;

/** What a contestant did, round by round. */
export class Score {
  constructor(private readonly spans: readonly Span[]) {}

  get jobsPerSecond(): number {
    return median(this.spans.map(speedOf));
  }

  /** CPU time of this process for one job, in µs, whatever the broker and others on the machine take. */
  get cpuUsPerJob(): number {
    return median(this.spans.map(({ jobs, cpuMs }) => (cpuMs * 1_000) / jobs));
  }

  /** How quick it was in terms of another: the median over the rounds, each of which saw one state of the machine. */
  ratioTo(other: Score): number {
    return median(this.spans.map((span, round) => speedOf(span) / speedOf(other.spans[round] ?? span)));
  }
}

export interface Rounds {
  readonly rounds: number;
  readonly isQuick: boolean;
}

/** Each contestant runs once to warm up and then round by round, in the order given and in the reverse by turns. */
export async function compete<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  { rounds, isQuick }: Rounds,
): Promise<Record<Name, Score>> {
  const entries = Object.entries<Contestant>(contestants);
  const spans = new Map(entries.map(([name]) => [name, [] as Span[]]));
  const last = isQuick ? 1 : rounds;
  for (let round = isQuick ? 1 : 0; round <= last; round++) {
    for (const [name, contestant] of round % 2 === 0 ? entries : entries.toReversed()) {
      globalThis.gc?.();
      const span = await contestant();
      if (round > 0) spans.get(name)?.push(span);
    }
  }
  const scores = [...spans].map(([name, all]) => [name, new Score(all)]);
  return Object.fromEntries(scores) as Record<Name, Score>;
}

/** Measures from now until the function that it returns is called. */
export function startSpan(): (jobs: number) => Span {
  const begin = performance.now();
  const cpu = process.cpuUsage();
  return (jobs) => {
    const { user, system } = process.cpuUsage(cpu);
    return { jobs, ms: performance.now() - begin, cpuMs: (user + system) / 1_000 };
  };
}

/** The value below which the given part of the values lies. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function speedOf({ jobs, ms }: Span): number {
  return (jobs * 1_000) / ms;
}
