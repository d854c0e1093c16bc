/** A finite number as text; absent decimals = the shortest that reads back to the same number. */
function cellOf(value: number, decimals?: number): string {
  return decimals === undefined ? String(value) : value.toFixed(decimals);
}

/**
 * Header row and one row a sample, `\n` line ends.
 * @param data one array a column, all of the same length; finite numbers only (throws RangeError otherwise)
 * @param decimals digits after the point; absent = the shortest text that reads back to the same number
 */
export function writeCsv(columns: readonly string[], data: ArrayLike<number>[], decimals?: number): string {
  const rows = data[0]?.length ?? 0;
  const lines: string[] = [columns.join(',')];
  const cells = new Array<string>(columns.length);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns.length; c++) {
      const value = data[c]?.[row];
      if (value === undefined || !Number.isFinite(value)) {
        throw new RangeError(`row ${row + 1}, column ${columns[c]}: ${value} has no place in a CSV file`);
      }
      cells[c] = cellOf(value, decimals);
    }
    lines.push(cells.join(','));
  }
  return `${lines.join('\n')}\n`;
}

/**
 * As `writeCsv`, row by row, with columns of text after the numbers; what is no number (NaN) is an empty cell.
 * @param texts by the name of the column: one word a row
 */
export function writeTable(
  columns: readonly string[],
  rows: readonly ArrayLike<number>[],
  texts: Record<string, readonly string[]> = {},
): string {
  const words = Object.values(texts);
  const lines = rows.map((row, r) => {
    const numbers = Array.from(row, (value) => (Number.isNaN(value) ? '' : cellOf(value)));
    return [...numbers, ...words.map((column) => quoted(column[r]!))].join(',');
  });
  return `${[[...columns, ...Object.keys(texts)].join(','), ...lines].join('\n')}\n`;
}

/** A word with a comma or a line end would become two cells. */
function quoted(word: string): string {
  return /[,"\r\n]/.test(word) ? word.replace(/[,"\r\n]/g, '_') : word;
}
