import type { Graph } from '../../formats/index.js';
import { bootstrapInterval } from '../evaluate/intervals.js';
import { pairedDifference } from '../evaluate/paired.js';
import type { Loss } from './result.js';
import { createRunner } from './run.js';

/** Labelled rows, and whether an output is right for one. */
export interface Evaluation {
  rows: readonly Float32Array[];
  right(row: number, output: Float32Array): boolean;
  /** What each row belongs to (a recording); null when rows stand for themselves. */
  groups: readonly string[] | null;
  /** Whether ranges were taken from these rows too: what they say of the loss is then on its good side. */
  calibrated?: boolean;
}

/** Which rows a network gets right. */
export function hits(graph: Graph, { rows, right }: Evaluation): boolean[] {
  const runner = createRunner(graph);
  return rows.map((row, at) => right(at, runner.run(row)));
}

/**
 * What quantization costs: float − quantized accuracy in points, with a 95 % interval. The rows are the same for both, so
 * only those count that one of them has right and the other wrong (Agresti and Min 2005; by a bootstrap over the groups
 * where rows belong to groups, because rows of one recording are alike).
 */
export function lossOf(
  float: readonly boolean[],
  quantized: readonly boolean[],
  groups: Evaluation['groups'],
  limit: number | null,
): Omit<Loss, 'calibrated'> {
  const rows = float.length;
  const paired = pairedDifference(
    rows,
    (row) => float[row]!,
    (row) => quantized[row]!,
  );
  const share = (of: readonly boolean[]) => of.filter(Boolean).length / Math.max(1, rows);
  const points = round(-100 * paired.difference);
  // Where the networks never differ, drawing groups again tells nothing of how often they might.
  const differ = paired.onlyARight + paired.onlyBRight > 0;
  const clustered =
    groups !== null &&
    differ &&
    new Set(groups).size < rows &&
    bootstrapInterval(rows, groups, (weights) => {
      let [lost, whole] = [0, 0];
      for (let row = 0; row < rows; row++) {
        const weight = weights[row]!;
        lost += weight * (Number(float[row]) - Number(quantized[row]));
        whole += weight;
      }
      return whole === 0 ? 0 : lost / whole;
    });
  const [low, high] = clustered || [-paired.interval[1], -paired.interval[0]];
  return {
    rows,
    float: share(float),
    quantized: share(quantized),
    points,
    interval: [round(100 * low), round(100 * high)],
    method: clustered ? 'bootstrap over groups of rows' : 'paired proportions (Agresti and Min)',
    limit,
    passed: limit === null ? null : points <= limit,
  };
}

function round(points: number): number {
  // Adding 0 makes −0 a 0.
  return Math.round(points * 1000) / 1000 + 0;
}
