import type { Metrics } from '../bundle/types.js';

export { aucOf, macroAuc } from './auc.js';
export { calibrationOf, sharesOf } from './calibration.js';
export { bootstrapInterval, quantile } from './intervals.js';
export { type PairedDifference, pairedDifference } from './paired.js';
export { type Proportion, proportionOf } from './proportion.js';
export { type ValueFigures, valueFigures } from './values.js';

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
