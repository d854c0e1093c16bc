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
      cells[c] = decimals === undefined ? String(value) : value.toFixed(decimals);
    }
    lines.push(cells.join(','));
  }
  return `${lines.join('\n')}\n`;
}
