import { percent, plural } from '../../core/figures.js';
import { quantile } from '../../core/numbers.js';
import { trainDiscriminant } from '../features/discriminant.js';
import type { Finding } from '../types.js';
import { figureText } from './profiles.js';
import { listIds } from './report.js';
import { duplicates } from './roles.js';

/** All rows of the checked tables, column by column. */
export interface Rows {
  files: string[];
  names: string[];
  columns: Float64Array[];
  /** Label of each row; null if some rows have none. */
  labels: string[] | null;
  count: number;
  /** First row of each file. */
  begins: number[];
}

/** Maximum number of rows for rules whose run time grows with the number of column pairs or classes. */
const mostRows = 3000;

const leastRows = 30;

/** Evenly spaced rows, in order. */
function sample(rows: Rows): Rows {
  if (rows.count <= mostRows) return rows;
  const at = Array.from({ length: mostRows }, (_, i) => Math.floor((i * rows.count) / mostRows));
  return {
    ...rows,
    columns: rows.columns.map((column) => Float64Array.from(at, (i) => column[i]!)),
    labels: rows.labels && at.map((i) => rows.labels![i]!),
    count: mostRows,
  };
}

/**
 * Names of columns that identify a device, a person or an occasion, alone or followed by `id`, `no` and the like; and names of key columns.
 */
const deviceName =
  /^(device|machine|board|node|station|subject|person|patient|participant|user|operator|rig|logger|module|gateway|batch|lot|session|trial|take|file|site)([_ -]?(id|no|nr|num|number|code|name|serial|key))?$|^(sensor|unit|probe)[_ -]?(id|no|nr|num|number|code|serial)$/i;

const keyName = /(^|[_ -])(id|uid|uuid|guid|key|serial|sn|mac|imei)$/i;

/** Minimum share of distinct values in a key column. */
const leastDifferent = 0.98;

/** Whole numbers without repetitions count as keys if at least this many repetitions would be expected at random. */
const leastRepetitions = 15;

/** Minimum number of values in a column that identifies devices, and maximum number of blocks of consecutive rows per value. */
const leastDevices = 4;

const blocksPerDevice = 1.5;

/** Finds columns that identify rows, times or devices instead of measuring something. */
export function checkIdentifiers({ files, names, columns, count, begins }: Rows): Finding[] {
  if (count < leastRows) return [];
  return columns.flatMap((column, c): Finding[] => {
    const role = roleOf(names[c]!, column, count, begins);
    if (!role) return [];
    const { what, why, confidence } = role;
    return [
      {
        kind: 'identifier',
        severity: 'warning',
        confidence,
        files,
        evidence: { column: names[c]!, role: what },
        message: `${names[c]} is ${what}, not a measurement: ${why}.`,
        advice:
          what === "a device's number"
            ? 'Rename the column to device, which keeps the rows of one device on one side of a split, or omit it.'
            : 'Omit the column: a model would learn when and where a row was recorded.',
      },
    ];
  });
}

function roleOf(
  name: string,
  column: Float64Array,
  count: number,
  begins: number[],
): { what: string; why: string; confidence: 'certain' | 'likely' | 'possible' } | null {
  const sorted = Float64Array.from(column).sort();
  const [low, high] = [sorted[0]!, sorted.at(-1)!];
  let different = 1;
  for (let i = 1; i < count; i++) if (sorted[i] !== sorted[i - 1]) different++;
  if (different < 2) return null;
  const whole = column.every(Number.isInteger);
  if (whole && different === count && high - low < 1.05 * count)
    return {
      what: 'a row number',
      why: `every whole number from ${low} to ${high} occurs once`,
      confidence: 'certain',
    };
  let falls = 0;
  let changes = 0;
  for (let i = 1; i < count; i++) {
    if (begins.includes(i)) continue;
    if (column[i]! < column[i - 1]!) falls++;
    if (column[i] !== column[i - 1]) changes++;
  }
  if (falls === 0 && different > 0.3 * count)
    return {
      what: 'a row number, a key or a time',
      why: 'it grows from row to row throughout',
      confidence: 'certain',
    };
  if (!whole) return null;
  const unique = different >= leastDifferent * count;
  if (unique && keyName.test(name))
    return {
      what: 'a key',
      why: `nearly all of its ${different} values are different`,
      confidence: 'likely',
    };
  if (different >= 0.999 * count && repetitionsExpected(sorted) >= leastRepetitions)
    return {
      what: 'a key',
      why: 'no value repeats, although measured values so close together would',
      confidence: 'likely',
    };
  if (different <= Math.max(50, count / 10)) {
    if (deviceName.test(name) || keyName.test(name))
      return {
        what: "a device's number",
        why: `its name says so, and it has only ${different} values`,
        confidence: 'likely',
      };
    if (different >= leastDevices && different <= count / 5 && changes + 1 <= blocksPerDevice * different)
      return {
        what: "a device's number",
        why: `each of its ${different} values is in one block of consecutive rows`,
        confidence: 'possible',
      };
  }
  return null;
}

