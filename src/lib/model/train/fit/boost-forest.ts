import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Random, seededRandom, shuffledNumbers } from '../../../core/numbers.js';
import { orderKey, type RealTree } from '../../../formats/tflite/forest.js';
import { columnsOf, type ForestRows, Grower, type GrowOptions } from './grow-forest.js';

/** Boosting defaults, the same as scikit-learn's. */
const boostingDefaults = { depth: 3, learningRate: 0.1, subsample: 1 } as const;

/** Trees whose leaves, added to the base, are a row's scores: the value, the logit of the second of two classes, or a logit per class. */
export interface Boosted {
  trees: RealTree[];
  /** [scores] */
  base: number[];
}

/** The current scores of all rows, and the gradients on which the next trees are grown. */
interface Stage {
  /** [scores × count] */
  scores: Float64Array;
  /** [scores × count]: negative gradient of the loss. */
  gradients: Float64Array;
}

/**
 * Gradient boosting (Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001; with `subsample`,
 * "Stochastic gradient boosting", 2002). Each round grows one tree for each score on the negative gradients of the loss: squared error for
 * values, log loss for classes. A leaf's step is the mean gradient for values, and one Newton step for classes, times the learning rate. Equal
 * rows, options and seeds result in equal trees.
 * @param rows as for `growForest`
 * @throws the abort reason of `signal`
 */
export async function boostForest(rows: ForestRows, options: GrowOptions): Promise<Boosted> {
  const columns = columnsOf(rows);
  const { count } = columns;
  const weights = Float64Array.from({ length: count }, (_, row) => factorOf(rows, row));
  const base = baseOf(rows, weights);
  const stage: Stage = {
    scores: Float64Array.from({ length: base.length * count }, (_, i) => base[Math.floor(i / count)]!),
    gradients: new Float64Array(base.length * count),
  };
  const keys = Int32Array.from(rows.inputs, orderKey);
  const { learningRate = boostingDefaults.learningRate, depth = boostingDefaults.depth } = options;
  const trees: RealTree[] = [];
  for (let round = 0; round < options.trees; round++) {
    options.onTree?.(round + 1);
    await nextTurn();
    options.signal?.throwIfAborted();
    const random = seededRandom(options.seed + 7919 * round);
    const drawn = subsampled(weights, options.subsample ?? boostingDefaults.subsample, random);
    setGradients(rows, stage, count);
    for (let score = 0; score < base.length; score++) {
      const own = (all: Float64Array) => all.subarray(score * count, (score + 1) * count);
      const gradients = own(stage.gradients);
      const step = stepOf(rows, gradients, weights);
      const grower = new Grower(
        columns,
        { classes: null, values: gradients },
        drawn,
        { ...options, depth },
        random,
      );
      const tree = grower.grow((leaf) => learningRate * step(leaf));
      advance(tree, keys, columns.size, own(stage.scores));
      trees.push(spread(tree, score, base.length));
    }
  }
  return { trees, base };
}

function factorOf({ classes, factors }: ForestRows, row: number): number {
  return classes ? (factors?.[classes.of[row]!] ?? 1) : 1;
}

/** Scores before the first tree: the mean, or the logits of the classes' shares. A class without rows counts as very rare. */
function baseOf({ classes, values }: ForestRows, weights: Float64Array): number[] {
  const sums = new Float64Array(classes?.count ?? 1);
  let total = 0;
  weights.forEach((weight, row) => {
    total += weight;
    sums[classes ? classes.of[row]! : 0]! += classes ? weight : weight * values![row]!;
  });
  if (!classes) return [sums[0]! / total];
  const logs = Array.from(sums, (sum) => Math.log(Math.max(sum / total, 2 ** -23)));
  return classes.count === 2 ? [logs[1]! - logs[0]!] : logs;
}

/** Weights in which only a share of the rows, drawn without replacement, has nonzero weights. */
function subsampled(weights: Float64Array, share: number, random: Random): Float64Array {
  const count = weights.length;
  const size = Math.max(1, Math.floor(share * count));
  if (size === count) return weights;
  const drawn = new Float64Array(count);
  for (const row of shuffledNumbers(count, random).subarray(0, size)) drawn[row] = weights[row]!;
  return drawn;
}

function setGradients({ classes, values }: ForestRows, { scores, gradients }: Stage, count: number): void {
  if (!classes) {
    for (let row = 0; row < count; row++) gradients[row] = values![row]! - scores[row]!;
    return;
  }
  if (classes.count === 2) {
    for (let row = 0; row < count; row++)
      gradients[row] = classes.of[row]! - 1 / (1 + Math.exp(-scores[row]!));
    return;
  }
  const shares = new Float64Array(classes.count);
  for (let row = 0; row < count; row++) {
    let most = -Infinity;
    for (let c = 0; c < shares.length; c++) most = Math.max(most, scores[c * count + row]!);
    let sum = 0;
    for (let c = 0; c < shares.length; c++) {
      shares[c] = Math.exp(scores[c * count + row]! - most);
      sum += shares[c]!;
    }
    for (let c = 0; c < shares.length; c++)
      gradients[c * count + row] = (classes.of[row] === c ? 1 : 0) - shares[c]! / sum;
  }
}

/**
 * Computes a leaf's step from the leaf's rows. For values, it is the weighted mean of the gradients. For classes, it is Σ w·g / Σ w·|g|·(1
 * − |g|), times (K − 1)/K for K > 2 classes. The denominator is the second derivative, because a gradient is the row's true class (0 or 1)
 * minus the predicted probability.
 */
function stepOf(
  { classes }: ForestRows,
  gradients: Float64Array,
  weights: Float64Array,
): (leaf: Uint32Array) => number {
  const factor = classes && classes.count > 2 ? (classes.count - 1) / classes.count : 1;
  return (leaf) => {
    let [sum, curvature] = [0, 0];
    for (const row of leaf) {
      const [gradient, weight] = [gradients[row]!, weights[row]!];
      const size = Math.abs(gradient);
      sum += weight * gradient;
      curvature += classes ? weight * size * (1 - size) : weight;
    }
    // All rows are predicted with certainty.
    return curvature < 1e-150 ? 0 : (factor * sum) / curvature;
  };
}

/** Adds a tree's leaf to the score of every row, including rows on which the tree was not grown. @param keys [count × size] */
function advance(
  { feature, key, low, high, leaves, root }: RealTree,
  keys: Int32Array,
  size: number,
  scores: Float64Array,
): void {
  for (let row = 0; row < scores.length; row++) {
    let at = root;
    while (at >= 0) at = (keys[row * size + feature[at]!]! <= key[at]! ? low : high)[at]!;
    scores[row]! += leaves[-1 - at]!;
  }
}

/** Converts a tree for one score to a tree for all scores: the leaves are 0 for the others. */
function spread(tree: RealTree, score: number, scores: number): RealTree {
  if (scores === 1) return tree;
  const leaves = Array.from(tree.leaves, (leaf) =>
    Array.from({ length: scores }, (_, o) => (o === score ? leaf : 0)),
  );
  return { ...tree, leaves: leaves.flat() };
}
