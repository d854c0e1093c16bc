import { percent } from '../../core/figures.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import type { SignalSpec } from '../../signal/spec.js';
import { groupFolds, trainDiscriminant } from '../features/discriminant.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { removalAdvice, removesRepeats, repeatShare } from './recordings.js';
import { listIds } from './report.js';

/** Minimum accuracy of the probe at which a property is reported as a shortcut. */
const leastAccuracy = 0.9;

/** Maximum share of label permutations that may reach the probe's accuracy. */
const mostChance = 0.05;

/** A property of recordings that a model could learn instead of the signal. */
interface Property {
  by: string;
  told: Told | null;
  /**
   * Where the property is visible. `in windows`: a model can see the property; `around`: the property depends on the place or time of the
   * recording; `outside`: windows do not contain it.
   */
  seen: 'in windows' | 'around' | 'outside';
  sentence: (told: Told) => string;
  advice: string;
  /** Whether the project's signal part removes the property. */
  removed: boolean;
}

/**
 * Finds labels that can be predicted without the signal: from the recording method, the device, the day or the length. Each prediction's
 * accuracy is compared with the accuracy for permuted labels. Repeats need no such comparison, because only the recording method causes
 * them.
 * @param project whether the dataset belongs to a project, which trains on windows; properties not visible in windows are then only remarks
 */
export function checkShortcuts(dataset: Dataset, spec: SignalSpec, project: boolean): Finding[] {
  const labelled = dataset.recordings.filter(({ label }) => label !== null);
  const labels = labelled.map(({ label }) => label!);
  if (new Set(labels).size < 2) return [];
  const known = labelled.map(metadataOf);
  return properties(known, labels, spec)
    .filter(
      ({ told, by }) => told && told.accuracy >= leastAccuracy && (by === 'repeats' || told.p <= mostChance),
    )
    .map((property) => findingOf(property, labelled, project));
}

function properties(known: Metadata[], labels: string[], spec: SignalSpec): Property[] {
  const numbers = (name: 'repeats' | 'interpolated') => known.map((one) => one[name]);
  const meanOf = (values: number[], names: string[]) => {
    const own = values.filter((_, i) => names.includes(labels[i]!));
    return own.reduce((sum, value) => sum + value, 0) / own.length;
  };
  const repeats = numbers('repeats');
  const interpolated = numbers('interpolated');
  const lengths = known.map(({ length }) => Math.log10(Math.max(1, length)));
  const category = (name: 'device' | 'day') => known.map((one) => one[name] ?? '');
  return [
    {
      by: 'repeats',
      told: toldByNumber(repeats, labels, 0.05),
      seen: 'in windows',
      sentence: ({ high, low }) =>
        `${percent(meanOf(repeats, high))} of the rows of ${listIds(high)} repeat the row before, but ${percent(meanOf(repeats, low))} of ${listIds(low)}. A model could learn this difference instead of the signal.`,
      advice: removalAdvice(known, spec),
      removed: removesRepeats(known, spec),
    },
    {
      by: 'interpolation',
      told: toldByNumber(interpolated, labels, 0.1),
      seen: 'in windows',
      sentence: ({ high, low }) =>
        `Interpolated rows give the label away: in ${listIds(high)} every ${ordinal(meanOf(interpolated, high))} row lies exactly between its neighbors, but in ${listIds(low)} none does. The two were recorded at different rates.`,
      advice: 'Bring all recordings to the lowest rate: set signal.lowpass and signal.resample.',
      removed: spec.lowpassHz !== null && spec.resampleHz <= 0.5 * spec.rateHz,
    },
    {
      by: 'resolution',
      told: toldByRounding(known, labels),
      seen: 'in windows',
      sentence: ({ high, low }) =>
        `The rounding of the values gives the label away: in most fields, ${listIds(high)} have a different step size than ${listIds(low)}. The two were recorded in different ways.`,
      advice:
        'Record all labels with the same sensor and settings. A low-pass filter (signal.lowpass) smooths out the steps.',
      removed: spec.lowpassHz !== null,
    },
    {
      by: 'device',
      told: known.every(({ device }) => device !== null) ? toldByCategory(category('device'), labels) : null,
      seen: 'around',
      sentence: ({ high, low }) =>
        `The device gives the label away: ${listIds(high)} and ${listIds(low)} come from different devices. A model may distinguish the devices instead of what they measured.`,
      advice: 'Record every label on several devices.',
      removed: false,
    },
    {
      by: 'day',
      told: known.every(({ day }) => day !== null) ? toldByCategory(category('day'), labels) : null,
      seen: 'around',
      sentence: ({ high, low }) =>
        `The day gives the label away: ${listIds(high)} and ${listIds(low)} were recorded on different days, so any other difference between the days also identifies the label.`,
      advice: 'Record every label on several days.',
      removed: false,
    },
    {
      by: 'length',
      told: toldByNumber(lengths, labels, 0.05),
      seen: 'outside',
      sentence: ({ high, low }) =>
        `The length of the file gives the label away: recordings of ${listIds(high)} are longer than those of ${listIds(low)}.`,
      advice:
        'Windows do not reveal this, but the labels were recorded on different occasions: look for other differences.',
      removed: false,
    },
  ];
}

