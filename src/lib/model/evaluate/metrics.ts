import type { Metrics } from '../bundle/types.js';
import type { CalibrationBin, ClassFigures } from './result.js';

/** Index of the largest value of each row; the first one in case of ties. */
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

/** Counts rows by [truth][prediction]; `weights` defines how often each row counts. */
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

/** Precision, recall and F1 of each class; 0 for a ratio without cases. */
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

/** One score per row, read in place. */
interface Scores {
  rows: number;
  of(row: number): number;
}

/**
 * The area under the ROC curve as a function of row weights: the probability that a positive row scores above a negative one, with ties
 * counting half. Source: Mann and Whitney, 1947; Hanley and McNeil, 1982. Rows are sorted once, so that resampling needs one pass per
 * draw. Null if all weights of one side are 0.
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

/** Area under the ROC curve of one score; null unless both sides have rows. */
export function aucOf(scores: ArrayLike<number>, positive: (row: number) => boolean): number | null {
  return weightedAuc({ rows: scores.length, of: (row) => scores[row]! }, positive)();
}

/**
 * Area under the ROC curve for each class against all others, averaged over the classes that have rows. (Hand and Till's
 * one-against-the-rest alternative; scikit-learn's `multi_class="ovr", average="macro"`.) For two classes whose scores sum to 1, both areas
 * are the same.
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

/** Errors of predicted values. */
interface ValueFigures {
  n: number;
  /** Mean absolute error, in the units of the values. */
  mae: number;
  /** Root mean squared error. */
  rmse: number;
  /** Share of the values' variance that is predicted; null if the true values are all equal. */
  r2: number | null;
}

/** Errors of one predicted value per row; all 0 without rows. `weights` defines how often each row counts. */
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

/**
 * Expected calibration error: the difference between confidence and the share of correct predictions, averaged over equally wide bins
 * weighted by their rows. Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3, with 15 bins.
 * @param confidence of a row: the probability that the model assigned to its prediction, 0..1
 */
export function calibrationOf(
  rows: number,
  confidence: (row: number) => number,
  right: (row: number) => boolean,
  bins = 15,
): { error: number | null; bins: CalibrationBin[] } {
  const sums = Array.from({ length: bins }, () => ({ rows: 0, confidence: 0, right: 0 }));
  for (let row = 0; row < rows; row++) {
    const share = Math.min(1, Math.max(0, confidence(row)));
    // Bins exclude their lower end and include their upper end: a share of exactly 1/15 belongs to the first.
    const bin = sums[Math.max(0, Math.ceil(share * bins) - 1)]!;
    bin.rows += 1;
    bin.confidence += share;
    if (right(row)) bin.right += 1;
  }
  const filled = sums.map((sum, i) => ({
    low: i / bins,
    high: (i + 1) / bins,
    rows: sum.rows,
    confidence: sum.rows === 0 ? 0 : sum.confidence / sum.rows,
    accuracy: sum.rows === 0 ? 0 : sum.right / sum.rows,
  }));
  if (rows === 0) return { error: null, bins: filled };
  const error = filled.reduce((sum, bin) => sum + bin.rows * Math.abs(bin.accuracy - bin.confidence), 0);
  return { error: error / rows, bins: filled };
}

/**
 * Converts scores to probabilities that sum to 1. Returns them unchanged if they already do (a softmax), otherwise returns their softmax
 * (logits).
 * @param scores [rows × classes], row-major
 */
export function sharesOf(scores: ArrayLike<number>, classes: number): Float64Array {
  const share = shareOf(scores, classes);
  const shares = new Float64Array(scores.length);
  for (let i = 0; i < shares.length; i++) shares[i] = share(Math.floor(i / classes), i % classes);
  return shares;
}

/** Like `sharesOf`, but returns a function that computes the probability of one class of one row, so that the scores are not copied. */
export function shareOf(scores: ArrayLike<number>, classes: number): (row: number, c: number) => number {
  if (isDistribution(scores, classes)) return (row, c) => scores[row * classes + c]!;
  return (row, c) => {
    const start = row * classes;
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < classes; i++) most = Math.max(most, scores[start + i]!);
    let sum = 0;
    for (let i = 0; i < classes; i++) sum += Math.exp(scores[start + i]! - most);
    return Math.exp(scores[start + c]! - most) / sum;
  };
}

/** Whether each row sums to about 1. The tolerance allows for the rounding of int8 outputs, whose steps are 1/256. */
function isDistribution(values: ArrayLike<number>, classes: number): boolean {
  for (let start = 0; start < values.length; start += classes) {
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      const value = values[start + c]!;
      if (value < -1e-6 || value > 1 + 1e-6) return false;
      sum += value;
    }
    if (Math.abs(sum - 1) > 0.01 + classes / 512) return false;
  }
  return true;
}
