import { quantile } from '../../core/numbers.js';
import type { Dataset, Finding, Recording, Split } from '../types.js';
import { figuresOf } from './labels.js';
import { usual } from './profiles.js';

/** Maximum pause between two parts of one take, in seconds, because a recorder needs a moment to open the next file. */
const pauseSeconds = 2;

/** Order of the linear prediction across a joint, and number of predicted samples in the second recording. */
const order = 12;

/** Maximum mean squared prediction error at a joint, relative to the usual error. With a larger error, the signal does not continue. */
const mostError = 3;

/** Maximum number of joints in the whole dataset that are expected to fit as well at random. */
const mostChance = 0.01;

/** Smallest probability that a message states. */
const leastChance = 0.001;

/**
 * Exponent of the power law for the probability of small errors, per field. The sum of n independent squared errors has the exponent n / 2.
 * This exponent is lower, because a sensor's axes are not quite independent.
 */
const exponentPerField = 0.4;

/** Maximum number of recordings per label. If there are more, they are usually windows cut from a few takes, which other checks find. */
const mostOfLabel = 60;

/** Minimum median error of a field at joints of unrelated recordings. Fields with smaller errors do not distinguish joints. */
const leastTelling = 2;

/** Minimum number of joints between other recordings of the label. These joints show how well unrelated recordings fit. */
const leastJoints = 10;

/**
 * Finds recordings on two sides of a split that are consecutive parts of one take. The model is then trained on the test recording's
 * person, mounting and machine state. If start times are known, they must match, and without a pause the signal must continue.
 * Otherwise the end of one recording must predict the beginning of the other (linear prediction, Burg 1975; Box and Jenkins). The
 * prediction must be as good as within one recording, and much better than for all other pairs. @param loose whether another program made
 * the split
 */
export function checkJoints(dataset: Dataset, split: Split | undefined, loose: boolean): Finding[] {
  if (!split || split.by === 'window') return [];
  const sides = new Map<string, string>();
  for (const side of ['train', 'validation', 'test'] as const)
    for (const id of split[side]) sides.set(id, side);
  const known = dataset.recordings.filter(({ id }) => sides.has(id));
  const apart = (a: Recording, b: Recording) => (sides.get(a.id) === 'test') !== (sides.get(b.id) === 'test');
  return [...timedJoints(known, apart, loose), ...signalJoints(known, apart)];
}

function timedJoints(
  recordings: Recording[],
  apart: (a: Recording, b: Recording) => boolean,
  loose: boolean,
): Finding[] {
  const timed = recordings
    .filter(({ startedAt }) => startedAt !== null)
    .sort((a, b) => a.startedAt! - b.startedAt!);
  const pairs = timed.flatMap((first) => {
    const end = first.startedAt! + (1000 * (first.columns[0]?.length ?? 0)) / first.rateHz;
    return timed.flatMap((second) => {
      if (second === first || !isOneTake(first, second) || !apart(first, second)) return [];
      const pause = (second.startedAt! - end) / 1000;
      const direct = 2 / first.rateHz;
      // Overlapping times indicate a replay, because a device records one take at a time.
      if (pause < -direct || pause > Math.max(pauseSeconds, direct)) return [];
      // Without a pause, the signal must continue. Otherwise, they are separate takes, one of which was sent right after the other.
      if (pause < direct && errorsAt(first, second, first.columns.map(fit)).error > mostError) return [];
      return [{ first, second, pause }];
    });
  });
  if (pairs.length === 0) return [];
  const { first, second, pause } = pairs[0]!;
  const more = pairs.length > 1 ? `, and ${pairs.length - 1} more pairs` : '';
  return [
    {
      kind: 'leak',
      severity: loose ? 'error' : 'warning',
      confidence: 'certain',
      files: [...new Set(pairs.flatMap((pair) => [pair.first.id, pair.second.id]))],
      evidence: {
        method: 'start times',
        pairs: pairs.map((pair) => `${pair.first.id} | ${pair.second.id}`).slice(0, 20),
        pauseSeconds: pause,
      },
      message: `${second.id} begins ${pause <= 0 ? 'where' : `${pause.toFixed(1)} s after`} ${first.id} ends, on the other side of the split${more}: parts of one take are more alike than two takes.`,
      advice: loose
        ? 'Keep both on one side of the split.'
        : 'Set model.split to device or time, or merge the recordings.',
    },
  ];
}

