import { trainDiscriminant } from '../features/discriminant.js';
import { groupFolds } from '../features/folds.js';
import type { Recording } from '../types.js';

/**
 * How well the signal itself tells groups of labels apart, by the plainest of features: mean, deviation and mean step of each
 * field, and a linear discriminant, on recordings that it was not trained on. What metadata tells is to be held against it.
 * @returns accuracy, 0..1; null where a group is too small
 */
export function signalAccuracy(recordings: Recording[], isHigh: (label: string) => boolean): number | null {
  const classes = recordings.map(({ label }) => (isHigh(label!) ? 1 : 0));
  const high = classes.filter((c) => c === 1).length;
  const folds = Math.min(5, high, recordings.length - high);
  if (folds < 2) return null;
  const rows = recordings.map(({ columns }) => Float64Array.from(columns.flatMap(plainFeatures)));
  standardize(rows);
  const foldOf = groupFolds(
    recordings.map(({ id }) => id),
    classes,
    folds,
    7,
  );
  let right = 0;
  for (let fold = 0; fold < folds; fold++) {
    const train = [...rows.keys()].filter((i) => foldOf[i] !== fold);
    const probe = trainDiscriminant(
      train.map((i) => rows[i]!),
      train.map((i) => classes[i]!),
      2,
      0.2,
    );
    right += rows.filter((row, i) => foldOf[i] === fold && probe.classOf(row) === classes[i]).length;
  }
  return right / rows.length;
}

function plainFeatures(column: Float64Array): number[] {
  let sum = 0;
  let squares = 0;
  let steps = 0;
  for (let i = 0; i < column.length; i++) {
    sum += column[i]!;
    squares += column[i]! * column[i]!;
    if (i > 0) steps += Math.abs(column[i]! - column[i - 1]!);
  }
  const n = Math.max(1, column.length);
  const mean = sum / n;
  return [
    mean,
    Math.log(1e-9 + Math.sqrt(Math.max(0, squares / n - mean * mean))),
    Math.log(1e-9 + steps / n),
  ];
}

function standardize(rows: Float64Array[]): void {
  for (let f = 0; f < (rows[0]?.length ?? 0); f++) {
    const mean = rows.reduce((sum, row) => sum + row[f]!, 0) / rows.length;
    const deviation = Math.sqrt(rows.reduce((sum, row) => sum + (row[f]! - mean) ** 2, 0) / rows.length) || 1;
    for (const row of rows) row[f] = (row[f]! - mean) / deviation;
  }
}
