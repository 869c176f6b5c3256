// Shows how things stand: redrawn in place on a terminal, line by line elsewhere.
import { tableOf } from './table';
import type { Standing } from './standing';

interface Frame {
  readonly seconds: number;
  readonly rows: readonly (Standing & { readonly jobsPerSecond: number })[];
  /** How much the log has of what, and its last lines. */
  readonly logCounts: string;
  readonly logLines: readonly string[];
}

export interface Display {
  /** How long a frame stands, in ms. */
  readonly periodMs: number;
  show(frame: Frame): void;
  /** Leaves the output as it found it. */
  end(): void;
}

export function displayOn(output: NodeJS.WriteStream): Display {
  return output.isTTY ? new ScreenDisplay(output) : new LineDisplay(output);
}

const HEAD = ['tenant', 'queued', 'running', 'done', 'retried', 'buried', 'jobs/s'];
/** So wide that columns don't move while numbers grow. */
const WIDTHS = [7, 6, 7, 6, 7, 6, 6];

function cellsOf(row: Frame['rows'][number]): (string | number)[] {
  const { partition, queued = '?'.padStart(6), running, done, retried, buried, jobsPerSecond } = row;
  return [partition, queued, running, done, retried, buried, jobsPerSecond];
}

class LineDisplay implements Display {
  readonly periodMs = 1_000;
  private isHeadShown = false;

  constructor(private readonly output: NodeJS.WriteStream) {}

  show({ seconds, rows }: Frame): void {
    const table = tableOf(
      [['second', ...HEAD], ...rows.map((row) => [seconds.toFixed(1).padStart(6), ...cellsOf(row)])],
      [6, ...WIDTHS],
    );
    const lines = this.isHeadShown ? table.slice(1) : table;
    this.isHeadShown = true;
    this.output.write(`${lines.join('\n')}\n`);
  }

  end(): void {
    // Lines stay.
  }
}

const BAR_WIDTH = 20;
const USUAL_WIDTH = 80;
const ESCAPE = '\u001B[';
const HIDE_CURSOR = `${ESCAPE}?25l`;
const SHOW_CURSOR = `${ESCAPE}?25h`;
const CLEAR_BELOW = `${ESCAPE}J`;

class ScreenDisplay implements Display {
  readonly periodMs = 250;
  private height = 0;

  constructor(private readonly output: NodeJS.WriteStream) {}

  show({ seconds, rows, logCounts, logLines }: Frame): void {
    const [head = '', ...table] = tableOf([HEAD, ...rows.map(cellsOf)], WIDTHS);
    const bars = rows.map(({ enqueued, done, buried }) => bar(done + buried, enqueued));
    const lines = [
      head,
      ...table.map((line, index) => `${line}   ${bars[index] ?? ''}`),
      '',
      `${seconds.toFixed(1)} s; Ctrl-C stops. Log: ${logCounts}`,
      ...logLines.map((line) => `  ${line}`),
    ];
    // A line that wraps would spoil the count of lines to go up. A terminal may not know its width.
    const width = (this.output.columns || USUAL_WIDTH) - 1;
    const text = lines.map((line, index) =>
      look(line.slice(0, width), index === 0 ? 'bold' : index > table.length + 1 ? 'dim' : 'plain'),
    );
    this.output.write(`${HIDE_CURSOR}${this.home()}${text.map((line) => `${line}\n`).join('')}`);
    this.height = lines.length;
  }

  end(): void {
    this.output.write(SHOW_CURSOR);
  }

  /** To the first line of the frame before, and everything from there on away. */
  private home(): string {
    return this.height === 0 ? '' : `${ESCAPE}${this.height}F${CLEAR_BELOW}`;
  }
}

function bar(ended: number, enqueued: number): string {
  const share = enqueued === 0 ? 0 : ended / enqueued;
  const full = Math.floor(share * BAR_WIDTH);
  return `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${String(Math.floor(share * 100)).padStart(3)} %`;
}

function look(text: string, how: 'bold' | 'dim' | 'plain'): string {
  if (how === 'plain') return text;
  return `${ESCAPE}${how === 'bold' ? 1 : 2}m${text}${ESCAPE}0m`;
}
