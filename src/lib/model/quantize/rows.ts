import type { Graph } from '../../formats/index.js';
import { affordable } from './noise.js';

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
  const note =
    taken.length < rows.length
      ? `ranges are from ${taken.length} of the ${rows.length} rows, evenly picked`
      : null;
  return { rows: taken, note };
}
