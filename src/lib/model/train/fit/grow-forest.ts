import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Random, seededRandom } from '../../../core/numbers.js';
import type { ProjectConfig } from '../../../core/project-schema.js';
import { orderKey, type RealTree } from '../../../formats/tflite/forest.js';

/** The fields of model.train.forest in aiot.yaml. */
export type ForestConfig = ProjectConfig['model']['train']['forest'];

/** Examples on which trees are grown. */
export interface ForestRows {
  /** [count × inputSize], row-major; finite. */
  inputs: Float32Array;
  inputSize: number;
  /** Each row's class, and the number of classes; null if the forest predicts values. */
  classes: { of: Int32Array; count: number } | null;
  /** Each row's value; null if the forest predicts classes. */
  values: Float32Array | Float64Array | null;
  /** Weight of each class; null = 1. */
  factors: Float32Array | null;
}

export interface GrowOptions extends ForestConfig {
  seed: number;
  /** Called before each tree, with its number, starting at 1. */
  onTree?: (tree: number) => void;
  signal?: AbortSignal | undefined;
}

/** The class or value of each row, which a tree learns to predict. */
export type Targets = Pick<ForestRows, 'classes' | 'values'>;

/** Features by column, prepared for the split search. */
export interface Columns {
  count: number;
  size: number;
  /** [size × count]: position of each row's value among the distinct values of its column. */
  ranks: Uint32Array;
  /** Distinct values of each column, ascending. */
  values: Float32Array[];
}

/**
 * Grows a random forest (Breiman, Machine Learning 45, 2001). Each tree is grown on rows drawn with replacement; a forest of one tree uses
 * all rows. Each split is the best one among a random subset of the features, by Gini impurity for classes and by variance for values. A
 * leaf predicts the weighted shares of the classes among its rows, or the mean of the values. The forest predicts the mean over its trees.
 * Equal rows, options and seeds result in equal trees.
 * @returns trees whose leaves, divided by the number of trees, add up to the prediction: one share per class, or the value
 * @throws the abort reason of `signal`
 */
export async function growForest(rows: ForestRows, options: GrowOptions): Promise<RealTree[]> {
  const columns = columnsOf(rows);
  const trees: RealTree[] = [];
  for (let t = 0; t < options.trees; t++) {
    options.onTree?.(t + 1);
    await nextTurn();
    options.signal?.throwIfAborted();
    const random = seededRandom(options.seed + 7919 * t);
    const weights = drawnWeights(rows, columns.count, options.trees, random);
    trees.push(new Grower(columns, rows, weights, options, random).grow());
  }
  return trees;
}

/** Number of times that each row was drawn, multiplied by the weight of the row's class. A single tree is grown on all rows. */
function drawnWeights(
  { classes, factors }: ForestRows,
  count: number,
  trees: number,
  random: Random,
): Float64Array {
  const drawn = new Float64Array(count);
  if (trees === 1) drawn.fill(1);
  else for (let i = 0; i < count; i++) drawn[Math.floor(random() * count)]! += 1;
  return drawn.map((times, row) => times * (classes ? (factors?.[classes.of[row]!] ?? 1) : 1));
}

export function columnsOf({ inputs, inputSize: size }: ForestRows): Columns {
  const count = inputs.length / size;
  const ranks = new Uint32Array(inputs.length);
  const column = new Float32Array(count);
  const values = Array.from({ length: size }, (_, f) => {
    for (let row = 0; row < count; row++) column[row] = inputs[row * size + f]!;
    const distinct = column
      .slice()
      .sort()
      .filter((value, i, all) => i === 0 || value !== all[i - 1]);
    for (let row = 0; row < count; row++) ranks[f * count + row] = placeOf(column[row]!, distinct);
    return distinct;
  });
  return { count, size, ranks, values };
}