function ordinal(share: number): string {
  return share > 0.4 ? 'second' : 'few';
}

function findingOf(
  { by, told, seen, sentence, advice, removed }: Property,
  labelled: Recording[],
  project: boolean,
): Finding {
  const { high, low, accuracy, chance, p } = told!;
  const signal = signalAccuracy(labelled, (label) => high.includes(label));
  const severities = {
    'in windows': removed ? 'warning' : 'error',
    around: by === 'device' ? 'error' : 'warning',
    outside: project ? 'info' : 'warning',
  } as const;
  const count = (share: number) => Math.round(share * labelled.length);
  const ofSignal = signal === null ? '' : `; the signal's mean, deviation and step do so in ${count(signal)}`;
  const figures = `(This alone distinguishes the two groups of labels in ${count(accuracy)} of ${labelled.length} recordings${ofSignal}.)`;
  return {
    kind: 'shortcut',
    severity: severities[seen],
    files: labelled.filter(({ label }) => high.includes(label!)).map(({ id }) => id),
    evidence: { by, accuracy, chance, p, signal, high, low },
    message: `${sentence(told!)} ${figures}`,
    advice,
  };
}

/** Properties of a recording that do not depend on the recorded activity or state. */
interface Metadata {
  /** Samples. */
  length: number;
  /** Share of rows that repeat the previous row. */
  repeats: number;
  /** Share of rows exactly midway between their neighbors, as a result of interpolation. */
  interpolated: number;
  /** For each field, the step of which all values are multiples: 0 if there is none, null if the values do not change. */
  grids: (number | null)[];
  device: string | null;
  /** Date in UTC, YYYY-MM-DD. */
  day: string | null;
}

/** Number of rows that are examined for properties that are constant throughout a recording. */
const someRows = 4000;

function metadataOf(recording: Recording): Metadata {
  const { columns, device, startedAt } = recording;
  return {
    length: columns[0]?.length ?? 0,
    repeats: repeatShare(columns),
    interpolated: interpolatedShare(columns),
    grids: columns.map((column) => (column.every((value) => value === column[0]) ? null : gridOf(column))),
    device,
    day: startedAt === null ? null : new Date(startedAt).toISOString().slice(0, 10),
  };
}

/** Share of the rows with movement in which every field is the mean of its neighbors to within rounding. */
function interpolatedShare(columns: Float64Array[]): number {
  const n = Math.min(columns[0]?.length ?? 0, someRows);
  const grids = columns.map(gridOf);
  let moving = 0;
  let between = 0;
  for (let i = 1; i + 1 < n; i++) {
    let moves = false;
    let straight = true;
    for (let f = 0; f < columns.length; f++) {
      const column = columns[f]!;
      const step = Math.abs(column[i + 1]! - column[i - 1]!);
      // Coarsely quantized values are often midway between their neighbors if the field hardly moves. Only larger steps count as movement.
      if (step > 20 * grids[f]!) moves = true;
      const off = Math.abs(column[i]! - (column[i + 1]! + column[i - 1]!) / 2);
      if (off > 1.01 * grids[f]! + 1e-6 * step + 1e-12 * Math.abs(column[i]!)) straight = false;
    }
    if (!moves) continue;
    moving++;
    if (straight) between++;
  }
  return moving > 0 ? between / moving : 0;
}

/**
 * Separates the labels by the step size of their values, if the step sizes of more than half of the fields separate the labels. A different
 * way of recording rounds all fields. A single field may take few values for other reasons, such as the temperature of an idle machine.
 */
function toldByRounding(known: Metadata[], labels: string[]): Told | null {
  const fields = (known[0]?.grids ?? []).map((_, field) => {
    const steps = known.map(({ grids }) => grids[field] ?? null);
    if (steps.includes(null)) return null;
    const sizes = steps.map((step) => (step! > 0 ? Math.round(10 * Math.log10(step!)) / 10 : 0));
    const own = toldByNumber(sizes, labels, 0.25);
    return own && own.accuracy >= leastAccuracy && own.p <= mostChance ? own : null;
  });
  const telling = fields.filter((own) => own !== null);
  return telling.length > fields.length / 2 ? telling[0]! : null;
}