/** Number of equal pairs expected at random for whole numbers with the same density as these values. */
function repetitionsExpected(sorted: Float64Array): number {
  const reach = 10;
  let sum = 0;
  for (let i = 0; i < sorted.length; i++) {
    const [from, to] = [Math.max(0, i - reach), Math.min(sorted.length - 1, i + reach)];
    sum += (to - from) / Math.max(1, sorted[to]! - sorted[from]!);
  }
  return sum / 2;
}

/** Finds columns with the same content as another column, in the same or another unit. */
export function checkSameColumns(all: Rows): Finding[] {
  const { columns, names, files, count } = sample(all);
  if (count < leastRows) return [];
  return duplicates(columns).map(([a, b, exact]) => ({
    kind: 'duplicate',
    severity: 'warning',
    confidence: exact ? 'certain' : 'likely',
    files,
    evidence: { column: names[b]!, of: names[a]!, exact },
    message: `${names[b]} has the same values as ${names[a]}${exact ? '' : ' in another unit'}.`,
    advice: 'Omit one of them: it contains no further information.',
  }));
}

/**
 * Minimum distance of an outlier from the median, relative to the outermost 2.5 % of values on the same side (5.9 standard deviations for
 * normal values).
 */
const timesTail = 3;

/** Minimum gap between an outlier and the other values, as a share of the outlier's distance from the median. */
const leastSeparation = 0.75;

/** Maximum share of outliers. More such values are a second population. */
const mostOutliers = 0.02;

/** Minimum number of outliers, because a single value may be a real event. */
const leastOutliers = 2;

/** Minimum number of repetitions at which an extreme value is a code for missing values. */
const leastRepeats = 4;

/** Minimum frequency of a code, relative to half the average frequency of the other values. */
const timesOthers = 10;

/**
 * Finds values far from all others in the column, and codes for missing values. Distributions with heavy tails are checked on a logarithmic
 * scale.
 */
export function checkOutliers({ files, names, columns, count }: Rows): Finding[] {
  if (count < leastRows) return [];
  return columns.flatMap((column, c): Finding[] => {
    const sorted = Float64Array.from(column).sort();
    const found = [codeAt(sorted, 'low'), codeAt(sorted, 'high'), farOut(sorted)].filter(
      (one) => one !== null,
    );
    if (found.length === 0) return [];
    const isOut = (value: number) => found.some(({ low, high }) => value < low || value > high);
    const rows = [...column.keys()].filter((i) => isOut(column[i]!));
    if (rows.length < leastOutliers) return [];
    const values = [...new Set(rows.map((i) => column[i]!))];
    const inside = [...sorted].filter((value) => !isOut(value));
    const code =
      values.length === 1 && rows.length >= leastRepeats ? ', probably a code for a missing value' : '';
    return [
      {
        kind: 'outliers',
        severity: 'warning',
        confidence: found.some(({ certain }) => certain) ? 'likely' : 'possible',
        files,
        evidence: {
          column: names[c]!,
          values: values.slice(0, 20),
          rows: rows.slice(0, 20).map((i) => i + 1),
          count: rows.length,
        },
        message: `${plural(rows.length, 'value')} of ${names[c]} ${rows.length === 1 ? 'is' : 'are'} far from the others${code}: ${listIds(values.map(figureText), 5)} in ${listIds(
          rows.map((i) => `row ${i + 1}`),
          5,
        )}; all others are within ${figureText(inside[0]!)}…${figureText(inside.at(-1)!)}.`,
        advice: 'Correct or remove these rows: a few extreme values determine the scale of the input.',
      },
    ];
  });
}

/** Values below `low` and above `high` are outliers. */
interface Bounds {
  low: number;
  high: number;
  certain: boolean;
}