/** Whether two recordings can be parts of one take. */
function isOneTake(a: Recording, b: Recording): boolean {
  return a.label === b.label && (a.device === null || b.device === null || a.device === b.device);
}

/** The joint between the end of `first` and the beginning of `second`. */
interface Joint {
  first: Recording;
  second: Recording;
  /**
   * Mean squared prediction error of each field at the joint, relative to the error within the first recording; and the mean over the
   * fields.
   */
  errors: number[];
  error: number;
  /** Distance between the spreads, paces and correlations of the two recordings, in deviations. */
  distance: number;
}

function signalJoints(recordings: Recording[], apart: (a: Recording, b: Recording) => boolean): Finding[] {
  const byLabel = new Map<string | null, Recording[]>();
  for (const recording of recordings) {
    if (recording.startedAt !== null || (recording.columns[0]?.length ?? 0) < 8 * order) continue;
    byLabel.set(recording.label, [...(byLabel.get(recording.label) ?? []), recording]);
  }
  const strata = [...byLabel.values()].flatMap((own) => {
    if (own.length > mostOfLabel) return [];
    const models = new Map(own.map((recording) => [recording, recording.columns.map(fit)]));
    const distances = distancesOf(own);
    const joints = own.flatMap((first) =>
      own.flatMap((second): Joint[] =>
        first === second
          ? []
          : [
              {
                first,
                second,
                ...errorsAt(first, second, models.get(first)!),
                distance: distances(first, second),
              },
            ],
      ),
    );
    return [joints];
  });
  const candidates = strata
    .flat()
    .filter((joint) => isOneTake(joint.first, joint.second) && apart(joint.first, joint.second));
  const hits = strata.flatMap((joints) => {
    const sameDevice = joints.filter(({ first, second }) => isOneTake(first, second));
    return sameDevice.flatMap((joint) => {
      if (joint.error > mostError || !apart(joint.first, joint.second)) return [];
      // Takes from one device resemble each other. If that device has enough joints, only these are used as examples of unrelated
      // takes.
      const isOther = (other: Joint) =>
        !(other.first === joint.first && other.second === joint.second) &&
        !(other.first === joint.second && other.second === joint.first);
      const alike = sameDevice.filter(isOther);
      const others = alike.length >= leastJoints ? alike : joints.filter(isOther);
      if (others.length < leastJoints) return [];
      // Only fields that do not continue smoothly at joints between unrelated recordings are evidence.
      const fields = joint.errors.filter(
        (_, f) => quantile(Float64Array.from(others, ({ errors }) => errors[f]!).sort(), 0.5) > leastTelling,
      ).length;
      if (fields === 0) return [];
      // An error of 1 is the best possible. Errors up to `least` above 1 differ only at random.
      const least = 2 * Math.sqrt(2 / (order * fields));
      const excess = ({ error }: Joint) => Math.max(least, error - 1);
      const byError = tail(others.map(excess), excess(joint), exponentPerField * fields);
      const byDistance = tail(
        others.map(({ distance }) => distance),
        joint.distance,
        0,
      );
      const chance = bothChance(byError, byDistance) * candidates.length;
      return chance <= mostChance ? [{ ...joint, chance }] : [];
    });
  });
  return hits.map(({ first, second, error, distance, chance }) => ({
    kind: 'leak' as const,
    severity: 'warning' as const,
    confidence: chance < mostChance / 5 ? ('likely' as const) : ('possible' as const),
    files: [first.id, second.id],
    evidence: { method: 'continuation', error, distance, chance },
    message: `${second.id} seems to continue ${first.id}, on the other side of the split: all fields continue within ${Math.sqrt(error).toFixed(1)} times the usual prediction error, which chance would explain in ${setsText(chance)} sets.`,
    advice: 'If both are parts of one take, keep them on one side of the split.',
  }));
}

/** Small probabilities are extrapolated from a few joints, and false alarms among clean sets show that they are too small. */
function setsText(chance: number): string {
  return chance < leastChance ? `fewer than 1 in ${1 / leastChance}` : `1 in ${Math.round(1 / chance)}`;
}