/** Smallest difference between two values, if 99 of 100 values are multiples of it; otherwise 0. */
function gridOf(column: Float64Array): number {
  const sorted = Float64Array.from(column.subarray(0, someRows)).sort();
  let step = Number.POSITIVE_INFINITY;
  for (let i = 1; i < sorted.length; i++) {
    const gap = sorted[i]! - sorted[i - 1]!;
    if (gap > 1e-9 && gap < step) step = gap;
  }
  if (!Number.isFinite(step)) return 0;
  let fit = 0;
  for (const value of sorted) {
    const turns = (value - sorted[0]!) / step;
    if (Math.abs(turns - Math.round(turns)) < 0.01) fit++;
  }
  return fit >= 0.99 * sorted.length ? step : 0;
}

/** How well one property of recordings separates their labels. */
interface Told {
  /** Labels on the side of higher values, or of the first group of categories; then the other labels. */
  high: string[];
  low: string[];
  /** Share of recordings that are on their label's side. */
  accuracy: number;
  /** Mean accuracy over many permutations of the labels, and the share of permutations that were at least as accurate. */
  chance: number;
  p: number;
}

const deals = 199;

/**
 * Separates the labels into two groups by a threshold in the widest gap between the values.
 * @param values one per recording @param labels one per recording
 * @param leastGap minimum width of the gap; otherwise there is no separation
 */
function toldByNumber(values: number[], labels: string[], leastGap: number): Told | null {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  let gap = 0;
  let threshold = 0;
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i]! - sorted[i - 1]! <= gap) continue;
    gap = sorted[i]! - sorted[i - 1]!;
    threshold = (sorted[i]! + sorted[i - 1]!) / 2;
  }
  if (gap < leastGap) return null;
  const above = values.map((value) => value > threshold);
  return told(labels, (dealt) => byMajority(dealt, above));
}

/** Separates the labels into groups that share no category, such as a device. */
function toldByCategory(categories: string[], labels: string[]): Told | null {
  if (new Set(categories).size < 2) return null;
  return told(labels, (dealt) => byComponents(dealt, categories));
}

interface Parted {
  high: string[];
  low: string[];
  accuracy: number;
}

function told(labels: string[], part: (labels: string[]) => Parted | null): Told | null {
  const own = part(labels);
  if (!own) return null;
  const random = seededRandom(11);
  let sum = 0;
  let asGood = 0;
  for (let deal = 0; deal < deals; deal++) {
    const accuracy = part(shuffled(labels, random))?.accuracy ?? 0;
    sum += accuracy;
    if (accuracy >= own.accuracy) asGood++;
  }
  return { ...own, chance: sum / deals, p: (asGood + 1) / (deals + 1) };
}

function byMajority(labels: string[], above: boolean[]): Parted | null {
  const names = [...new Set(labels)].sort();
  const isHigh = (name: string) => {
    const own = above.filter((_, i) => labels[i] === name);
    return own.filter(Boolean).length * 2 > own.length;
  };
  const high = names.filter(isHigh);
  const low = names.filter((name) => !high.includes(name));
  if (high.length === 0 || low.length === 0) return null;
  const right = labels.filter((label, i) => above[i] === high.includes(label)).length;
  return { high, low, accuracy: right / labels.length };
}

/** Puts two labels into one group if at least a tenth of each label's recordings have the same category. */
function byComponents(labels: string[], categories: string[]): Parted | null {
  const names = [...new Set(labels)].sort();
  const counts = new Map<string, Map<string, number>>();
  const totals = new Map<string, number>();
  labels.forEach((label, i) => {
    const own = counts.get(label) ?? new Map<string, number>();
    own.set(categories[i]!, (own.get(categories[i]!) ?? 0) + 1);
    counts.set(label, own);
    totals.set(label, (totals.get(label) ?? 0) + 1);
  });
  const used = (label: string) =>
    [...counts.get(label)!].filter(([, count]) => count >= 0.1 * totals.get(label)!).map(([name]) => name);
  const high = new Set([names[0]!]);
  const reached = new Set(used(names[0]!));
  for (let grown = true; grown; ) {
    grown = false;
    for (const name of names) {
      if (high.has(name) || !used(name).some((category) => reached.has(category))) continue;
      high.add(name);
      for (const category of used(name)) reached.add(category);
      grown = true;
    }
  }
  if (high.size === names.length) return null;
  const right = labels.filter((label, i) => reached.has(categories[i]!) === high.has(label)).length;
  return {
    high: [...high].sort(),
    low: names.filter((name) => !high.has(name)),
    accuracy: right / labels.length,
  };
}

/**
 * Accuracy with which the signal itself separates groups of labels, on held-out recordings. It uses the simplest features (mean, deviation
 * and mean step of each field) and a linear discriminant. This is the baseline for the accuracy from metadata.
 * @returns accuracy, 0..1; null if a group is too small
 */
function signalAccuracy(recordings: Recording[], isHigh: (label: string) => boolean): number | null {
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
