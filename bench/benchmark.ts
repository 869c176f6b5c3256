// What a benchmark is given and what it tells.

/** The conditions under which a benchmark runs. */
export interface Conditions {
  /** Where the broker is. */
  readonly uri: string;
  /** So few jobs that the figures mean nothing; it only shows that everything works. */
  readonly isQuick: boolean;
}

/** One benchmark, to be run in a process of its own, where `ROGER_AMQP_URL` says where the broker is. */
export interface Assignment extends Pick<Conditions, 'isQuick'> {
  readonly name: string;
}

/** Resolves to what it measured. */
export type Benchmark = (conditions: Conditions) => Promise<Result>;

export interface Result {
  readonly rows: readonly Row[];
  /** For the JSON line, by name. */
  readonly fields: Readonly<Record<string, number>>;
}

/** A line of the table. */
export interface Row {
  readonly name: string;
  /** Of `raw` and `roger`. */
  readonly unit: string;
  /** What plain amqplib does; left out where there is no such thing. */
  readonly raw?: number;
  readonly roger: number;
  /** Roger's figure in those of raw amqplib. */
  readonly ratio?: number;
  /** CPU time of the process for one job, in µs. */
  readonly cpuUs?: { readonly raw: number; readonly roger: number };
  /** For the ratio, or for Roger's figure where there is no ratio. */
  readonly goal?: Goal;
}

export type Goal = { readonly atLeast: number } | { readonly atMost: number };
