// Prints what was measured: a table for people, a JSON line for programs.
import type { Goal, Result, Row } from './benchmark';

const HEAD = ['', 'unit', 'raw amqplib', 'Roger', 'client CPU/job', 'ratio', 'goal', ''];
const NOTE =
  'A ratio is the median of the ratios within each round; the other figures are medians of their own.';
const LEFT_ALIGNED = 2;

export function table(results: readonly Result[], { isJudged }: { readonly isJudged: boolean }): string {
  const rows = results.flatMap((result) => result.rows.map((row) => cellsOf(row, isJudged)));
  const lines = [HEAD, ...rows];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const print = (line: readonly string[]): string =>
    line
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column < LEFT_ALIGNED || column === HEAD.length - 1
          ? cell.padEnd(width)
          : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('──');
  return ['', print(HEAD), rule, ...rows.map(print), '', NOTE].join('\n');
}

export function jsonLine(results: readonly Result[]): string {
  const fields = Object.assign({}, ...results.map((result) => result.fields)) as Record<string, number>;
  const rounded = Object.entries(fields).map(
    ([name, value]) => [name, Number(value.toPrecision(4))] as const,
  );
  return JSON.stringify(Object.fromEntries(rounded));
}

function cellsOf({ name, unit, raw, roger, cpuUs, ratio, goal }: Row, isJudged: boolean): string[] {
  const judged = ratio ?? roger;
  return [
    name,
    unit,
    raw === undefined ? '' : show(raw),
    show(roger),
    cpuUs === undefined ? '' : `${cpuUs.raw.toFixed(1)} → ${cpuUs.roger.toFixed(1)} µs`,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal === undefined ? '' : 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`,
    goal === undefined || !isJudged ? '' : isMet(goal, judged) ? 'met' : 'MISSED',
  ];
}

function isMet(goal: Goal, value: number): boolean {
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost;
}

function show(value: number): string {
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
  return value.toFixed(Math.abs(value) >= 100 ? 0 : 2);
}
