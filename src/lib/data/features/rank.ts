import { AiotError } from '../../core/errors.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import { type Discriminant, groupFolds, trainDiscriminant } from './discriminant.js';
import type { FeatureTable } from './table.js';

interface RankedFeature {
  name: string;
  /** Mutual information between the label and the feature, divided into ten equally filled bins, in bits. */
  information: number;
  /** One-way ANOVA over the means of whole recordings: variance between the labels divided by variance within them. */
  f: number;
  /** Accuracy lost on held-out recordings if the feature's values are permuted among the windows. */
  importance: number;
}

export interface Ranking {
  /** Most informative first. */
  features: RankedFeature[];
  /** Accuracy of the probe (linear discriminant analysis) on held-out recordings, 0..1. */
  accuracy: number;
  folds: number;
  labels: string[];
}

const bins = 10;

/**
 * Ranks features by their information about the label, using three measures. Each recording is in one fold only, so that the probe cannot
 * recognize it. Deterministic for a seed.
 * @throws AIOT_DATA_ONE_CLASS, AIOT_DATA_TOO_FEW (a label with one recording)
 */
export function rankFeatures(table: FeatureTable, seed = 7): Ranking {
  const { labels, classes, groups, rows } = labelledRows(table);
  if (labels.length < 2) {
    throw new AiotError(
      'AIOT_DATA_ONE_CLASS',
      `expected windows with at least two labels to rank features, got ${labels.join(', ') || 'none'}`,
      { next: 'Specify several recordings and the source of their labels: --label-from name.' },
    );
  }
  const folds = foldCount(groups, classes, labels);
  const { accuracy, losses } = permutationImportance(
    rows,
    classes,
    labels.length,
    groupFolds(groups, classes, folds, seed),
    seed,
  );
  const features = table.names.map((name, f) => {
    const values = Float64Array.from(rows, (row) => row[f]!);
    return {
      name,
      information: mutualInformation(values, classes, labels.length),
      f: anovaOfMeans(values, groups, classes, labels.length),
      importance: losses[f]!,
    };
  });
  features.sort((a, b) => b.information - a.information || b.f - a.f || (a.name < b.name ? -1 : 1));
  return { features, accuracy, folds, labels };
}

/**
 * Accuracy of the probe on held-out recordings, 0..1: how well a linear model separates the labels. Rows without a label are ignored.
 * @throws AIOT_DATA_TOO_FEW (a label with one recording)
 */
export function separability(table: FeatureTable, seed = 7): number {
  let right = 0;
  let all = 0;
  for (const hits of hitsByRecording(table, seed).values()) {
    right += hits.right;
    all += hits.all;
  }
  return right / all;
}

/**
 * For each recording, the number of windows that the probe classifies correctly, and the number of all windows. The probe is trained on
 * other recordings. Rows without a label are ignored.
 * @throws AIOT_DATA_TOO_FEW (a label with one recording)
 */
export function hitsByRecording(table: FeatureTable, seed = 7): Map<string, { right: number; all: number }> {
  const { rows, classes, groups, labels } = labelledRows(table);
  const folds = foldCount(groups, classes, labels);
  const hits = new Map(groups.map((group) => [group, { right: 0, all: 0 }]));
  for (const { probe, test } of probes(
    rows,
    classes,
    labels.length,
    groupFolds(groups, classes, folds, seed),
  )) {
    for (const i of test) {
      const own = hits.get(groups[i]!)!;
      own.all++;
      if (probe.classOf(rows[i]!) === classes[i]) own.right++;
    }
  }
  return hits;
}

function labelledRows(table: FeatureTable) {
  const labels = [...new Set(table.labels)].filter((label) => label !== null).sort();
  const keep = table.labels.flatMap((label, i) => (label === null ? [] : [i]));
  return {
    labels,
    classes: keep.map((i) => labels.indexOf(table.labels[i]!)),
    groups: keep.map((i) => table.recordings[i]!),
    rows: keep.length === 0 ? [] : standardized(keep.map((i) => table.rows[i]!)),
  };
}

/** For each fold, a probe trained on the other folds, and the rows of this fold. */
function* probes(
  rows: Float64Array[],
  classes: number[],
  count: number,
  foldOf: Int32Array,
): Generator<{ probe: Discriminant; test: number[] }> {
  for (const fold of [...new Set(foldOf)].sort((a, b) => a - b)) {
    const train = [...foldOf.keys()].filter((i) => foldOf[i] !== fold);
    const test = [...foldOf.keys()].filter((i) => foldOf[i] === fold);
    const probe = trainDiscriminant(
      train.map((i) => rows[i]!),
      train.map((i) => classes[i]!),
      count,
    );
    yield { probe, test };
  }
}

