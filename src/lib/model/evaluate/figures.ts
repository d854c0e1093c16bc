import { macroAuc } from './auc.js';
import { type CalibrationBin, calibrationOf, shareOf } from './calibration.js';
import { bootstrapInterval } from './intervals.js';
import { type ClassFigures, classFigures, confusionOf, macroF1Of } from './metrics.js';
import { proportionOf } from './proportion.js';

export type Interval = [low: number, high: number];

/** All that is said of a classifier's answers to rows whose class is known. */
export interface Figures {
  n: number;
  accuracy: number;
  macroF1: number;
  /** Each class against the rest, averaged; null where only one class has rows. */
  auc: number | null;
  /** Groups that the rows belong to, such as recordings; null where each row stands for itself. */
  groups: number | null;
  /** 95 %, of the accuracy; see `proportionOf`. */
  interval: Interval;
  /** 95 %, by drawing whole groups again, within their classes; null with fewer than two groups, or without any error. */
  intervals: { macroF1: Interval | null; auc: Interval | null };
  /** Expected calibration error of the class named, 0..1. */
  calibrationError: number | null;
  calibration: CalibrationBin[];
  perClass: ClassFigures[];
  /** Rows = truth, columns = prediction. */
  confusion: number[][];
}

export interface Judged {
  /** Index of the class of each row. */
  truth: ArrayLike<number>;
  /** Index of the class that was named. */
  predicted: ArrayLike<number>;
  /** [rows × classes], row-major: the larger, the more likely. Shares or logits. */
  scores: ArrayLike<number>;
  classes: readonly string[];
  /** What the rows were drawn in, such as recordings; null = each by itself, within its class; absent = each by itself. */
  groups?: readonly string[] | null;
  /** False where nobody asks how certain the figures are: drawing again is what takes time. */
  resample?: boolean;
  seed?: number;
}

/** Figures of a classifier, one probability included (its scores are then [1 − p, p]). */
export function figuresOf(judged: Judged): Figures {
  const { truth, predicted, scores, classes, groups, seed, resample = true } = judged;
  const n = truth.length;
  const count = classes.length;
  const confusion = confusionOf(truth, predicted, count);
  const right = (row: number) => truth[row] === predicted[row];
  const accuracy = proportionOf(n, right, groups);
  const auc = macroAuc(truth, scores, count);
  const share = shareOf(scores, count);
  const calibration = calibrationOf(n, (row) => share(row, predicted[row]!), right);
  const interval = (statistic: (weights: Float64Array) => number | null) =>
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
      macroF1: interval((weights) => macroF1Of(confusionOf(truth, predicted, count, weights))),
      auc: interval(auc),
    },
    calibrationError: calibration.error,
    calibration: calibration.bins,
    perClass: classFigures(confusion, [...classes]),
    confusion,
  };
}
