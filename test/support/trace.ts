// What processes of one machine did to keyed jobs, line by line in one file that outlives them all.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

/** Time in microseconds by a clock that all processes of a machine share and nobody sets. */
export type Micros = number;

/** Something that happened. `node` is one process: a successor has another name. */
export type TraceEvent = { readonly at: Micros; readonly node: string } & (
  | {
      readonly what: 'asked';
      readonly id: string;
      readonly queueKey?: string | undefined;
      readonly executionKey?: string | undefined;
      readonly queue?: string | undefined;
      /** Enqueued when all was over, to see whether its keys are free. */
      readonly isProbe?: boolean | undefined;
      readonly partition?: string | undefined;
    }
  | { readonly what: 'enqueued'; readonly id: string }
  | { readonly what: 'duplicate'; readonly id: string; readonly of: string }
  | { readonly what: 'enqueue failed'; readonly id: string; readonly error: string }
  | {
      readonly what: RunEventKind;
      readonly id: string;
      /** The same for all events of a run, and for no other run. */
      readonly run: string;
      readonly fence: number;
      readonly attempt: number;
    }
  | { readonly what: 'cancel asked'; readonly id: string }
  | {
      readonly what: 'cancelled';
      readonly id: string;
      readonly met: string;
      /** Nodes that may not know of it yet. */
      readonly missing: readonly string[];
    }
  | { readonly what: 'cancel failed'; readonly id: string; readonly error: string }
  /** A node became the keeper of a ledger. */
  | { readonly what: 'keeping'; readonly ledger: number }
  | { readonly what: FaultKind }
  /** What a probe of the node would have been told, whenever it changed. */
  | { readonly what: 'ready' }
  | { readonly what: 'unready'; readonly checks: string }
  /** A pause was acknowledged. */
  | {
      readonly what: 'paused';
      readonly partition: string;
      readonly queue: string;
      readonly missing: readonly string[];
    }
  /** Its end is about to be asked for. */
  | { readonly what: 'resuming'; readonly partition: string; readonly queue: string }
  /** No more jobs are asked for. */
  | { readonly what: 'unloading' }
  /** Every job that has to end has ended; what follows are probes. */
  | { readonly what: 'over' }
);

/** `aborted`: ended without a result, for it was told to. */
export type RunEventKind = 'began' | 'ended' | 'failed' | 'aborted';

/**
 * What was done to a node. `blocked`, `frozen` and `split` (its broker was cut off from the others of the cluster, which
 * may give to others what it has) last until `resumed`; `cut off` (its connections were cut or silenced)
 * and `disconnected` (by its own account) are of a moment.
 */
export type FaultKind = 'killed' | 'frozen' | 'blocked' | 'split' | 'resumed' | 'cut off' | 'disconnected';

type WithoutPlace<T> = T extends unknown ? Omit<T, 'at' | 'node'> : never;

/** An event without its time and node. */
export type Happening = WithoutPlace<TraceEvent>;

/** Appends events, each written when `add` returns: a process that is killed a moment later has told of it. */
export class Trace {
  private readonly file: number;

  constructor(
    path: string,
    private readonly node: string,
  ) {
    this.file = openSync(path, 'a');
  }

  add(happening: Happening, node = this.node): void {
    const at: Micros = Number(process.hrtime.bigint() / 1_000n);
    writeSync(this.file, `${JSON.stringify({ at, node, ...happening })}\n`);
  }

  close(): void {
    closeSync(this.file);
  }
}

/** The events of a trace in their order. */
export function readTrace(path: string): TraceEvent[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  // What follows the last line's end is a line that is being written.
  const events = lines.slice(0, -1).map((line) => JSON.parse(line) as TraceEvent);
  return events.sort((one, other) => one.at - other.at);
}