/** Bounds that exclude an end value if it repeats, its neighbors do not, and a gap separates it from all others. */
function codeAt(sorted: Float64Array, end: 'low' | 'high'): Bounds | null {
  const values =
    end === 'low' ? sorted : Float64Array.from(sorted, (_, i) => -sorted[sorted.length - 1 - i]!);
  const n = values.length;
  let repeats = 1;
  while (repeats < n && values[repeats] === values[0]) repeats++;
  if (repeats < leastRepeats || repeats > 0.2 * n) return null;
  const rest = values.subarray(repeats);
  const different = new Set(rest).size;
  const gap = rest[0]! - values[0]!;
  const middle = quantile(rest, 0.5);
  const width = middle - quantile(rest, 0.025);
  if (
    different <= 5 ||
    repeats < (timesOthers * rest.length) / different / 2 ||
    gap < 0.3 * width ||
    gap <= 0
  )
    return null;
  const separate =
    gap >
    3 *
      quantile(Float64Array.from({ length: 20 }, (_, i) => (rest[i + 1] ?? rest[0]!) - rest[i]!).sort(), 0.9);
  if (!separate) return null;
  const bound = values[0]! + gap / 2;
  return end === 'low'
    ? { low: bound, high: Number.POSITIVE_INFINITY, certain: gap > width }
    : { low: Number.NEGATIVE_INFINITY, high: -bound, certain: gap > width };
}

function farOut(sorted: Float64Array): Bounds | null {
  if (new Set(sorted).size <= 5) return null;
  const plain = beyond(sorted);
  if (!plain) return null;
  // Positive quantities may have heavy tails. On a logarithmic scale, their largest values are often not outliers.
  const inside = sorted.filter((value) => value >= plain.low && value <= plain.high);
  if (inside[0]! <= 0) return plain;
  const positive = sorted.filter((value) => value > 0);
  const logs = beyond(positive.map(Math.log));
  const low =
    positive.length < sorted.length && plain.low > Number.NEGATIVE_INFINITY
      ? Math.max(plain.low, 0)
      : Number.NEGATIVE_INFINITY;
  const bounds = {
    low:
      logs && logs.low > Number.NEGATIVE_INFINITY
        ? Math.min(plain.low, Math.exp(logs.low))
        : Math.min(low, plain.low),
    high:
      logs && logs.high < Number.POSITIVE_INFINITY
        ? Math.max(plain.high, Math.exp(logs.high))
        : Number.POSITIVE_INFINITY,
    certain: true,
  };
  return bounds.low === Number.NEGATIVE_INFINITY && bounds.high === Number.POSITIVE_INFINITY ? null : bounds;
}

/** Bounds in the gaps between the values and the outliers on either side; null if there are no outliers. */
function beyond(sorted: Float64Array): Bounds | null {
  const n = sorted.length;
  const middle = quantile(sorted, 0.5);
  const sides = [middle - quantile(sorted, 0.025), quantile(sorted, 0.975) - middle];
  const widths = sides.map((side) => side || Math.max(...sides));
  if (widths[0] === 0) return null;
  const bounds: Bounds = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, certain: true };
  const most = Math.max(1, Math.floor(mostOutliers * n));
  for (let i = 0; i < most; i++) {
    const [gapLow, gapHigh] = [sorted[i + 1]! - sorted[i]!, sorted[n - 1 - i]! - sorted[n - 2 - i]!];
    if (middle - sorted[i]! > timesTail * widths[0]! && gapLow > leastSeparation * widths[0]!)
      bounds.low = (sorted[i]! + sorted[i + 1]!) / 2;
    if (sorted[n - 1 - i]! - middle > timesTail * widths[1]! && gapHigh > leastSeparation * widths[1]!)
      bounds.high = (sorted[n - 1 - i]! + sorted[n - 2 - i]!) / 2;
  }
  return bounds.low === Number.NEGATIVE_INFINITY && bounds.high === Number.POSITIVE_INFINITY ? null : bounds;
}

/** Minimum accuracy, averaged over classes, at which a column counts as the label with errors or noise. */
const leastAccuracy = 0.9;

/**
 * Minimum accuracy for a label with added noise, because noise rarely crosses the threshold between two labels. Sensors are less accurate.
 */
const leastWithNoise = 0.97;

/** If a column's accuracy is at least this high, it is suspect even if the other columns predict equally well. */
const nearlyPerfect = 0.99;

/** Maximum error rate of the column, relative to that of all other columns together. */
const mostErrors = 0.4;

/** Maximum ratio between the spreads within classes, for a noisy copy of the label. Noise has the same spread in all classes. */
const mostSpreadRatio = 1.3;

/** Maximum correlation of the noise with another column within a class, in standard errors. */
const correlationErrors = 4.5;

const mostClasses = 20;

