// Why an attempt ended, as it is told and kept.
import type { EndReason } from '../job/job-recorder';
import type { BuriedReason } from '../transport';

/** For recorders, who may not read it, or be there at all: the text of a stack costs more than all else about a failure. */
export class ReasonOfError implements EndReason {
  constructor(private readonly error: Error) {}

  get type(): string {
    return typeOfError(this.error);
  }

  get message(): string {
    return this.error.message;
  }

  get stack(): string | undefined {
    return this.error.stack;
  }
}

export function buriedReasonOf(error: Error): BuriedReason {
  const { message, stack } = error;
  return { type: typeOfError(error), message, ...(stack === undefined ? {} : { stack }) };
}

export function typeOfError(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
