// When a schedule ticks: reads a cron expression in a time zone, and finds the ticks around a time.
import { Cron } from 'croner';
import { describe } from '../job/names';

const NICKNAMES = new Set(['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly']);

/** What is wrong, and with which of the two. */
export interface CronProblem {
  readonly culprit: 'expression' | 'timeZone';
  readonly message: string;
}

export class CronExpression {
  private constructor(private readonly cron: Cron) {}

  /** Reads an expression of five or six fields (the first one are seconds then), or a nickname such as `@hourly`. */
  static read(expression: unknown, timeZone: unknown): CronExpression | CronProblem {
    if (!isTimeZone(timeZone)) {
      const message = `${describe(timeZone)} is no time zone: an IANA name such as 'Europe/Berlin', or 'UTC'`;
      return { culprit: 'timeZone', message };
    }
    const problem = (reason: string): CronProblem => ({
      culprit: 'expression',
      message: `${describe(expression)} is no cron expression: ${reason}`,
    });
    if (typeof expression !== 'string') return problem('it must be a text');
    if (!hasKnownForm(expression)) {
      return problem(`it must have five or six fields, or be one of ${[...NICKNAMES].join(', ')}`);
    }
    let cron: Cron;
    try {
      cron = new Cron(expression, { timezone: timeZone, paused: true });
    } catch (error) {
      return problem((error instanceof Error ? error.message : String(error)).replace(/^CronPattern: /, ''));
    }
    return cron.nextRun() === null ? problem('it never ticks') : new CronExpression(cron);
  }

  /** The first tick after a time, in ms since the epoch; undefined: there is none. */
  nextAfter(time: number): number | undefined {
    return this.cron.nextRun(new Date(time))?.getTime();
  }

  /** The last tick up to a time, itself included. */
  latestUpTo(time: number): number | undefined {
    // Ticks lie on whole seconds, and what is looked for must lie before the time given.
    const [latest] = this.cron.previousRuns(1, new Date(Math.floor(time / 1_000) * 1_000 + 1_000));
    return latest?.getTime();
  }

  /**
   * The ticks that are due: those of the last `graceMs`, or where there was none, with `catchUp: 'once'`, the latest.
   * @param after the last one that was seen to, or when it began
   */
  dueTicks(after: number, now: number, graceMs: number, catchUp: 'once' | 'skip'): number[] {
    const from = Math.max(after, now - graceMs);
    const due: number[] = [];
    for (let tick = this.nextAfter(from); tick !== undefined && tick <= now; tick = this.nextAfter(tick)) {
      due.push(tick);
    }
    if (due.length > 0 || catchUp === 'skip' || from === after) return due;
    const latest = this.latestUpTo(now);
    return latest !== undefined && latest > after ? [latest] : [];
  }
}

function hasKnownForm(expression: string): boolean {
  if (NICKNAMES.has(expression.trim().toLowerCase())) return true;
  const fields = expression.trim().split(/\s+/).length;
  return fields === 5 || fields === 6;
}

function isTimeZone(timeZone: unknown): timeZone is string {
  if (typeof timeZone !== 'string' || timeZone === '') return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    return false;
  }
}