/**
 * The probability that the product of two independent probabilities is as low as the product of these two (Fisher 1925). This probability
 * is higher than the product, because many pairs have the same product.
 */
function bothChance(a: number, b: number): number {
  const product = a * b;
  return product * (1 - Math.log(product));
}

/**
 * Estimates the probability of a value as low as this one, as the share of other values that are lower. Below the lowest tenth of these
 * values, the share follows a power law through the lowest tenth and the median.
 * @param leastExponent minimum exponent of the power law
 */
function tail(others: number[], value: number, leastExponent: number): number {
  const sorted = Float64Array.from(others).sort();
  const [tenth, half] = [quantile(sorted, 0.1), quantile(sorted, 0.5)];
  if (value >= tenth) {
    const below = [...sorted].filter((other) => other <= value).length;
    return (below + 1) / (sorted.length + 1);
  }
  if (tenth <= 0 || half <= tenth) return 0.1;
  const exponent = Math.max(leastExponent, Math.log(5) / Math.log(half / tenth));
  return 0.1 * (Math.max(value, 1e-9) / tenth) ** exponent;
}

function distancesOf(recordings: Recording[]): (a: Recording, b: Recording) => number {
  const figures = new Map(recordings.map((recording) => [recording, figuresOf(recording.columns, false)]));
  const scales = [...figures.values()][0]!.map(
    (_, i) => usual([...figures.values()].map((own) => own[i]!)).sigma,
  );
  return (a, b) => {
    const [own, other] = [figures.get(a)!, figures.get(b)!];
    let sum = 0;
    own.forEach((value, i) => {
      if (scales[i]! > 0) sum += Math.min(6, Math.abs(value - other[i]!) / scales[i]!) ** 2;
    });
    return Math.sqrt(sum / own.length);
  };
}

/** Linear prediction of a field from its previous values. */
interface Prediction {
  /** weights[0] applies to the latest value. */
  weights: Float64Array;
  mean: number;
  /** Mean squared error within the recording. */
  error: number;
}

/** Fits the prediction to a whole recording by Burg's method, which is stable even for short recordings. */
function fit(column: Float64Array): Prediction {
  const n = column.length;
  let mean = 0;
  for (const value of column) mean += value / n;
  const ahead = column.map((value) => value - mean);
  const back = Float64Array.from(ahead);
  const weights = new Float64Array(order);
  for (let m = 0; m < order; m++) {
    let [product, power] = [0, 0];
    for (let t = m + 1; t < n; t++) {
      product += ahead[t]! * back[t - 1]!;
      power += ahead[t]! ** 2 + back[t - 1]! ** 2;
    }
    const reflection = power > 0 ? (2 * product) / power : 0;
    const before = weights.slice(0, m);
    weights[m] = reflection;
    for (let k = 0; k < m; k++) weights[k] = before[k]! - reflection * before[m - 1 - k]!;
    for (let t = n - 1; t > m; t--) {
      const [a, b] = [ahead[t]!, back[t - 1]!];
      ahead[t] = a - reflection * b;
      back[t] = b - reflection * a;
    }
  }
  let error = 0;
  for (let t = order; t < n; t++) error += ahead[t]! ** 2 / (n - order);
  return { weights, mean, error };
}

function errorsAt(
  first: Recording,
  second: Recording,
  predictions: Prediction[],
): Pick<Joint, 'errors' | 'error'> {
  const errors = jointErrors(first, second, predictions);
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { errors, error: errors.length > 0 ? mean : Number.POSITIVE_INFINITY };
}

function jointErrors(first: Recording, second: Recording, predictions: Prediction[]): number[] {
  const moving = predictions.some(({ error }) => error > 0);
  if (!moving) return [];
  return predictions.map(({ weights, mean, error }, f) => {
    // A constant field fits anywhere.
    if (error <= 0) return 1;
    const [before, after] = [first.columns[f]!, second.columns[f]!];
    const at = (t: number) => (t < 0 ? before[before.length + t]! : after[t]!) - mean;
    let sum = 0;
    for (let t = 0; t < order; t++) {
      let predicted = 0;
      for (let k = 0; k < order; k++) predicted += weights[k]! * at(t - 1 - k);
      sum += Math.min(1e4, (at(t) - predicted) ** 2 / error) / order;
    }
    return sum;
  });
}