/** Position of a value in an ascending list that contains it. */
function placeOf(value: number, list: Float32Array): number {
  let [low, high] = [0, list.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A split of some rows by one feature, and the split's quality. */
interface Split {
  feature: number;
  /** Rows with at most this rank are on the lower side. */
  rank: number;
  /** The next larger rank among the rows. */
  next: number;
  gain: number;
}

/** The rows [from, to) in the tree's own order, which become a leaf or a node. */
interface Part {
  from: number;
  to: number;
  depth: number;
  /** Index of the parent node, and which side of the parent this part is on; −1 for the root. */
  parent: number;
  side: 'low' | 'high';
}

/** Grows one tree. */
export class Grower {
  /** The tree's rows, each once, ordered so that each node's rows are contiguous. */
  private readonly order: Uint32Array;
  private readonly keys: Float64Array;
  private readonly features: Uint32Array;
  /** Number of features among which each split chooses. */
  private readonly tried: number;
  /** Number of sums per part: one per class, or 1 for values. */
  private readonly width: number;
  private readonly left: Float64Array;
  private readonly all: Float64Array;

  /** @param weight weight of each row; rows with a weight of 0 do not belong to the tree */
  constructor(
    private readonly columns: Columns,
    private readonly rows: Targets,
    private readonly weight: Float64Array,
    private readonly options: ForestConfig,
    private readonly random: Random,
  ) {
    const { size } = columns;
    const { classes } = rows;
    this.order = Uint32Array.from(weight.keys()).filter((row) => weight[row]! > 0);
    this.keys = new Float64Array(this.order.length);
    this.features = Uint32Array.from({ length: size }, (_, f) => f);
    this.tried = triedOf(options, size, classes !== null);
    this.width = classes?.count ?? 1;
    this.left = new Float64Array(this.width);
    this.all = new Float64Array(this.width);
  }

  /** @param leafOf computes a leaf's value from the leaf's rows, instead of class shares or the mean value */
  grow(leafOf?: (rows: Uint32Array) => number): RealTree {
    const { values } = this.columns;
    const tree = {
      ...{ feature: [] as number[], key: [] as number[], low: [] as number[], high: [] as number[] },
      ...{ leaves: [] as number[], root: -1 },
    };
    const waiting: Part[] = [{ from: 0, to: this.order.length, depth: 0, parent: -1, side: 'low' }];
    for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
      const { from, to, depth, parent, side } = part;
      const total = this.sumUp(from, to);
      const split = depth < (this.options.depth ?? Infinity) ? this.bestSplit(from, to, total) : null;
      const reference = split ? tree.feature.length : -1 - tree.leaves.length / this.width;
      if (parent < 0) tree.root = reference;
      else tree[side][parent] = reference;
      if (split === null) {
        if (leafOf) tree.leaves.push(leafOf(this.order.subarray(from, to)));
        else for (const sum of this.all) tree.leaves.push(sum / total);
        continue;
      }
      const own = values[split.feature]!;
      tree.feature.push(split.feature);
      tree.key.push(between(own[split.rank]!, own[split.next]!));
      tree.low.push(0);
      tree.high.push(0);
      const middle = this.divide(from, to, split);
      waiting.push(
        { from: middle, to, depth: depth + 1, parent: reference, side: 'high' },
        { from, to: middle, depth: depth + 1, parent: reference, side: 'low' },
      );
    }
    return tree;
  }

  /** Adds up weights by class, or weighted values, into `all`; returns the total weight. */
  private sumUp(from: number, to: number): number {
    const { classes, values } = this.rows;
    let total = 0;
    this.all.fill(0);
    for (let i = from; i < to; i++) {
      const row = this.order[i]!;
      const weight = this.weight[row]!;
      total += weight;
      if (classes) this.all[classes.of[row]!]! += weight;
      else this.all[0]! += weight * values![row]!;
    }
    return total;
  }

  /**
   * The best split by a random subset of the features. If none of these features splits the node, the others are tried. Null if the node is
   * pure, too small, or indivisible.
   */
  private bestSplit(from: number, to: number, total: number): Split | null {
    const { leaf } = this.options;
    if (to - from < 2 * leaf || this.isPure(from, to)) return null;
    const { features, random } = this;
    let best: Split | null = null;
    let seen = 0;
    for (let left = features.length; left > 0; left--) {
      if (seen >= this.tried && best !== null) break;
      const at = Math.floor(random() * left);
      const feature = features[at]!;
      features[at] = features[left - 1]!;
      features[left - 1] = feature;
      seen += 1;
      const split = this.splitBy(feature, from, to, total);
      if (split && (best === null || split.gain > best.gain)) best = split;
    }
    return best;
  }

  private isPure(from: number, to: number): boolean {
    const { classes, values } = this.rows;
    const of = classes ? classes.of : values!;
    const first = of[this.order[from]!];
    for (let i = from + 1; i < to; i++) if (of[this.order[i]!] !== first) return false;
    return true;
  }

  /**
   * The best split by one feature. Maximizes Σ s² / w over both sides, where w is a side's weight and s its sums. This is equivalent to
   * minimizing the weighted Gini impurity, or the variance.
   */
  private splitBy(feature: number, from: number, to: number, total: number): Split | null {
    const { classes, values } = this.rows;
    const { order, weight, left, all, width } = this;
    const { count, ranks } = this.columns;
    const size = to - from;
    const base = feature * count;
    // Each key is rank · room + position, so one native numeric sort orders the rows by rank.
    const room = 2 ** Math.ceil(Math.log2(size + 1));
    const keys = this.keys.subarray(0, size);
    for (let i = 0; i < size; i++) keys[i] = ranks[base + order[from + i]!]! * room + i;
    keys.sort();
    const rankAt = (i: number) => Math.floor(keys[i]! / room);
    let rank = rankAt(0);
    if (rank === rankAt(size - 1)) return null;
    left.fill(0);
    let best: Split | null = null;
    let [below, leftSquares, rightSquares] = [0, 0, 0];
    for (let o = 0; o < width; o++) rightSquares += all[o]! ** 2;
    for (let i = 0; i < size - 1; i++) {
      const row = order[from + keys[i]! - rank * room]!;
      const w = weight[row]!;
      const o = classes ? classes.of[row]! : 0;
      const added = classes ? w : w * values![row]!;
      const [l, r] = [left[o]!, all[o]! - left[o]!];
      below += w;
      left[o] = l + added;
      leftSquares += added * (2 * l + added);
      rightSquares += added * (added - 2 * r);
      const next = rankAt(i + 1);
      if (next === rank) continue;
      if (i + 1 >= this.options.leaf && size - i - 1 >= this.options.leaf) {
        const gain = leftSquares / below + rightSquares / (total - below);
        if (best === null || gain > best.gain) best = { feature, rank, next, gain };
      }
      rank = next;
    }
    return best;
  }

  /** Moves the rows of the lower side to the front; returns where the upper side begins. */
  private divide(from: number, to: number, { feature, rank }: Split): number {
    const { order } = this;
    const { count, ranks } = this.columns;
    const upper: number[] = [];
    let at = from;
    for (let i = from; i < to; i++) {
      const row = order[i]!;
      if (ranks[feature * count + row]! <= rank) order[at++] = row;
      else upper.push(row);
    }
    order.set(upper, at);
    return at;
  }
}

/** Number of features among which a split chooses. By default, a single tree and boosted trees consider all features. */
function triedOf({ features, trees, boosting }: ForestConfig, size: number, isClass: boolean): number {
  if (features !== undefined) return Math.max(1, Math.round(features * size));
  if (trees === 1 || boosting) return size;
  // Breiman's recommendations.
  return Math.max(1, isClass ? Math.round(Math.sqrt(size)) : Math.ceil(size / 3));
}

/** Key of a threshold halfway between two float32 numbers. At least the lower number, and below the upper one. */
function between(low: number, high: number): number {
  const middle = orderKey(low / 2 + high / 2);
  return Math.max(orderKey(low), Math.min(middle, orderKey(high) - 1));
}
