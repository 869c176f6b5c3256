// A Nest logger for a screen that is taken: counts what went wrong and remembers the last lines of it.
import type { LoggerService } from '@nestjs/common';

const KEPT_LINES = 3;
/** Its first part tells jobs apart well enough for a narrow line. */
const UUID = /\b([0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;

export class QuietLogger implements LoggerService {
  private warnings = 0;
  private errors = 0;
  private readonly kept: string[] = [];

  log(): void {
    // That all is well, the display says.
  }

  warn(message: unknown): void {
    this.warnings++;
    this.keep('WARN', message);
  }

  error(message: unknown): void {
    this.errors++;
    this.keep('ERROR', message);
  }

  fatal(message: unknown): void {
    this.error(message);
  }

  get counts(): string {
    return `${this.warnings} warnings, ${this.errors} errors`;
  }

  /** The last warnings and errors, one line each, the newest at the end. */
  get lastLines(): readonly string[] {
    return this.kept;
  }

  private keep(level: string, message: unknown): void {
    this.kept.push(`${level.padEnd(5)} ${String(message).replaceAll(/\s+/g, ' ').replaceAll(UUID, '$1…')}`);
    if (this.kept.length > KEPT_LINES) this.kept.shift();
  }
}
