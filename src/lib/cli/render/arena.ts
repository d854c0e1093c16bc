import { size, thousands } from '../../core/index.js';
import type { Inspection } from '../../model/index.js';
import { dim } from './style.js';

/** Columns of the chart at most, and rows before the rest is counted only. */
const widest = 48;
const mostRows = 24;

/**
 * When each piece of the arena's head is in use, and where it lies: one row a piece in the order of their offsets, one
 * column an operator (several, where there are more operators than columns).
 */
export function arenaChart({ arena, arenaBytes, tensors, operators }: Inspection): string {
  if (arena === null || arenaBytes === null) return '';
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
  const foot = [
    `${size(arena.head)} for ${size(sum)} of activations that are not in use at once; columns: the inputs, then operators 0 to ${operators.length - 1}`,
    sumText(arena, arenaBytes),
    'TFLite Micro may record less as used: this is the smallest arena that works in its 64-bit runtime, and a 32-bit chip needs less',
  ];
  return [dim(head), ...rows, ...more, ...foot.map((line) => dim(line))].join('\n');
}

/** What the arena is the sum of. Preparing needs room for a while, where it is more than the activations take later. */
function sumText({ head, tail, smallest }: NonNullable<Inspection['arena']>, whole: number): string {
  const preparing = smallest - head - tail;
  // To the byte, so that the sum is one.
  const parts = [`${thousands(head)} of these`, `${thousands(tail)} of structures that stay`];
  if (preparing > 0) parts.push(`${thousands(preparing)} for a while as it is prepared`);
  return `arena ${thousands(whole)} bytes = ${parts.join(' + ')} + ${thousands(whole - smallest)} of margin (3 %, in steps of 16)`;
}

/** The chart's first and last moment: 0 = the inputs, then the operators from 1. */
function ruler(columns: number, steps: number): string {
  const end = String(steps - 1);
  return columns < 2 + end.length ? '0'.padEnd(columns) : `0${' '.repeat(columns - 1 - end.length)}${end}`;
}

function clip(name: string): string {
  return name.length > 40 ? `…${name.slice(-39)}` : name;
}
