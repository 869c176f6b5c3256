// A job that gives what it is told to, after as many failures as it is told to.
import type { JobContext, JobHandler } from 'nestjs-roger';
import { RogerJob } from 'nestjs-roger';
import { Witness } from './work';

export interface ResultArgs {
  /** What it returns. */
  gives?: unknown;
  /** Returns a text of so many characters instead. */
  length?: number;
  /** Returns what has no place in JSON instead. */
  isForeign?: boolean;
  failures?: number;
  /** Works until the test releases it, or its signal aborts. */
  isHeld?: boolean;
  /** What it tells of its progress before that, one after the other at once. */
  steps?: number[];
  queueKey?: string;
  executionKey?: string;
}

/** Given: what the job was told to give, and in which attempt, on which node. */
export interface Given {
  readonly value: unknown;
  readonly attempt: number;
  readonly node: string;
}

@RogerJob({
  name: 'result-work',
  retryable: { levels: [1] },
  queueKey: ({ queueKey }: ResultArgs) => queueKey,
  executionKey: ({ executionKey }: ResultArgs) => executionKey,
})
export class ResultWork implements JobHandler<ResultArgs, Given> {
  constructor(private readonly witness: Witness) {}

  async perform(args: ResultArgs, context: JobContext): Promise<Given> {
    const { attempt, signal, job } = context;
    const { node } = this.witness;
    this.witness.see({ what: 'began', id: job.id, attempt, node, at: 0 });
    for (const step of args.steps ?? []) context.progress(step);
    if (args.isHeld === true) {
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      });
      await Promise.race([this.witness.released, aborted]);
    }
    if (attempt <= (args.failures ?? 0)) throw new RangeError(`failure ${attempt}`);
    if (args.length !== undefined) return { value: 'x'.repeat(args.length), attempt, node };
    return { value: args.isForeign === true ? new Map() : (args.gives ?? null), attempt, node };
  }
}

/** Not tried again. */
@RogerJob({ name: 'result-once', retryable: false })
export class ResultOnce extends ResultWork {
  override perform(args: ResultArgs, context: JobContext): Promise<Given> {
    return super.perform(args, context);
  }
}
