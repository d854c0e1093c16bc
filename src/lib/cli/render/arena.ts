import { size } from '../../core/index.js';
import type { Inspection } from '../../model/index.js';
import { dim } from './style.js';

/** Columns of the chart at most, and rows before the rest is counted only. */
const widest = 48;
const mostRows = 24;

/**
 * When each piece of the arena's head is in use, and where it lies: one row a piece in the order of their offsets, one
 * column an operator (several, where there are more operators than columns).
 */
export function arenaChart({ arena, tensors, operators }: Inspection): string {
  if (arena === null) return '';
  const steps = operators.length + 1;
  const columns = Math.min(steps, widest);
  const column = (time: number) => Math.min(columns - 1, Math.floor((time * columns) / steps));
  const pieces = [...arena.pieces].sort((a, b) => a.offset - b.offset || a.first - b.first);
  const shown = pieces.slice(0, mostRows);
  const digits = Math.max(6, String(arena.head).length);
  const rows = shown.map(({ tensor, operator, bytes, first, last, offset }) => {
    const [from, to] = [column(first), column(last)];
    const life = '·'.repeat(from) + '█'.repeat(to - from + 1) + '·'.repeat(columns - 1 - to);
    const name = tensor === null ? `scratch of operator ${operator}` : (tensors[tensor]?.name ?? '');
    return `${String(offset).padStart(digits)}  ${String(bytes).padStart(digits)}  ${life}  ${clip(name)}`;
  });
  const head = `${'offset'.padStart(digits)}  ${'bytes'.padStart(digits)}  ${ruler(columns, steps)}  in it`;
  const rest = pieces.length - shown.length;
  const more = rest > 0 ? [dim(`… and ${rest} more (--json has them all)`)] : [];
  const sum = pieces.reduce((total, { bytes }) => total + bytes, 0);
  const foot = dim(
    `${size(arena.head)} for ${size(sum)} of activations that are not in use at once, ${size(arena.tail)} of structures beside it; columns: the inputs, then operators 0 to ${operators.length - 1}`,
  );
  return [dim(head), ...rows, ...more, foot].join('\n');
}

/** The chart's first and last moment: 0 = the inputs, then the operators from 1. */
function ruler(columns: number, steps: number): string {
  const end = String(steps - 1);
  return columns < 2 + end.length ? '0'.padEnd(columns) : `0${' '.repeat(columns - 1 - end.length)}${end}`;
}

function clip(name: string): string {
  return name.length > 40 ? `…${name.slice(-39)}` : name;
}