/** Minimum share of the target's variance that is explained by a column that is the target with noise. */
const leastExplained = 0.99;

/** Maximum variance that a column leaves unexplained, as a share of the variance that all other columns together leave unexplained. */
const mostUnexplained = 0.25;

/**
 * Finds columns that are the label with noise or errors: they predict it nearly perfectly, and their noise is not correlated with any other
 * column. A good sensor also predicts the label, but varies with the load and the surroundings, like the other sensors.
 * @param known columns that are known to be the label
 */
export function checkNoisyLabels(all: Rows, known: readonly string[]): Finding[] {
  const rows = sample(all);
  const { labels, count } = rows;
  if (!labels || count < leastRows) return [];
  const names = [...new Set(labels)];
  const values = labels.map(Number);
  if (names.length > mostClasses && values.every(Number.isFinite))
    return valueColumns(rows, Float64Array.from(values));
  if (names.length < 2 || names.length > mostClasses) return [];
  const classes = Int32Array.from(labels, (label) => names.indexOf(label));
  const sizes = names.map((_, k) => classes.filter((own) => own === k).length);
  if (Math.min(...sizes) < 8) return [];
  const standard = rows.columns.map(standardized);
  return rows.names.flatMap((name, c): Finding[] => {
    if (known.includes(name)) return [];
    const accuracy = accuracyOf(rows.columns[c]!, classes, names.length);
    if (accuracy < leastAccuracy) return [];
    const others = standard.filter((column, o) => o !== c && column.some((value) => value !== 0));
    const codes = new Set(rows.columns[c]!).size;
    const independent = isIndependent(standard[c]!, others, classes, names.length);
    const rest = jointAccuracy(others, classes, names.length);
    const coded = codes === names.length;
    const noisy =
      accuracy >= leastWithNoise && independent && haveEqualSpreads(rows.columns[c]!, classes, names.length);
    const better = 1 - accuracy <= mostErrors * (1 - rest);
    if (!(coded && independent) && !(noisy && (better || accuracy >= nearlyPerfect))) return [];
    return [
      {
        kind: 'shortcut',
        severity: better ? 'error' : 'warning',
        confidence: better ? 'likely' : 'possible',
        files: rows.files,
        evidence: { by: 'column', columns: [name], accuracy, others: rest, labels: names.length },
        message: `${name} seems to be the label with ${coded ? 'a few errors' : 'noise'}: it alone predicts ${percent(accuracy)} of the rows, all other columns together ${percent(rest)}, and within a label it is independent of them.`,
        advice: 'Omit the column if its value is unknown at run time. A measured quantity can stay.',
      },
    ];
  });
}

/** Like `checkNoisyLabels`, for labels that are values to predict instead of classes. */
function valueColumns({ files, names, columns }: Rows, values: Float64Array): Finding[] {
  const target = standardized(values);
  const standard = columns.map(standardized);
  return names.flatMap((name, c): Finding[] => {
    const own = correlation(standard[c]!, target) ** 2;
    if (own < leastExplained) return [];
    const rest = explained(
      standard.filter((column, o) => o !== c && column.some((value) => value !== 0)),
      target,
    );
    if (1 - own > mostUnexplained * (1 - rest)) return [];
    return [
      {
        kind: 'shortcut',
        severity: 'error',
        confidence: 'likely',
        files,
        evidence: { by: 'column', columns: [name], explained: own, others: rest },
        message: `${name} seems to be the value to predict: it alone explains ${percent(own)} of its variance, all other columns together ${percent(rest)}.`,
        advice: 'Omit the column if its value is unknown at run time. A measured quantity can stay.',
      },
    ];
  });
}

function standardized(column: Float64Array): Float64Array {
  const n = column.length;
  let mean = 0;
  for (const value of column) mean += value / n;
  let squares = 0;
  for (const value of column) squares += (value - mean) ** 2;
  const deviation = Math.sqrt(squares / n);
  return column.map((value) => (deviation > 0 ? (value - mean) / deviation : 0));
}

function correlation(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum / a.length;
}

/**
 * Accuracy of predicting the majority label in up to 40 ranges of one column, learned on odd rows and tested on even rows, and vice versa;
 * mean over the classes.
 */
