import type { Graph } from '../../formats/index.js';
import { type Standardization, standardize } from '../../signal/index.js';
import type { PartPieces } from '../train/parts.js';
import { affordable, affordableCount, spread } from './noise.js';

/** Multiply-adds that the representative rows may cost: some tenths of a second. */
const budget = 3e8;
const fewest = 100;
/** More rows would hardly show an activation anything new. */
const most = 1000;

/** A row-major table as its rows. */
export function rowsOf(inputs: Float32Array, size: number): Float32Array[] {
  return Array.from({ length: inputs.length / size }, (_, row) =>
    inputs.subarray(row * size, (row + 1) * size),
  );
}

/** The rows themselves, or so many of them, evenly picked, that also a large network is calibrated in a second. */
export function affordableRows(
  graph: Graph,
  rows: readonly Float32Array[],
): { rows: Float32Array[]; note: string | null } {
  const taken = affordable(graph, rows, budget, fewest, most);
  return { rows: taken, note: noteOf(taken.length, rows.length) };
}

/** The same of a part, standardized: no other row of it stays. */
export function affordableOf(
  graph: Graph,
  { count, pieces }: PartPieces,
  by: Standardization,
): { rows: Float32Array[]; note: string | null } {
  const places = spread(count, affordableCount(graph, budget, fewest, most));
  const rows: Float32Array[] = [];
  let before = 0;
  for (const { inputs, inputSize, classes } of pieces()) {
    for (;;) {
      const row = (places[rows.length] ?? count) - before;
      if (row >= classes.length) break;
      const taken = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      rows.push(standardize(taken, by, new Float32Array(inputSize)));
    }
    before += classes.length;
  }
  return { rows, note: noteOf(rows.length, count) };
}

function noteOf(taken: number, rows: number): string | null {
  return taken < rows ? `ranges are from ${taken} of the ${rows} rows, evenly picked` : null;
}
