import type { RejectConfig } from '../../core/project-schema.js';
import { inputShape, type Standardization } from '../../signal/spec.js';
import type { Built } from '../build-folder.js';
import { distanceTo } from '../bundle/predictor.js';
import type { RejectSpec } from '../bundle/types.js';
import { examplesOfRecordings } from '../train/examples/parts.js';
import type { Examples } from '../train/types.js';
import { bestClasses } from '../vote.js';
import { proportionOf } from './intervals.js';
import { aucOf } from './metrics.js';
import type { Rejection } from './result.js';

/**
 * Starts a pass of the quantized network over examples. The returned function takes the pieces in order, and returns one row of outputs for
 * each example. A network with state keeps it from piece to piece, but never from pass to pass.
 */
export type Outputs = () => (piece: Examples) => Float32Array;

/** Maximum number of values for all centers. More values would take too much of a chip's memory. */
const mostValues = 2048;

/** Minimum deviation of an input within the classes, as a share of the deviation over all examples. */
const leastDeviation = 0.05;

/**
 * Chooses the thresholds for model.reject, and measures their effect. Centers come from the training set and thresholds from the validation
 * set; the test set and the recordings with unknown labels are used only for measurement.
 *
 * For each class, the thresholds are the quantiles of its correctly predicted validation windows (split conformal prediction; Vovk,
 * Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005). The allowed share is divided evenly between both criteria.
 * @param minimumFor chooses different minimum outputs for a rule whose distances are already known
 * @param costs costs that the predictions minimize
 */
export function rejectionOf(
  built: Built,
  config: RejectConfig,
  { outputsOf, minimumFor, costs }: RejectionOptions,
): { rule: RejectSpec; rejection: Rejection } {
  const { training } = built;
  const classes = training.classes.length;
  const spread = spreadOf(built, classes);
  const answering = { spread, outputsOf, costs, standardization: training.standardization };
  const validation = answersIn(built.part('validation').pieces(), answering);
  const trained = trainingDistances(built, spread, classes);
  const byShare = ruleOf(config, { validation, trained }, spread);
  const rule = minimumFor ? { ...byShare, minimum: minimumFor(byShare) } : byShare;
  const test = answersIn(built.part('test').pieces(), answering);
  const unknown = unknownOf(built, config, (pieces) => answersIn(pieces, answering));
  const rejected = (row: Answered) => scoreOf(rule, row) > 1;
  const accepted = test.filter((row) => !rejected(row));
  const shareIn = (rows: Answered[]) => {
    const { share, interval } = proportionOf(
      rows.length,
      (i) => rejected(rows[i]!),
      rows.map(({ recording }) => recording),
    );
    return { windows: rows.length, rejected: rows.length === 0 ? null : share, interval };
  };
  const perClass = training.classes.map((name, c) => {
    const own = test.filter(({ truth }) => truth === c);
    return {
      class: name,
      validation: rightOf(validation, c).length,
      minimum: rule.minimum[c]!,
      radius: rule.radius[c] ?? null,
      windows: own.length,
      rejected: own.length === 0 ? null : own.filter(rejected).length / own.length,
    };
  });
  const right = accepted.filter(({ truth, predicted }) => truth === predicted).length;
  const all = [...test, ...unknown];
  const scores = Float64Array.from(all, (row) => scoreOf(rule, row));
  return {
    rule,
    rejection: {
      label: config.label,
      share: config.share,
      perClass,
      known: { ...shareIn(test), accuracy: accepted.length === 0 ? null : right / accepted.length },
      unknown:
        unknown.length === 0
          ? null
          : {
              ...shareIn(unknown),
              recordings: new Set(unknown.map(({ recording }) => recording)).size,
              auc: aucOf(scores, (row) => row >= test.length),
            },
    },
  };
}

interface RejectionOptions {
  outputsOf: Outputs;
  minimumFor?: ((rule: RejectSpec) => number[]) | undefined;
  costs?: readonly number[] | undefined;
}