function accuracyOf(column: Float64Array, classes: Int32Array, kinds: number): number {
  const sorted = Float64Array.from(column).sort();
  const bins = Math.min(40, Math.max(kinds, Math.floor(column.length / 15)));
  const edges = [
    ...new Set(
      Array.from({ length: bins - 1 }, (_, b) => sorted[Math.floor(((b + 1) * column.length) / bins)]!),
    ),
  ];
  const bin = Int32Array.from(column, (value) => {
    let [low, high] = [0, edges.length];
    while (low < high) {
      const half = (low + high) >> 1;
      if (value >= edges[half]!) low = half + 1;
      else high = half;
    }
    return low;
  });
  const right = new Float64Array(kinds);
  const total = new Float64Array(kinds);
  for (const side of [0, 1]) {
    const counts = Array.from({ length: edges.length + 1 }, () => new Float64Array(kinds));
    for (let i = side; i < column.length; i += 2) counts[bin[i]!]![classes[i]!]!++;
    const majority = counts.map((own) => own.indexOf(Math.max(...own)));
    for (let i = 1 - side; i < column.length; i += 2) {
      total[classes[i]!]!++;
      if (majority[bin[i]!] === classes[i]) right[classes[i]!]!++;
    }
  }
  return [...right].reduce((sum, value, k) => sum + value / Math.max(1, total[k]!), 0) / kinds;
}

/** Accuracy of a linear discriminant on several columns, on held-out rows; mean over classes. */
function jointAccuracy(columns: Float64Array[], classes: Int32Array, kinds: number): number {
  if (columns.length === 0) return 1 / kinds;
  const rows = Array.from({ length: classes.length }, (_, i) =>
    Float64Array.from(columns, (column) => column[i]!),
  );
  const right = new Float64Array(kinds);
  const total = new Float64Array(kinds);
  for (const side of [0, 1]) {
    const from = [...rows.keys()].filter((i) => i % 2 === side);
    const probe = trainDiscriminant(
      from.map((i) => rows[i]!),
      from.map((i) => classes[i]!),
      kinds,
    );
    for (let i = 1 - side; i < rows.length; i += 2) {
      total[classes[i]!]!++;
      if (probe.classOf(rows[i]!) === classes[i]) right[classes[i]!]!++;
    }
  }
  return [...right].reduce((sum, value, k) => sum + value / Math.max(1, total[k]!), 0) / kinds;
}

/** The column after each class's mean is subtracted. */
function withinClasses(column: Float64Array, classes: Int32Array, kinds: number): Float64Array {
  const sums = new Float64Array(kinds);
  const counts = new Float64Array(kinds);
  column.forEach((value, i) => {
    sums[classes[i]!]! += value;
    counts[classes[i]!]!++;
  });
  return column.map((value, i) => value - sums[classes[i]!]! / counts[classes[i]!]!);
}

function isIndependent(
  column: Float64Array,
  others: Float64Array[],
  classes: Int32Array,
  kinds: number,
): boolean {
  const own = standardized(withinClasses(column, classes, kinds));
  const most = correlationErrors / Math.sqrt(column.length);
  // Noise does not depend on the previous row; a slowly varying quantity does.
  let follows = 0;
  for (let i = 1; i < own.length; i++) follows += own[i]! * own[i - 1]!;
  if (Math.abs(follows) / own.length > most) return false;
  return others.every(
    (other) => Math.abs(correlation(own, standardized(withinClasses(other, classes, kinds)))) <= most,
  );
}

function haveEqualSpreads(column: Float64Array, classes: Int32Array, kinds: number): boolean {
  const squares = new Float64Array(kinds);
  const counts = new Float64Array(kinds);
  withinClasses(column, classes, kinds).forEach((value, i) => {
    squares[classes[i]!]! += value * value;
    counts[classes[i]!]!++;
  });
  const spreads = [...squares].map((sum, k) => Math.sqrt(sum / counts[k]!));
  // The spread of a class with n rows has a relative uncertainty of 1/√(2n).
  const slack = 1 + 3 / Math.sqrt(2 * Math.min(...counts));
  return Math.max(...spreads) <= Math.max(mostSpreadRatio, slack) * Math.min(...spreads);
}

/** Share of the variance that columns explain together, by least squares (Gauss–Seidel on the normal equations; 0 without columns). */
function explained(columns: Float64Array[], target: Float64Array): number {
  const weights = columns.map(() => 0);
  const residual = Float64Array.from(target);
  for (let round = 0; round < 200; round++) {
    let most = 0;
    columns.forEach((column, c) => {
      const change = correlation(column, residual);
      weights[c]! += change;
      most = Math.max(most, Math.abs(change));
      for (let i = 0; i < residual.length; i++) residual[i]! -= change * column[i]!;
    });
    if (most < 1e-6) break;
  }
  return 1 - correlation(residual, residual);
}
