// What an operation is applied with.
export interface OperationContext {
  /** In ms since the epoch, by the keeper's clock. */
  readonly at: number;
  readonly maxWaitingJobs: number;
  /** A part of the request. */
  readonly text: (part: number) => string;
  /** Puts a part into the reply; its number. */
  readonly addPart: (text: string) => number;
}
