import type { Metrics } from '../bundle/types.js';

export { calibrationOf, sharesOf } from './calibration.js';
export {
  bootstrapInterval,
  type PairedDifference,
  type Proportion,
  pairedDifference,
  proportionOf,
  quantile,
} from './intervals.js';

export interface ClassFigures {
  class: string;
  /** Windows of this class. */
  support: number;
  precision: number;
  recall: number;
  f1: number;
}

/** Index of the largest value of each row; the first of equals. */
export function argMaxRows(values: ArrayLike<number>, columns: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(values.length / columns);
  for (let row = 0; row < out.length; row++) {
    let best = 0;
    for (let c = 1; c < columns; c++) {
      if (values[row * columns + c]! > values[row * columns + best]!) best = c;
    }
    out[row] = best;
  }
  return out;
}

/** Counts [truth][prediction]; with `weights`, each row counts as often as its weight says. */
export function confusionOf(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
  weights?: ArrayLike<number>,
): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < truth.length; i++) counts[truth[i]!]![predicted[i]!]! += weights ? weights[i]! : 1;
  return counts;
}

/** Precision, recall and F1 of each class; a ratio without cases is 0. */
export function classFigures(confusion: number[][], names: string[]): ClassFigures[] {
  return confusion.map((row, c) => {
    const hits = row[c]!;
    const support = row.reduce((a, b) => a + b, 0);
    const claimed = confusion.reduce((sum, other) => sum + other[c]!, 0);
    const precision = claimed === 0 ? 0 : hits / claimed;
    const recall = support === 0 ? 0 : hits / support;
    const f1 = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
    return { class: names[c] ?? String(c), support, precision, recall, f1 };
  });
}

/** Mean F1 over the classes that occur, as truth or as prediction. */
export function macroF1Of(confusion: number[][]): number {
  const occurring = classFigures(confusion, []).filter(
    (figures, c) => figures.support > 0 || confusion.some((row) => row[c]! > 0),
  );
  return occurring.length === 0 ? 0 : occurring.reduce((sum, { f1 }) => sum + f1, 0) / occurring.length;
}

/** Figures of one set of predictions. */
export function metricsOf(truth: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): Metrics {
  const confusion = confusionOf(truth, predicted, classes);
  const right = confusion.reduce((sum, row, c) => sum + row[c]!, 0);
  return {
    windows: truth.length,
    accuracy: truth.length === 0 ? 0 : right / truth.length,
    macroF1: macroF1Of(confusion),
    confusion,
  };
}

/** One score a row, wherever it lies. */
interface Scores {
  rows: number;
  of(row: number): number;
}

/**
 * The area under the ROC curve as a function of row weights: the chance that a positive row scores above a negative one,
 * ties counting half (Mann and Whitney, 1947; Hanley and McNeil, 1982). Rows are sorted once, so that resampling costs
 * one walk a draw. Null where one side has no weight.
 */
function weightedAuc(
  scores: Scores,
  positive: (row: number) => boolean,
): (weights?: ArrayLike<number>) => number | null {
  const { rows, of } = scores;
  const order = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) order[row] = row;
  order.sort((a, b) => of(a) - of(b));
  return (weights) => {
    let [below, above, wins] = [0, 0, 0];
    for (let i = 0; i < order.length; ) {
      let [tiedNegative, tiedPositive] = [0, 0];
      const score = of(order[i]!);
      for (; i < order.length && of(order[i]!) === score; i++) {
        const row = order[i]!;
        const weight = weights ? weights[row]! : 1;
        if (positive(row)) tiedPositive += weight;
        else tiedNegative += weight;
      }
      wins += tiedPositive * (below + tiedNegative / 2);
      below += tiedNegative;
      above += tiedPositive;
    }
    return below > 0 && above > 0 ? wins / (below * above) : null;
  };
}

/** Area under the ROC curve of one score; null unless there are rows of both sides. */
export function aucOf(scores: ArrayLike<number>, positive: (row: number) => boolean): number | null {
  return weightedAuc({ rows: scores.length, of: (row) => scores[row]! }, positive)();
}

/**
 * Each class against all others, averaged over the classes that have rows (Hand and Till's alternative of one against the
 * rest; scikit-learn's `multi_class="ovr", average="macro"`). Two classes: the second one's score decides, the same
 * for both.
 * @param scores [rows × classes], row-major
 */
export function macroAuc(
  truth: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: number,
): (weights?: ArrayLike<number>) => number | null {
  const each = Array.from({ length: classes }, (_, c) => {
    const own = { rows: truth.length, of: (row: number) => scores[row * classes + c]! };
    return weightedAuc(own, (row) => truth[row] === c);
  });
  return (weights) => {
    const known = each.map((auc) => auc(weights)).filter((auc) => auc !== null);
    return known.length === 0 ? null : known.reduce((sum, auc) => sum + auc, 0) / known.length;
  };
}

/** How far predicted values lie from the true ones. */
interface ValueFigures {
  n: number;
  /** Mean absolute error, in the units of the values. */
  mae: number;
  /** Root of the mean squared error. */
  rmse: number;
  /** Share of the values' variance that is predicted; null where the true values are all equal. */
  r2: number | null;
}

/** Errors of one predicted value a row; all 0 without rows. `weights`: how often each row counts. */
export function valueFigures(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  weights?: ArrayLike<number>,
): ValueFigures {
  let [n, absolute, squared, sum] = [0, 0, 0, 0];
  for (let row = 0; row < truth.length; row++) {
    const weight = weights ? weights[row]! : 1;
    const error = predicted[row]! - truth[row]!;
    n += weight;
    absolute += weight * Math.abs(error);
    squared += weight * error * error;
    sum += weight * truth[row]!;
  }
  if (n === 0) return { n: 0, mae: 0, rmse: 0, r2: null };
  let spread = 0;
  for (let row = 0; row < truth.length; row++)
    spread += (weights ? weights[row]! : 1) * (truth[row]! - sum / n) ** 2;
  return {
    n: truth.length,
    mae: absolute / n,
    rmse: Math.sqrt(squared / n),
    r2: spread === 0 ? null : 1 - squared / spread,
  };
}
