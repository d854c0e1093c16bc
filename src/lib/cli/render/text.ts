import { stripVTControlCharacters } from 'node:util';
import { bold, cyan, dim } from './style.js';

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Columns aligned by their widest cell; numbers (given as numbers) to the right. An empty table says so. */
export function table(head: string[], rows: (string | number | null)[][], empty = 'none'): string {
  if (rows.length === 0) return dim(empty);
  const cells = rows.map((row) => row.map((cell) => (cell === null ? dim('–') : String(cell))));
  const widths = head.map((title, i) => Math.max(width(title), ...cells.map((row) => width(row[i] ?? ''))));
  const right = head.map((_, i) => {
    const column = rows.map((row) => row[i]).filter((cell) => cell !== null);
    return column.length > 0 && column.every((cell) => typeof cell === 'number');
  });
  const line = (row: string[]) =>
    row
      .map((cell, i) => {
        const gap = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)));
        return right[i] ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  return [bold(line(head)), ...cells.map(line)].join('\n');
}

/** `name  value` lines, names aligned. */
export function facts(pairs: [string, string | number][]): string {
  const longest = Math.max(...pairs.map(([key]) => key.length));
  return pairs.map(([key, value]) => `${dim(key.padEnd(longest))}  ${value}`).join('\n');
}

/** The closing lines of every result: what to type next, on one line where that is short. */
export function next(...commands: string[]): string {
  const shown = commands.map((command) => cyan(command));
  const short = commands.join('  ·  ').length <= 80;
  const rest = short ? shown.join(dim('  ·  ')) : shown.join('\n      ');
  return `\n${dim('Next:')} ${rest}`;
}

/** 0.5 → `████░░░░` of the given number of characters. */
export function bar(share: number, cells: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return '█'.repeat(full) + '░'.repeat(cells - full);
}

/** 1 234 567 ms → `20 min 35 s`; 87 → `87 ms`. */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
