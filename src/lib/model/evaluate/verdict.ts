import { AiotError } from '../../core/errors.js';
import {
  compareObjects,
  detectionsIn,
  emptyCounts,
  meanF1,
  type ObjectGrid,
  type ObjectPoint,
  ratesOf,
} from '../bundle/detections.js';
import type { Metrics } from '../bundle/types.js';
import { bestClasses } from '../vote.js';
import { bootstrapInterval, macroF1Interval, proportionOf } from './intervals.js';
import {
  aucOf,
  calibrationOf,
  classFigures,
  confusionOf,
  macroAuc,
  macroF1Of,
  shareOf,
  valueFigures,
} from './metrics.js';
import type { CostFigures, EvaluateResult, NetworkFigures, OutputKind, Verdict, Worst } from './result.js';

/** Rows with their true classes or values, and a network's outputs for them. */
export interface Answers {
  kind: OutputKind;
  /** [rows × width], row-major. */
  outputs: Float32Array | Float64Array;
  width: number;
  /** [rows × inputs]: the reference for a reconstruction; null = `outputs` are reconstruction errors, one per row. */
  inputs: Float32Array | null;
  /** Index of each row's class; ignored if the network predicts values. */
  truth: Int32Array;
  /** [rows × width]: the true values, if the network predicts values. */
  values?: ArrayLike<number>;
  /** Objects in each picture, if the network finds objects, and the layout of its output. */
  objects?: { truth: readonly (readonly ObjectPoint[])[]; layout: ObjectGrid } | undefined;
  /** Class names in the network's order; two for a probability and a reconstruction, none for values. */
  classes: readonly string[];
  /** Threshold for the second class: the minimum probability (0.5), or the reconstruction error that must be exceeded; null = unknown. */
  threshold: number | null;
  /**
   * Costs that the decision for a class minimizes: [true class × predicted class], row-major; absent = the class with the largest output is
   * predicted.
   */
  costs?: readonly number[] | undefined;
  /** Group of each row; whole groups are resampled. null = single rows are resampled within their class; absent = among all rows. */
  groups?: readonly string[] | null;
  /** False if no intervals are needed. */
  resample?: boolean;
}

const mostWorst = 10;

export function judge(answers: Answers): Verdict {
  switch (answers.kind) {
    case 'value':
      return judgeValues(answers);
    case 'reconstruction':
      return judgeReconstruction(answers);
    case 'objects':
      return judgeObjects(answers);
    default:
      return judgeClasses(answers);
  }
}

function judgeClasses({ kind, outputs, width, truth, threshold, ...rest }: Answers): Verdict {
  if (kind === 'classes') return named(truth, bestClasses(outputs, width, rest.costs), outputs, null, rest);
  const from = threshold ?? 0.5;
  return named(
    truth,
    classesOf(outputs, (p) => p >= from),
    twoSided(outputs),
    from,
    rest,
  );
}

/** Each row's mean squared error is its score: the larger the error, the more likely the second class (the anomaly). */
function judgeReconstruction({ outputs, inputs, width, truth, threshold, ...rest }: Answers): Verdict {
  const errors =
    inputs === null
      ? Float64Array.from(outputs)
      : reconstructionErrors(inputs, outputs as Float32Array, width);
  if (threshold === null) {
    const auc = aucOf(errors, (row) => truth[row] === 1);
    return { ...nothing, n: truth.length, groups: groupCount(rest.groups), auc, classes: [...rest.classes] };
  }
  const predicted = classesOf(errors, (error) => error > threshold);
  // An error is not a probability: only its rank and its side of the threshold are meaningful.
  const scores = twoSided(errors.map((error) => error / (error + threshold || 1)));
  return { ...named(truth, predicted, scores, threshold, rest), calibrationError: null, calibration: [] };
}

function named(
  truth: Int32Array,
  predicted: Int32Array,
  scores: ArrayLike<number>,
  threshold: number | null,
  { classes, groups, resample }: Pick<Answers, 'classes' | 'groups' | 'resample'>,
): Verdict {
  const figures = figuresOf({ truth, predicted, scores, classes, groups, resample });
  const worst = worstRows(truth, predicted, scores, classes);
  return { ...nothing, ...figures, classes: [...classes], threshold, predicted, worst };
}

function judgeValues({ outputs, width, values = [], groups, resample = true }: Answers): Verdict {
  const rows = outputs.length / width;
  const errorOf = (i: number) => outputs[i]! - values[i]!;
  const mae = (weights: Float64Array) =>
    valueFigures(values, outputs, width === 1 ? weights : repeated(weights, width)).mae;
  return {
    ...nothing,
    ...valueFigures(values, outputs),
    n: rows,
    groups: groupCount(groups),
    interval: resample ? bootstrapInterval(rows, groups ?? undefined, mae) : null,
    worst: largest(outputs.length, (i) => Math.abs(errorOf(i))).map((i) => ({
      row: Math.floor(i / width) + 1,
      truth: String(Number(values[i]!.toPrecision(6))),
      predicted: String(Number(outputs[i]!.toPrecision(6))),
      score: errorOf(i),
    })),
  };
}