/** The share of examples that a rule rejects. @param outputs one row for each example */
export function rejectedShare(
  { reject: rule, costs }: { reject: RejectSpec; costs?: readonly number[] | undefined },
  piece: Examples,
  outputs: Float32Array,
  standardization: Standardization,
): number {
  const answered = answersIn([piece], {
    spread: rule,
    outputsOf: () => () => outputs,
    costs,
    standardization,
  });
  return answered.filter((row) => scoreOf(rule, row) > 1).length / Math.max(1, answered.length);
}

/** The classes' centers and the inputs' weights; without values if there would be too many. */
type Spread = Pick<RejectSpec, 'center' | 'weight'>;

/**
 * Class centers and pooled within-class deviations of the standardized training set. All samples of a field share one center and one
 * deviation, because per-input statistics would depend on where a window starts.
 */
function spreadOf(built: Built, classes: number): Spread {
  const { standardization, signal } = built.training;
  const inputs = standardization.mean.length;
  if (classes * inputs > mostValues) return { center: [], weight: [] };
  const groups = inputShape(signal)[1] ?? inputs;
  const counts = new Float64Array(classes);
  const sums = new Float64Array(classes * groups);
  const squares = new Float64Array(groups);
  for (const piece of built.part('train').pieces()) {
    piece.classes.forEach((c, row) => {
      counts[c]! += inputs / groups;
      for (let i = 0; i < inputs; i++) {
        const value = standardized(piece, row, i, standardization);
        sums[c * groups + (i % groups)]! += value;
        squares[i % groups]! += value * value;
      }
    });
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  const meanOf = (c: number, g: number) => sums[c * groups + g]! / Math.max(1, counts[c]!);
  const weights = Array.from(squares, (square, g) => {
    let [between, all] = [0, 0];
    for (let c = 0; c < classes; c++) {
      between += counts[c]! * meanOf(c, g) ** 2;
      all += sums[c * groups + g]!;
    }
    const within = Math.max(0, square - between) / total;
    const overall = Math.max(0, square - all ** 2 / total) / total;
    const deviation = Math.max(Math.sqrt(within), leastDeviation * Math.sqrt(overall));
    // A constant input cannot distinguish known from unknown windows.
    return deviation > 1e-9 ? rounded(1 / deviation) : 0;
  });
  const places = Array.from({ length: inputs }, (_, i) => i % groups);
  return {
    center: Array.from({ length: classes }, (_, c) => places.map((g) => rounded(meanOf(c, g)))).flat(),
    weight: places.map((g) => weights[g]!),
  };
}

function standardized(
  { inputs, inputSize }: Examples,
  row: number,
  input: number,
  { mean, deviation }: Standardization,
): number {
  return (inputs[row * inputSize + input]! - mean[input]!) / deviation[input]!;
}

/** Rounds to four significant digits; more precision would only enlarge the bundle. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** A window with its prediction. */
interface Answered {
  recording: string;
  /** Index of the window's class; −1 = none. */
  truth: number;
  predicted: number;
  /** Output for the predicted class. */
  share: number;
  /** Distance from the center of the predicted class; 0 if distances are not used. */
  distance: number;
}

function answersIn(
  pieces: Iterable<Examples>,
  {
    spread,
    outputsOf,
    costs,
    standardization,
  }: {
    spread: Spread;
    outputsOf: Outputs;
    costs?: readonly number[] | undefined;
    standardization: Standardization;
  },
): Answered[] {
  const answered: Answered[] = [];
  const run = outputsOf();
  for (const piece of pieces) {
    const { classes, inputs, inputSize, recordings } = piece;
    const outputs = run(piece);
    const width = outputs.length / classes.length;
    const predicted = bestClasses(outputs, width, costs);
    for (let row = 0; row < classes.length; row++) {
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      const index = predicted[row]!;
      answered.push({
        recording: recordings[row]!,
        truth: classes[row]!,
        predicted: index,
        share: outputs[row * width + index]!,
        distance: spread.weight.length === 0 ? 0 : distanceTo(spread, index, features, standardization),
      });
    }
  }
  return answered;
}

function rightOf(rows: Answered[], c: number): Answered[] {
  return rows.filter(({ truth, predicted }) => truth === c && predicted === c);
}

/** Distances between the training windows and their class centers. */
function trainingDistances({ part, training }: Built, spread: Spread, classes: number): number[][] {
  const found = Array.from({ length: classes }, (): number[] => []);
  if (spread.weight.length === 0) return found;
  for (const { inputs, inputSize, classes: truth } of part('train').pieces()) {
    truth.forEach((c, row) => {
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      found[c]!.push(distanceTo(spread, c, features, training.standardization));
    });
  }
  return found;
}

/**
 * The minimum outputs come from the validation set, because a network is too confident on its training set. The distance does not depend on
 * the network, and a class often has a single validation recording. The distance limit is therefore the larger of the two sets' limits.
 */
function ruleOf(
  { label, share }: RejectConfig,
  { validation, trained }: { validation: Answered[]; trained: number[][] },
  spread: Spread,
): RejectSpec {
  const byDistance = spread.weight.length > 0;
  const allowed = byDistance ? share / 2 : share;
  const names = Array.from(trained.keys());
  const radii = names.map((c) => {
    const own = rightOf(validation, c).map(({ distance }) => distance);
    const both = [largestOf(own, allowed), largestOf(trained[c]!, allowed)].filter((each) => each !== null);
    return both.length === 0 ? null : Math.max(...both);
  });
  // For a class without any correct validation window, the widest radius of the other classes is used.
  const widest = Math.max(...radii.filter((radius) => radius !== null), 0) || Number.MAX_VALUE;
  // A good model's outputs are nearly 1 on all validation windows. A lower output on another recording justifies rejection only if it is
  // closer to guessing than to certainty.
  const middle = (1 + 1 / names.length) / 2;
  const minimum = names.map((c) => {
    const least = largestOf(
      rightOf(validation, c).map((row) => -row.share),
      allowed,
    );
    return least === null ? 0 : Math.min(middle, Math.max(0, shiftedDown(-least)));
  });
  return {
    label,
    minimum,
    radius: byDistance ? radii.map((radius) => shiftedUp(radius ?? widest)) : [],
    ...spread,
  };
}

/**
 * The value that another value exceeds with at most this probability, or the largest value if there are too few values. Null without
 * values.
 */
function largestOf(values: number[], share: number): number | null {
  if (values.length === 0) return null;
  const order = [...values].sort((a, b) => a - b);
  const rank = Math.ceil((order.length + 1) * (1 - share));
  return order[Math.min(rank, order.length) - 1]!;
}

/** Rounded to six digits, away from the accepted windows, so that the window at the threshold is still accepted. */
const shiftedUp = (value: number) => Number((value * (1 + 1e-5)).toPrecision(6));
const shiftedDown = (value: number) => Number((value * (1 - 1e-5)).toPrecision(6));

/** Step of an int8 output; the output's score cannot be finer. */
const step = 1 / 256;

/** How far a window is from its class. The score is 1 at the thresholds, and windows above 1 are rejected. */
function scoreOf({ minimum, radius }: RejectSpec, { predicted, share, distance }: Answered): number {
  const doubt = (1 - share) / Math.max(step, 1 - minimum[predicted]!);
  const far = radius.length === 0 ? 0 : distance / radius[predicted]!;
  const isOut = share < minimum[predicted]! || far > 1;
  const score = Math.max(doubt, far);
  // If outputs are close to 1, int8 steps limit the score, so the score is adjusted to match the decision.
  return isOut ? Math.max(score, 1 + Number.EPSILON) : Math.min(score, 1);
}

/** Predictions for the recordings whose labels belong to no class. */
function unknownOf(
  { dataset, rows, training }: Built,
  { unknown }: RejectConfig,
  answered: (pieces: Iterable<Examples>) => Answered[],
): Answered[] {
  if (rows) return [];
  const ids = dataset.recordings.filter(({ label }) => label !== null && unknown.includes(label));
  if (ids.length === 0) return [];
  const { network, classes, labels, signal } = training;
  const division = { network, classes: { names: classes, labels }, signal };
  return answered([
    examplesOfRecordings(
      { dataset, rows: null },
      division,
      ids.map(({ id }) => id),
    ),
  ]);
}
