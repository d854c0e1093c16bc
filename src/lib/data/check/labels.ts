import { percent } from '../../core/figures.js';
import { trainDiscriminant } from '../features/discriminant.js';
import type { Dataset, Finding, Recording } from '../types.js';

/** Minimum number of recordings per label for comparing other recordings with it, and minimum number of labeled recordings in total. */
const leastOfLabel = 3;

const leastRecordings = 10;

/**
 * Minimum share of the other recordings that are closest to their own label. If the share is lower, the labels are simply hard to
 * distinguish.
 */
const leastAccuracy = 0.8;

/** Minimum margin by which the other label must be closer, as a share of the usual margin between the two labels. */
const leastMargin = 0.65;

/**
 * Recordings are typical of a label up to this multiple of the largest squared distance among the label's recordings. Beyond that, they are
 * far from the label.
 */
const mostDistance = 1.5;

/** Strong shrinkage of the covariance, because few recordings do not determine correlations well. */
const shrinkage = 0.5;

/**
 * Finds recordings that look like another label. Each recording is compared with the centers of all labels, calculated from the other
 * recordings (leave one out; linear discriminant on level, spread, pace and correlation). A label is questioned only if most other
 * recordings are closest to their own label. The recording must also be far from its own label, and typical of the other label.
 */
export function checkLabels({ recordings, fields }: Dataset): Finding[] {
  const counts = new Map<string, number>();
  for (const { label } of recordings) if (label !== null) counts.set(label, (counts.get(label) ?? 0) + 1);
  const names = [...counts].filter(([, count]) => count >= leastOfLabel).map(([name]) => name);
  const known = recordings.filter(
    ({ label, columns }) => label !== null && names.includes(label) && (columns[0]?.length ?? 0) >= 16,
  );
  if (names.length < 2 || known.length < leastRecordings) return [];
  const rows = standardized(known.map(({ columns }) => figuresOf(columns)));
  if (rows[0]!.length === 0 || fields.length === 0) return [];
  const classes = known.map(({ label }) => names.indexOf(label!));
  const all = [...known.keys()];
  const usualMargins = (judged: Judged[], from: number[], own: number, other: number) => {
    const peers = from.filter((j) => classes[j] === other && judged[j]!.closest === other);
    const margins = peers
      .map((j) => judged[j]!.distances[own]! - judged[j]!.distances[other]!)
      .sort((a, b) => a - b);
    return { peers, margin: margins[margins.length >> 1] ?? Number.POSITIVE_INFINITY };
  };
  const isFar = (judged: Judged[], from: number[], i: number) => {
    const { closest, distances } = judged[i]!;
    const own = classes[i]!;
    if (closest === own) return false;
    return (
      distances[own]! - distances[closest]! >= leastMargin * usualMargins(judged, from, own, closest).margin
    );
  };
  // Wrong labels distort the centers and deviations, so both are recalculated without the suspects.
  const first = all.map((i) => judge(rows, classes, names.length, all, i));
  const suspects = all.filter((i) => isFar(first, all, i));
  if (suspects.length === 0) return [];
  const trusted = all.filter((i) => !suspects.includes(i));
  const again = all.map((i) => judge(rows, classes, names.length, trusted, i));
  const right = trusted.filter((i) => again[i]!.closest === classes[i]).length;
  if (right < leastAccuracy * all.length) return [];
  return suspects.flatMap((i): Finding[] => {
    if (!isFar(again, trusted, i) || isOfDevice(i, known, suspects)) return [];
    const { closest, distances } = again[i]!;
    const own = classes[i]!;
    const { peers, margin: usualMargin } = usualMargins(again, trusted, own, closest);
    const farthest = Math.max(...peers.map((j) => again[j]!.distances[closest]!));
    const likeOwn = trusted.filter((j) => classes[j] === own).map((j) => again[j]!.distances[own]!);
    if (peers.length < leastOfLabel - 1 || distances[closest]! > mostDistance * farthest) return [];
    if (distances[own]! < mostDistance * Math.max(...likeOwn)) return [];
    const margin = distances[own]! - distances[closest]!;
    return [
      labelFinding(known[i]!, names[closest]!, { margin, usualMargin, accuracy: right / trusted.length }),
    ];
  });
}