/** Number of folds: at most five, and at most the number of recordings of the rarest label. */
function foldCount(groups: string[], classes: number[], labels: string[]): number {
  const counts = labels.map((_, c) => new Set(groups.filter((_group, i) => classes[i] === c)).size);
  const least = Math.min(...counts);
  if (least >= 2) return Math.min(5, least);
  throw new AiotError(
    'AIOT_DATA_TOO_FEW',
    `label ${labels[counts.indexOf(least)]}: expected at least 2 recordings, so that features are ranked on recordings outside the training set; got ${least}`,
  );
}

function standardized(rows: Float64Array[]): Float64Array[] {
  const size = rows[0]!.length;
  const out = rows.map((row) => Float64Array.from(row));
  for (let f = 0; f < size; f++) {
    let sum = 0;
    for (const row of out) sum += row[f]!;
    const mean = sum / out.length;
    let squares = 0;
    for (const row of out) squares += (row[f]! - mean) ** 2;
    const deviation = Math.sqrt(squares / out.length);
    for (const row of out) row[f] = deviation > 1e-12 ? (row[f]! - mean) / deviation : 0;
  }
  return out;
}

function permutationImportance(
  rows: Float64Array[],
  classes: number[],
  count: number,
  foldOf: Int32Array,
  seed: number,
): { accuracy: number; losses: Float64Array } {
  const random = seededRandom(seed + 1);
  const size = rows[0]!.length;
  const lost = new Float64Array(size);
  let right = 0;
  for (const { probe, test } of probes(rows, classes, count, foldOf)) {
    const correct = test.filter((i) => probe.classOf(rows[i]!) === classes[i]).length;
    right += correct;
    const work = new Float64Array(size);
    for (let f = 0; f < size; f++) {
      const order = shuffled(test, random);
      let still = 0;
      test.forEach((i, t) => {
        work.set(rows[i]!);
        work[f] = rows[order[t]!]![f]!;
        if (probe.classOf(work) === classes[i]) still++;
      });
      lost[f]! += correct - still;
    }
  }
  return { accuracy: right / rows.length, losses: lost.map((count) => count / rows.length) };
}

/** Σ p(b, c) · log2(p(b, c) / (p(b) · p(c))); equal values share a bin. */
export function mutualInformation(values: Float64Array, classes: ArrayLike<number>, count: number): number {
  const n = values.length;
  const sorted = Float64Array.from(values).sort();
  const edges = Array.from({ length: bins - 1 }, (_, b) => sorted[Math.floor(((b + 1) * n) / bins)]!);
  const joint = new Float64Array(bins * count);
  for (let i = 0; i < n; i++) {
    let bin = 0;
    while (bin < bins - 1 && values[i]! >= edges[bin]!) bin++;
    joint[bin * count + classes[i]!]!++;
  }
  let bits = 0;
  for (let b = 0; b < bins; b++) {
    const ofBin = joint.subarray(b * count, (b + 1) * count).reduce((sum, x) => sum + x, 0);
    for (let c = 0; c < count; c++) {
      const both = joint[b * count + c]!;
      if (both === 0) continue;
      let ofClass = 0;
      for (let other = 0; other < bins; other++) ofClass += joint[other * count + c]!;
      bits += (both / n) * Math.log2((both * n) / (ofBin * ofClass));
    }
  }
  return Math.max(0, bits);
}

/** F statistic over the means of whole recordings, because windows of one recording are not independent samples. 0 if nothing varies. */
export function anovaOfMeans(
  values: Float64Array,
  groups: string[],
  classes: ArrayLike<number>,
  count: number,
): number {
  const sums = new Map<string, { sum: number; n: number; class: number }>();
  for (let i = 0; i < values.length; i++) {
    const own = sums.get(groups[i]!) ?? { sum: 0, n: 0, class: classes[i]! };
    own.sum += values[i]!;
    own.n++;
    sums.set(groups[i]!, own);
  }
  const means = [...sums.values()].map(({ sum, n, class: c }) => ({ mean: sum / n, class: c }));
  const whole = means.reduce((sum, { mean }) => sum + mean, 0) / means.length;
  let between = 0;
  let within = 0;
  for (let c = 0; c < count; c++) {
    const own = means.filter((mean) => mean.class === c);
    const middle = own.reduce((sum, { mean }) => sum + mean, 0) / Math.max(1, own.length);
    between += own.length * (middle - whole) ** 2;
    for (const { mean } of own) within += (mean - middle) ** 2;
  }
  if (between <= 0) return 0;
  const degrees = means.length - count;
  return degrees > 0 && within > 0 ? between / (count - 1) / (within / degrees) : Number.MAX_VALUE;
}
