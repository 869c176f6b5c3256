// Writes Roger's log lines to stderr, and some of them into the trace.
import type { LoggerService } from '@nestjs/common';
import type { Trace } from './trace';

/** Roger's own lines say when this node lost a connection, and when it became a keeper. */
export class TracingLogger implements LoggerService {
  isConnected = false;

  constructor(private readonly trace: Trace) {}

  log = (message: unknown): void => {
    if (/^Connected .*\(publishing\)$/.test(this.keep(message))) this.isConnected = true;
  };
  warn = (message: unknown): void => {
    const line = this.keep(message);
    if (line.startsWith('Lost the connection')) this.trace.add({ what: 'disconnected' });
  };
  error = (message: unknown): void => {
    this.keep(message);
  };
  debug = (message: unknown): void => {
    const [, ledger] = /^Ledger (\d+) is kept here$/.exec(this.keep(message)) ?? [];
    if (ledger !== undefined) this.trace.add({ what: 'keeping', ledger: Number(ledger) });
  };

  private keep(message: unknown): string {
    const line = String(message);
    process.stderr.write(`${new Date().toISOString()} ${line}\n`);
    return line;
  }
}
