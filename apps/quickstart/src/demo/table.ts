// Sets rows of texts and numbers in columns.

/** A number stands to the right of its column, a text to the left. */
export type Cell = string | number;

/** The rows as lines; a column is as wide as its widest cell, or as `widths` says where that is more. */
export function tableOf(rows: readonly (readonly Cell[])[], widths: readonly number[] = []): string[] {
  const columns = Math.max(...rows.map((row) => row.length));
  const needed = Array.from({ length: columns }, (_, column) =>
    Math.max(widths[column] ?? 0, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const isNumeric = needed.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = needed[column] ?? 0;
        return isNumeric[column] === true ? String(cell).padStart(width) : String(cell).padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
