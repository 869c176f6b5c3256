// What Roger needs of a log.

/** A log that lines can be written to; Nest's `Logger` is one. */
export interface RogerLog {
  log(message: string): void;
  warn(message: string): void;
  error(message: string, stack?: string): void;
  debug(message: string): void;
}
