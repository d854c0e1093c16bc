import { percent, plural, thousands } from '../../core/index.js';
import type { Part } from '../split/windows.js';
import type { Table } from '../table.js';
import type { Finding } from '../types.js';

/** A table, and which side of a split it is. */
export interface Opened {
  name: string;
  part: Part | null;
  table: Table;
}

interface Place {
  table: Opened;
  row: number;
}

/** Rows with the same inputs, by the bytes of their numbers. */
function sameRows(tables: Opened[]): Place[][] {
  const groups = new Map<string, Place[]>();
  for (const table of tables) {
    const { inputs, rows, columns } = table.table;
    const width = columns.length * Float32Array.BYTES_PER_ELEMENT;
    const bytes = Buffer.from(inputs.buffer, inputs.byteOffset, inputs.byteLength);
    for (let row = 0; row < rows; row++) {
      const key = bytes.toString('latin1', row * width, (row + 1) * width);
      const own = groups.get(key);
      if (own) own.push({ table, row });
      else groups.set(key, [{ table, row }]);
    }
  }
  return [...groups.values()].filter((places) => places.length > 1);
}

/** Rows that stand more than once: on two sides of a split, under two labels, or on one side. */
export function repeatedRows(tables: Opened[]): Finding[] {
  const groups = sameRows(tables);
  const labelOf = ({ table, row }: Place) => table.table.labels?.[row] ?? null;
  const differs = (places: Place[], of: (place: Place) => string | null) =>
    new Set(places.map(of).filter((value) => value !== null)).size > 1;
  const apart = groups.filter((places) => differs(places, ({ table }) => table.part));
  const contrary = groups.filter((places) => differs(places, labelOf));
  const findings: Finding[] = [];
  const rows = tables.reduce((sum, { table }) => sum + table.rows, 0);
  const common = (places: Place[][]) => ({
    files: [...new Set(places.flatMap((own) => own.map(({ table }) => table.name)))].sort(),
    evidence: {
      rows: places.length,
      share: places.reduce((sum, own) => sum + own.length, 0) / rows,
      lines: places.slice(0, 10).map((own) => own.map(lineOf).join(' = ')),
    },
  });
  if (apart.length > 0) {
    findings.push({
      kind: 'leak',
      severity: 'error',
      ...common(apart),
      message: `${plural(apart.length, 'row')} of the split ${apart.length === 1 ? 'stands' : 'stand'} on two sides, such as ${apart[0]!.map(lineOf).slice(0, 2).join(' and ')}: the figures would be a fiction.`,
      advice: 'Remove them from one side.',
    });
  }
  if (contrary.length > 0) {
    findings.push({
      kind: 'label',
      severity: contrary.length > 0.01 * rows ? 'error' : 'warning',
      ...common(contrary),
      message: `${plural(contrary.length, 'row')} ${contrary.length === 1 ? 'stands' : 'stand'} under two labels, such as ${contrary[0]!
        .slice(0, 2)
        .map((place) => `${lineOf(place)} (${labelOf(place)})`)
        .join(' and ')}.`,
      advice: 'Find out which label is right.',
    });
  }
  const rest = groups.filter((places) => !apart.includes(places) && !contrary.includes(places));
  const surplus = rest.reduce((sum, places) => sum + places.length - 1, 0);
  if (surplus > 0) {
    findings.push({
      kind: 'repeats',
      severity: surplus > 0.05 * rows ? 'warning' : 'info',
      ...common(rest),
      message: `${plural(surplus, 'row')} of ${thousands(rows)} (${percent(surplus / rows)}) repeat another one, such as ${rest[0]!.slice(0, 2).map(lineOf).join(' and ')}.`,
      advice:
        'A split by row puts them on two sides: remove them, or name a column group that keeps them together.',
    });
  }
  return findings;
}

/** The header is line 1. */
function lineOf({ table, row }: Place): string {
  return `${table.name}:${row + 2}`;
}
