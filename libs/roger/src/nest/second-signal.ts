// Ends a shutdown at once when the process is told a second time to end. Nest itself hears the first signal only.
import { constants } from 'node:os';
import type { RogerLog } from '../job/log';

/** What supervisors and terminals send. */
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
type Signal = (typeof SIGNALS)[number];

/** A signal that comes again so soon is the same request: npm and the like pass on what the terminal has sent, too. */
const SAME_REQUEST_MS = 200;
/** In which Nest, if the signal was its first, calls the hooks: the app is then being closed by code. */
const RECOGNISED_MS = 50;
/** When the process ends, whatever else its shutdown waits for. */
const END_MS = 800;

export class SecondSignal {
  /** A second signal has come. */
  hasCome = false;
  private listened: readonly Signal[] = [];
  private watchedSince = 0;
  private recognition: NodeJS.Timeout | undefined;

  constructor(
    private readonly log: RogerLog,
    /** Gives back what runs, now. */
    private readonly onHurry: () => void,
  ) {}

  /** The app has begun to shut down. Where nobody listens for a signal it kills anyway, and is left to. */
  watch(): void {
    this.watchedSince = performance.now();
    this.listened = SIGNALS.filter((signal) => process.listenerCount(signal) > 0);
    for (const signal of this.listened) process.on(signal, this.onSignal);
  }

  /** The app's own hooks have answered the signal that came just now. */
  wasFirst(): void {
    clearTimeout(this.recognition);
    this.recognition = undefined;
    this.watchedSince = performance.now();
  }

  ignore(): void {
    clearTimeout(this.recognition);
    for (const signal of this.listened) process.off(signal, this.onSignal);
    this.listened = [];
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    if (this.hasCome || this.recognition !== undefined) return;
    if (performance.now() - this.watchedSince < SAME_REQUEST_MS) return;
    this.recognition = setTimeout(() => {
      this.hurry(signal);
    }, RECOGNISED_MS);
  };

  private hurry(signal: NodeJS.Signals): void {
    this.hasCome = true;
    this.log.warn(`Told a second time to end (${signal}): running jobs are given back, and the process ends`);
    // As a shell tells of a process that died of a signal.
    setTimeout(() => process.exit(128 + constants.signals[signal]), END_MS - RECOGNISED_MS).unref();
    this.onHurry();
  }
}
