import { aucOf } from './auc.js';
import { type Figures, figuresOf } from './figures.js';
import { bootstrapInterval } from './intervals.js';
import { mapLabels, valuesOfLabels } from './labels.js';
import { argMaxRows } from './metrics.js';
import type { OutputKind } from './output-kind.js';
import { valueFigures } from './values.js';

/** Rows with what the network made of them. */
export interface Answers {
  kind: OutputKind;
  /** [rows × outputs], row-major. */
  outputs: Float32Array;
  width: number;
  /** [rows × inputs]: what a reconstruction is compared with. */
  inputs: Float32Array;
  labels: readonly string[];
  /** Names of the classes, when somebody said them. */
  names: readonly string[] | null;
  /** From which probability or reconstruction error on a row is of the second class; null = 0.5, or not known. */
  threshold: number | null;
  groups?: readonly string[];
}

export interface Worst {
  row: number;
  truth: string;
  predicted: string;
  score: number;
}

/** What labelled rows say of a network; what its kind of output does not have is null. */
export interface Verdict extends Omit<Figures, 'accuracy' | 'macroF1' | 'interval'> {
  accuracy: number | null;
  macroF1: number | null;
  interval: [number, number] | null;
  mae: number | null;
  rmse: number | null;
  r2: number | null;
  classes: string[];
  threshold: number | null;
  worst: Worst[];
  notes: string[];
  /** Index of the true and of the named class of each row; null where there are none. */
  truth: Int32Array | null;
  predicted: Int32Array | null;
}

const mostWorst = 10;

/** @throws AIOT_LABELS_UNFIT */
export function judge(answers: Answers): Verdict {
  if (answers.kind === 'value') return judgeValue(answers);
  if (answers.kind === 'reconstruction') return judgeReconstruction(answers);
  const { kind, outputs, width, labels, names, groups } = answers;
  const threshold = kind === 'probability' ? (answers.threshold ?? 0.5) : null;
  const count = kind === 'probability' ? 2 : width;
  const { classes, truth, note } = mapLabels(labels, count, names);
  const scores = kind === 'probability' ? twoSided(outputs) : outputs;
  const predicted =
    threshold === null ? argMaxRows(outputs, width) : Int32Array.from(outputs, (p) => Number(p >= threshold));
  const figures = figuresOf({ truth, predicted, scores, classes, groups });
  const backwards =
    kind === 'probability' && note !== null && figures.auc !== null && figures.auc < 0.5
      ? [
          `the probability is smaller for ${classes[1]} than for ${classes[0]}: are they the other way round? --classes ${classes[1]},${classes[0]}`,
        ]
      : [];
  return {
    ...nothing,
    ...figures,
    classes,
    threshold,
    truth,
    predicted,
    worst: worstRows(truth, predicted, scores, classes),
    notes: note === null ? [] : [note, ...backwards],
  };
}

function judgeValue({ outputs, labels, groups }: Answers): Verdict {
  const truth = valuesOfLabels(labels);
  const figures = valueFigures(truth, outputs);
  const errors = Array.from(truth, (value, row) => ({ row, error: outputs[row]! - value }));
  errors.sort((a, b) => Math.abs(b.error) - Math.abs(a.error));
  return {
    ...nothing,
    ...figures,
    interval: bootstrapInterval(truth.length, groups, (weights) => valueFigures(truth, outputs, weights).mae),
    worst: errors.slice(0, mostWorst).map(({ row, error }) => ({
      row: row + 1,
      truth: labels[row]!,
      predicted: outputs[row]!.toPrecision(6),
      score: error,
    })),
  };
}

/** Each row's mean squared error is its score: the larger, the more of the second class, the anomaly. */
function judgeReconstruction({ outputs, inputs, width, labels, names, threshold, groups }: Answers): Verdict {
  const errors = reconstructionErrors(inputs, outputs, width);
  const { classes, truth, note } = mapLabels(labels, 2, names);
  const notes = note === null ? [] : [note];
  if (threshold === null) {
    const auc = aucOf(errors, (row) => truth[row] === 1);
    return {
      ...nothing,
      n: labels.length,
      auc,
      classes,
      truth,
      notes: [...notes, 'no accuracy without --threshold'],
    };
  }
  const predicted = Int32Array.from(errors, (error) => Number(error >= threshold));
  // An error is no probability: only its order and its side of the threshold say something.
  const scores = twoSided(errors.map((error) => error / (error + threshold || 1)));
  const figures = figuresOf({ truth, predicted, scores, classes, groups });
  return {
    ...nothing,
    ...figures,
    calibrationError: null,
    calibration: [],
    classes,
    threshold,
    truth,
    predicted,
    worst: worstRows(truth, predicted, scores, classes),
    notes,
  };
}

/** Mean squared difference of each row's outputs from its inputs. */
export function reconstructionErrors(
  inputs: Float32Array,
  outputs: Float32Array,
  width: number,
): Float64Array {
  return Float64Array.from({ length: outputs.length / width }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += (outputs[i]! - inputs[i]!) ** 2;
    return sum / width;
  });
}

/** What is said of rows without labels: nothing. */
export function unjudged(rows: number): Verdict {
  return { ...nothing, n: rows };
}

const nothing: Verdict = {
  n: 0,
  accuracy: null,
  macroF1: null,
  auc: null,
  interval: null,
  intervals: { accuracy: null, macroF1: null, auc: null },
  calibrationError: null,
  calibration: [],
  perClass: [],
  confusion: [],
  mae: null,
  rmse: null,
  r2: null,
  classes: [],
  threshold: null,
  worst: [],
  notes: [],
  truth: null,
  predicted: null,
};

/** One probability as the scores of two classes. */
function twoSided(probabilities: ArrayLike<number>): Float64Array {
  const scores = new Float64Array(2 * probabilities.length);
  for (let row = 0; row < probabilities.length; row++) {
    scores[2 * row] = 1 - probabilities[row]!;
    scores[2 * row + 1] = probabilities[row]!;
  }
  return scores;
}

/** Wrong rows whose true class got the smallest score. */
function worstRows(
  truth: Int32Array,
  predicted: Int32Array,
  scores: ArrayLike<number>,
  classes: readonly string[],
): Worst[] {
  const scoreOf = (row: number) => scores[row * classes.length + truth[row]!]!;
  return Array.from(truth, (_, row) => row)
    .filter((row) => truth[row] !== predicted[row])
    .sort((a, b) => scoreOf(a) - scoreOf(b) || a - b)
    .slice(0, mostWorst)
    .map((row) => ({
      row: row + 1,
      truth: classes[truth[row]!]!,
      predicted: classes[predicted[row]!]!,
      score: scoreOf(row),
    }));
}