/**
 * Metrics of the objects found in pictures. `accuracy` is the share of pictures in which all objects were found without other detections.
 * `mae` and `rmse` are the errors of the number of objects in a picture.
 */
function judgeObjects({ outputs, width, objects, classes, threshold, groups }: Answers): Verdict {
  const counts = emptyCounts(classes.length);
  const rows = outputs.length / width;
  const right: boolean[] = [];
  const errors: number[] = [];
  const worst: Worst[] = [];
  for (let row = 0; row < rows; row++) {
    const { truth, layout } = objects!;
    const own = truth[row]!;
    const found = detectionsIn(outputs.subarray(row * width, (row + 1) * width), layout, threshold ?? 0.5);
    right.push(compareObjects(found, own, layout, counts));
    errors.push(found.length - own.length);
    if (right[row]) continue;
    const text = (list: readonly { class: number }[]) => objectsText(list, classes);
    worst.push({ row: row + 1, truth: text(own), predicted: text(found), score: found.length - own.length });
  }
  const { share, interval, groups: units } = proportionOf(rows, (row) => right[row]!, groups);
  const mean = (of: (error: number) => number) =>
    rows === 0 ? 0 : errors.reduce((sum, error) => sum + of(error), 0) / rows;
  return {
    ...nothing,
    ...{ n: rows, groups: units, accuracy: share, interval, macroF1: meanF1(counts) },
    mae: mean(Math.abs),
    rmse: Math.sqrt(mean((error) => error * error)),
    classes: [...classes],
    threshold,
    perClass: counts.map((own, c) => ({
      class: classes[c]!,
      support: own.hits + own.misses,
      ...ratesOf(own),
    })),
    worst: worst.sort((a, b) => Math.abs(b.score) - Math.abs(a.score)).slice(0, mostWorst),
  };
}