/**
 * Whether most of the device's recordings with this label are suspect. If so, the device or its location differs, rather than the label.
 */
function isOfDevice(i: number, known: Recording[], doubtful: number[]): boolean {
  const { device, label } = known[i]!;
  if (device === null) return false;
  const own = [...known.keys()].filter((j) => known[j]!.device === device && known[j]!.label === label);
  return own.length > 1 && own.filter((j) => doubtful.includes(j)).length > own.length / 2;
}

function labelFinding(
  { id, label }: Recording,
  other: string,
  { margin, usualMargin, accuracy }: { margin: number; usualMargin: number; accuracy: number },
): Finding {
  return {
    kind: 'label',
    severity: 'warning',
    confidence: margin > usualMargin ? 'likely' : 'possible',
    files: [id],
    evidence: { method: 'other recordings', label, closest: other, margin, usualMargin, accuracy },
    message: `${id} has the label ${label} but looks like ${other}: by the other recordings it is far from ${label} and typical for ${other} (${percent(accuracy)} of the others are closest to their own label).`,
    advice:
      'Look at the recording. Correct its label with aiot data label, or remove it with aiot data remove.',
  };
}

/** The index of the closest label, and the squared distance from the center of each label. */
interface Judged {
  closest: number;
  distances: number[];
}

/** A recording's squared distances from the centers of all labels, which are calculated without that recording. */
function judge(rows: Float64Array[], classes: number[], count: number, from: number[], i: number): Judged {
  const others = from.filter((j) => j !== i);
  const probe = trainDiscriminant(
    others.map((j) => rows[j]!),
    others.map((j) => classes[j]!),
    count,
    shrinkage,
  );
  const distances = Array.from({ length: count }, (_, c) => probe.distanceOf(rows[i]!, c));
  return { closest: distances.indexOf(Math.min(...distances)), distances };
}

/** Level (unless omitted), spread, step and pace of each field, and the correlations between fields. */
export function figuresOf(columns: Float64Array[], withLevels = true): number[] {
  const moments = columns.map(momentsOf);
  const figures = moments.flatMap(({ mean, deviation, step, turns }) => [
    ...(withLevels ? [mean] : []),
    Math.log(deviation + 1e-9),
    Math.log(step + 1e-9),
    turns,
  ]);
  for (let a = 0; a < Math.min(columns.length, 6); a++) {
    for (let b = 0; b < a; b++) {
      const scale = moments[a]!.deviation * moments[b]!.deviation;
      let sum = 0;
      for (let i = 0; i < columns[a]!.length; i++)
        sum += (columns[a]![i]! - moments[a]!.mean) * (columns[b]![i]! - moments[b]!.mean);
      figures.push(scale > 0 ? sum / columns[a]!.length / scale : 0);
    }
  }
  return figures;
}

/** Mean, deviation, mean step, and the logarithm of how often the smoothed signal crosses its mean (`turns`). */
function momentsOf(column: Float64Array): { mean: number; deviation: number; step: number; turns: number } {
  const n = column.length;
  let [sum, squares, steps] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    sum += column[i]!;
    squares += column[i]! ** 2;
    if (i > 0) steps += Math.abs(column[i]! - column[i - 1]!);
  }
  const mean = sum / n;
  let [crossings, before] = [0, 0];
  for (let i = 2; i + 2 < n; i++) {
    const smooth =
      (column[i - 2]! + column[i - 1]! + column[i]! + column[i + 1]! + column[i + 2]!) / 5 - mean;
    if (smooth * before < 0) crossings++;
    if (smooth !== 0) before = smooth;
  }
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, squares / n - mean * mean)),
    step: steps / n,
    turns: Math.log((crossings + 1) / n),
  };
}

/** Columns in units of their deviation; columns that do not vary are omitted. */
function standardized(rows: number[][]): Float64Array[] {
  const columns = rows[0]!.map((_, c) => {
    const values = rows.map((row) => row[c]!);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    return { c, mean, deviation };
  });
  const varying = columns.filter(({ deviation, mean }) => deviation > 1e-9 * (1 + Math.abs(mean)));
  return rows.map((row) =>
    Float64Array.from(varying, ({ c, mean, deviation }) => (row[c]! - mean) / deviation),
  );
}
