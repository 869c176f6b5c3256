// A Nest logger that keeps its lines instead of printing them.
import type { LoggerService } from '@nestjs/common';

export interface LogLine {
  readonly level: 'log' | 'warn' | 'error' | 'debug' | 'verbose' | 'fatal';
  readonly message: string;
  readonly context: string;
}

/** Give it to an app; look at `lines` for what an operator would have read. */
export class RecordedLog implements LoggerService {
  readonly lines: LogLine[] = [];

  /** @param keeper which log keeps a line that is being written. @default itself */
  constructor(private readonly keeper?: () => RecordedLog) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.keep('log', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.keep('warn', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.keep('error', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.keep('debug', message, rest);
  }
  verbose(message: unknown, ...rest: unknown[]): void {
    this.keep('verbose', message, rest);
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.keep('fatal', message, rest);
  }

  /** The messages of Roger itself, of these levels. */
  messages(...levels: LogLine['level'][]): string[] {
    return this.lines
      .filter(({ context, level }) => context.startsWith('Roger') && levels.includes(level))
      .map(({ message }) => message);
  }

  private keep(level: LogLine['level'], message: unknown, rest: readonly unknown[]): void {
    const context = rest.at(-1);
    const { lines } = this.keeper?.() ?? this;
    lines.push({ level, message: String(message), context: typeof context === 'string' ? context : '' });
  }
}
