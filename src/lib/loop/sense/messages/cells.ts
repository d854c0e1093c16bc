/**
 * A line of cells as an object, by the names of its columns: `0.98,-0.19,0.09`, apart by commas, semicolons, tabs or spaces; or
 * `x=0.98 y:-0.19`. A line of names with those that are wanted is a header, and names the columns of those below it.
 * @param isHeader absent = the names of the columns are settled
 */
export function createCellReader(
  columns: readonly string[],
  isHeader?: (names: readonly string[]) => boolean,
): (line: string) => Record<string, unknown> | 'header' | string[] {
  let names = columns;
  return (line) => {
    const separator = /[,;\t]/.exec(line)?.[0];
    const cells = (separator ? line.split(separator) : line.split(/\s+/)).map((cell) =>
      cell.trim().replace(/^"(.*)"$/, '$1'),
    );
    const pairs = cells.map((cell) => /^([A-Za-z_][\w.]*)\s*[=:]\s*(.+)$/.exec(cell));
    if (pairs.every((pair) => pair !== null)) {
      return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
    }
    if (isHeader?.(cells)) {
      names = cells;
      return 'header';
    }
    if (cells.length !== names.length) return cells;
    return Object.fromEntries(cells.map((cell, c) => [names[c]!, cell]));
  };
}