/** Number of objects of each class, such as `2 nut, 1 bolt`. */
function objectsText(list: readonly { class: number }[], classes: readonly string[]): string {
  const counts = classes.map((name, c) => [list.filter((one) => one.class === c).length, name] as const);
  const shown = counts.filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`);
  return shown.length === 0 ? 'none' : shown.join(', ');
}

/**
 * Mean cost of the predictions, with a 95 % interval from resampling whole groups of rows.
 * @param costs [true class × predicted class], row-major
 */
export function costFigures(
  { outputs, width, truth, groups }: Pick<Answers, 'outputs' | 'width' | 'truth' | 'groups'>,
  costs: readonly number[],
): CostFigures {
  const rows = truth.length;
  const costOf = (predicted: Int32Array) =>
    Float64Array.from(predicted, (index, row) => costs[truth[row]! * width + index]!);
  const own = costOf(bestClasses(outputs, width, costs));
  const mean = (values: Float64Array, weights?: Float64Array) => {
    let [sum, total] = [0, 0];
    for (let row = 0; row < rows; row++) {
      const weight = weights?.[row] ?? 1;
      sum += weight * values[row]!;
      total += weight;
    }
    return total === 0 ? 0 : sum / total;
  };
  return {
    mean: mean(own),
    interval: bootstrapInterval(rows, groups ?? undefined, (weights) => mean(own, weights)),
    likeliest: mean(costOf(bestClasses(outputs, width))),
  };
}

/** Number of distinct groups; null if all rows are independent. */
function groupCount(groups: readonly string[] | null | undefined): number | null {
  if (!groups) return null;
  const count = new Set(groups).size;
  return count === groups.length ? null : count;
}

/** Mean squared difference between each row's outputs and its inputs. */
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

/** The verdict for rows without labels, which has no metrics. */
export function unjudged(rows: number): Verdict {
  return { ...nothing, n: rows };
}

const nothing: Verdict = {
  n: 0,
  groups: null,
  accuracy: null,
  macroF1: null,
  auc: null,
  interval: null,
  intervals: { macroF1: null, auc: null },
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

function repeated(weights: Float64Array, width: number): Float64Array {
  return Float64Array.from({ length: weights.length * width }, (_, i) => weights[Math.floor(i / width)]!);
}

/** Incorrectly predicted rows, those with the smallest scores for the true class first. */
function worstRows(
  truth: Int32Array,
  predicted: Int32Array,
  scores: ArrayLike<number>,
  classes: readonly string[],
): Worst[] {
  const scoreOf = (row: number) => scores[row * classes.length + truth[row]!]!;
  const wrong = (row: number) => (truth[row] === predicted[row] ? null : -scoreOf(row));
  return largest(truth.length, wrong).map((row) => ({
    row: row + 1,
    truth: classes[truth[row]!]!,
    predicted: classes[predicted[row]!]!,
    score: scoreOf(row),
  }));
}

/** Indices of the largest values, largest first, ties in index order. Null values are skipped. */
function largest(count: number, sizeOf: (place: number) => number | null): number[] {
  const found: { place: number; size: number }[] = [];
  for (let place = 0; place < count; place++) {
    const size = sizeOf(place);
    if (size === null || (found.length === mostWorst && size <= found[mostWorst - 1]!.size)) continue;
    let at = found.length;
    while (at > 0 && found[at - 1]!.size < size) at--;
    found.splice(at, 0, { place, size });
    found.length = Math.min(found.length, mostWorst);
  }
  return found.map(({ place }) => place);
}

/** The class of each score: 1 if it belongs to the second class, otherwise 0. */
function classesOf(scores: ArrayLike<number>, isSecond: (score: number) => boolean): Int32Array {
  const classes = new Int32Array(scores.length);
  for (let row = 0; row < classes.length; row++) classes[row] = Number(isSecond(scores[row]!));
  return classes;
}

interface Judged {
  /** Index of each row's class. */
  truth: ArrayLike<number>;
  /** Index of each row's predicted class. */
  predicted: ArrayLike<number>;
  /** [rows × classes], row-major: the larger, the more likely the class. Probabilities or logits. */
  scores: ArrayLike<number>;
  classes: readonly string[];
  /**
   * Group of each row (such as its recording); whole groups are resampled. null = single rows are resampled within their class; absent =
   * among all rows.
   */
  groups?: readonly string[] | null;
  /** False if no intervals are needed. Resampling is the slow part. */
  resample?: boolean;
  seed?: number;
}

/**
 * A classifier's metrics on rows with a known class. A single probability is accepted as the scores [1 − p, p]. AUC is null if only one
 * class has rows; intervals of macro-F1 and AUC are null with fewer than two groups, or without any errors.
 */
export function figuresOf(judged: Judged) {
  const { truth, predicted, scores, classes, groups, seed, resample = true } = judged;
  const n = truth.length;
  const count = classes.length;
  const weighted = (weights?: Float64Array) => confusionOf(truth, predicted, count, weights);
  const confusion = weighted();
  const right = (row: number) => truth[row] === predicted[row];
  const accuracy = proportionOf(n, right, groups);
  const auc = macroAuc(truth, scores, count);
  const share = shareOf(scores, count);
  const calibration = calibrationOf(n, (row) => share(row, predicted[row]!), right);
  const interval = (statistic: (weights: Float64Array) => number | null): [number, number] | null =>
    resample
      ? bootstrapInterval(n, groups ?? undefined, statistic, {
          seed,
          strata: groups === undefined ? undefined : truth,
        })
      : null;
  return {
    n,
    groups: accuracy.groups,
    accuracy: accuracy.share,
    macroF1: macroF1Of(confusion),
    auc: auc(),
    interval: accuracy.interval,
    intervals: {
      macroF1:
        resample && groups
          ? macroF1Interval(n, { groups, accuracy }, weighted, macroF1Of, { seed, strata: truth })
          : interval((weights) => macroF1Of(weighted(weights))),
      auc: interval(auc),
    },
    calibrationError: calibration.error,
    calibration: calibration.bins,
    perClass: classFigures(confusion, [...classes]),
    confusion,
  };
}

/** Metrics of a classifier that runs on devices; none is null. */
interface ClassifierFigures {
  float: Metrics;
  int8: Metrics;
  voted: Metrics;
  arenaBytes: number;
}

/** @throws AIOT_MODEL_UNFIT if the network does not predict classes, or a device cannot run it */
export function classifierFigures({ float, int8, voted, arenaBytes }: EvaluateResult): ClassifierFigures {
  return {
    float: metrics(float),
    int8: metrics(int8),
    voted: metrics(voted ?? int8),
    arenaBytes: arenaBytes ?? unfit('TFLite Micro does not support it'),
  };
}

function metrics({ windows, accuracy, macroF1, confusion }: NetworkFigures): Metrics {
  if (accuracy === undefined || macroF1 === undefined || confusion === undefined)
    return unfit('it has no class names');
  return { windows, accuracy, macroF1, confusion };
}

function unfit(reason: string): never {
  throw new AiotError('AIOT_MODEL_UNFIT', `expected a classifier for devices: ${reason}`);
}
