/**
 * Returns the lines on a terminal after these bytes. Supports text, line feeds, and the ECMA-48 sequences that
 * move the cursor or erase text.
 */
export function screenOf(written: string): string[] {
  const lines: string[] = [''];
  let [row, column] = [0, 0];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's sequences begin with one.
  for (const [piece, parameter, final] of written.matchAll(/\u001b\[([\d;?]*)([A-Za-z])|[\s\S]/g)) {
    const count = Number(parameter || 1);
    const line = lines[row] ?? '';
    if (final === 'A') row = Math.max(0, row - count);
    else if (final === 'G') column = count - 1;
    else if (final === 'K') lines[row] = parameter === '2' ? '' : line.slice(0, column);
    else if (final === 'J') lines.splice(row, lines.length, line.slice(0, column));
    else if (piece === '\r') column = 0;
    else if (piece === '\n') {
      [row, column] = [row + 1, 0];
      lines[row] ??= '';
    } else if (final === undefined) {
      lines[row] = `${line.slice(0, column).padEnd(column)}${piece}${line.slice(column + 1)}`;
      column++;
    }
  }
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

const spinner = /[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/g;

/**
 * Captures the output drawn on stderr as on a terminal of this size.
 * @returns the lines on its screen, with spinners in their first position; `restore` restores stderr
 */
export function terminalOnStderr({ columns = 80, rows = 24 } = {}) {
  const { write, columns: columnsBefore, rows: rowsBefore } = process.stderr;
  let written = '';
  Object.assign(process.stderr, { columns, rows });
  process.stderr.write = ((chunk: string) => {
    written += chunk;
    return true;
  }) as typeof process.stderr.write;
  return {
    lines: () => screenOf(written).map((line) => line.replaceAll(spinner, '⠋')),
    restore() {
      process.stderr.write = write;
      Object.assign(process.stderr, { columns: columnsBefore, rows: rowsBefore });
    },
  };
}
