import { AiotError } from '../core/errors.js';
import type { CostsConfig } from '../core/project-schema.js';
import type { AnswerSpec } from './bundle/types.js';

/** A window's prediction, as the input of smoothing. */
export interface Ballot {
  /** Index of the class, or the number of classes if the window is rejected. */
  index: number;
  /** Outputs, as in `Prediction`. */
  scores: ArrayLike<number>;
}

/** Smooths the predictions of successive windows. */
export interface Vote<T = Ballot, R = number> {
  /** Accepts the newest window and returns the smoothed class. */
  push(of: T): R;
  /** Clears the history, because the next window is the first of a new recording. */
  reset(): void;
}

/** Accepted smoothing, as in model.vote. */
export const votePattern = /^(?:none|(majority|average):([1-9]\d?))$/;

/**
 * Smoothing over the last N windows, or fewer at the start of a recording. Loops, evaluation and every device compute it in the same way.
 * The C implementation is firmware/core/src/predict/vote.c.
 * - `none`: no smoothing.
 * - `majority:N`: the most frequent class, where rejected windows are one more class. Ties go to the most recent class.
 * - `average:N`: the decision on the mean of the outputs, with the same costs and thresholds as for a single window. Source: Chen, Parada
 *   and Heigold, "Small-footprint keyword spotting using deep neural networks", 2014.
 * @throws RangeError for any other text
 */
export function createVote(vote: string, answer: AnswerSpec): Vote {
  const [matched, kind, size] = votePattern.exec(vote) ?? [];
  if (matched === undefined)
    throw new RangeError(`expected "none", "majority:N" or "average:N", got "${vote}"`);
  if (kind === 'average') return createAverage(Number(size), answer);
  const { push, reset } = createMajority<number>(Number(size ?? 1));
  return { push: ({ index }) => push(index), reset };
}

/** The most frequent of the last `size` classes. A class is an index or a label. */
export function createMajority<T>(size: number): Vote<T, T> {
  const last: T[] = [];
  return {
    push(of) {
      last.push(of);
      if (last.length > size) last.shift();
      let best = of;
      let most = 0;
      // From the newest back: an older class must be strictly more frequent to win.
      for (let i = last.length - 1; i >= 0; i--) {
        let count = 0;
        for (let k = 0; k < last.length; k++) if (last[k] === last[i]) count++;
        if (count > most) {
          most = count;
          best = last[i]!;
        }
      }
      return best;
    },
    reset() {
      last.length = 0;
    },
  };
}

/** The decision on the mean outputs of the last `size` windows. A window that is far from all classes supports only the rejection. */
function createAverage(size: number, answer: AnswerSpec): Vote {
  const last: Float64Array[] = [];
  return {
    push({ index, scores }) {
      // One element per output, and one for the rejection.
      const own = new Float64Array(scores.length + 1);
      if (isFar(answer, index, scores)) own[scores.length] = 1;
      else own.set(scores);
      last.push(own);
      if (last.length > size) last.shift();
      const mean = new Float64Array(own.length);
      // From the oldest to the newest, as on a device, because the order of a sum affects its rounding.
      for (const window of last) for (let i = 0; i < mean.length; i++) mean[i]! += window[i]!;
      for (let i = 0; i < mean.length; i++) mean[i]! /= last.length;
      return decide(answer, mean, scores.length);
    },
    reset() {
      last.length = 0;
    },
  };
}

/** Whether a window was rejected for its distance from its class rather than for its output. */
function isFar(answer: AnswerSpec, index: number, scores: ArrayLike<number>): boolean {
  if (answer.kind !== 'classes' || !answer.reject || index < scores.length) return false;
  const best = bestClass(scores, answer.costs);
  return scores[best]! >= answer.reject.minimum[best]!;
}

/** The class for mean outputs, followed by the share of rejected windows. @returns `count` for a rejection */
function decide(answer: AnswerSpec, mean: Float64Array, count: number): number {
  switch (answer.kind) {
    case 'classes': {
      const best = bestClass(mean.subarray(0, count), answer.costs);
      const { reject } = answer;
      const isOut = reject && (mean[count]! > mean[best]! || mean[best]! < reject.minimum[best]!);
      return isOut ? count : best;
    }
    case 'probability':
      return mean[1]! >= answer.threshold ? 1 : 0;
    case 'reconstruction':
      return mean[0]! > answer.threshold ? 1 : 0;
    default:
      throw new RangeError(`expected classes to smooth, got ${answer.kind}`);
  }
}

/**
 * Index of the class with the largest output or, with costs, the smallest expected cost; the first one in case of ties.
 * @param scores one output per class: quantized numbers, or probabilities if there are costs
 * @param costs [true class × predicted class], row-major
 */
export function bestClass(scores: ArrayLike<number>, costs?: readonly number[]): number {
  let best = 0;
  if (!costs) {
    for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
    return best;
  }
  let least = expectedCost(scores, costs, 0);
  for (let i = 1; i < scores.length; i++) {
    const cost = expectedCost(scores, costs, i);
    if (cost < least) [best, least] = [i, cost];
  }
  return best;
}

/** Expected cost of predicting a class: the cost for each true class, weighted by that class's probability. */
function expectedCost(scores: ArrayLike<number>, costs: readonly number[], predicted: number): number {
  let sum = 0;
  for (let c = 0; c < scores.length; c++) sum += scores[c]! * costs[c * scores.length + predicted]!;
  return sum;
}

/**
 * model.costs as a matrix [true class × predicted class], row-major. A pair that is not listed costs 1, and a correct prediction 0.
 * @returns undefined without costs
 * @throws AIOT_PROJECT_INVALID (a name that is not a class of the table)
 */
export function costMatrix(costs: CostsConfig | undefined, classes: readonly string[]): number[] | undefined {
  if (!costs) return undefined;
  const unknown = Object.entries(costs)
    .flatMap(([truth, row]) => [truth, ...Object.keys(row)])
    .find((name) => !classes.includes(name));
  if (unknown !== undefined)
    throw new AiotError(
      'AIOT_PROJECT_INVALID',
      `model.costs: expected a class: ${classes.join(', ')}; got "${unknown}"`,
    );
  return classes.flatMap((truth) =>
    classes.map((name) => (name === truth ? 0 : (costs[truth]?.[name] ?? 1))),
  );
}

/** The class of each row of outputs [rows × columns]; see `bestClass`. */
export function bestClasses(
  outputs: Float32Array | Float64Array,
  columns: number,
  costs?: readonly number[],
): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: outputs.length / columns }, (_, row) =>
    bestClass(outputs.subarray(row * columns, (row + 1) * columns), costs),
  );
}

/**
 * Smooths the windows of several consecutive recordings; smoothing restarts at each recording.
 * @param ballotOf prediction for a window, by its index
 */
export function voteAll(
  recordings: readonly string[],
  ballotOf: (place: number) => Ballot,
  { vote, answer }: { vote: string; answer: AnswerSpec },
): Int32Array {
  const voter = createVote(vote, answer);
  return Int32Array.from(recordings, (id, i) => {
    if (i > 0 && recordings[i - 1] !== id) voter.reset();
    return voter.push(ballotOf(i));
  });
}
