import { malformed } from './errors.js';
import { elementCount, type Graph, type Operator, type Tensor } from './graph.js';

/**
 * An ensemble of decision trees as one operator, FOREST, which uses only integer arithmetic:
 *
 * - A node compares a feature and a threshold as integers (`orderKey`). The result is exactly that of comparing the two float32 numbers.
 * - A leaf has one int32 per output. All leaves share one scale, a power of two, and the magnitude of a row's sums is at most 2^24. Unlike
 * sums of floating-point numbers, these sums are exact and do not depend on the order. Each sum is also exact as a float32, so decisions
 * based on the integer and on the float32 agree.
 *
 * The operator's inputs are x float32 [1, features], nodes int32 [nodes, 4], leaves int32 [leaves, outputs] with the scale, roots int32
 * [trees] and base int32 [outputs]. The base is added to the leaf sums. A node's four values are a feature, a threshold, the next node if x
 * ≤ threshold, and the next node otherwise. A reference to a node is its index; −1 − k refers to leaf k. The trees are stored in sequence,
 * and a node refers only to later nodes in its tree. Therefore, every walk ends, and the firmware can check this without extra memory. The
 * output is float32 [1, outputs].
 */
export interface Forest {
  /** Number of features and of outputs. */
  inputs: number;
  outputs: number;
  /** [nodes × 4] */
  nodes: Int32Array;
  /** [leaves × outputs] */
  leaves: Int32Array;
  roots: Int32Array;
  base: Int32Array;
  /** Real value of one integer step in the leaves and the base; a power of two. */
  scale: number;
}

/** One tree with real leaves. References work as in `Forest`, but refer to nodes and leaves of this tree, which may be in any order. */
export interface RealTree {
  feature: ArrayLike<number>;
  /** `orderKey` of each node's threshold. */
  key: ArrayLike<number>;
  /** The next node if x ≤ threshold. */
  low: ArrayLike<number>;
  high: ArrayLike<number>;
  /** [leaves × outputs] */
  leaves: ArrayLike<number>;
  root: number;
}

const bits = new DataView(new ArrayBuffer(4));

/**
 * Maps float32 numbers to int32 numbers of the same order: x ≤ y if and only if orderKey(x) ≤ orderKey(y). Both zeros map to 0, and the
 * keys of neighboring numbers differ by 1. A float consists of a sign and a magnitude (IEEE 754), so the key is the magnitude with that
 * sign.
 * @param value rounded to float32; not NaN
 */
export function orderKey(value: number): number {
  bits.setFloat32(0, value);
  return keyOfBits(bits.getInt32(0));
}

/** Like `orderKey`, for the bits of a float32 as an int32. */
export function keyOfBits(own: number): number {
  // `| 0` converts −0 to 0.
  return own < 0 ? -(own & 0x7fffffff) | 0 : own;
}

/** The float32 number that has this key. */
export function keyValue(key: number): number {
  bits.setInt32(0, key < 0 ? -key | 0x80000000 : key);
  return bits.getFloat32(0);
}

/** Maximum magnitude of a sum. Every integer up to this magnitude is exact as a float32. */
const largestSum = 2 ** 24;

/**
 * Builds a graph with one FOREST. Equal leaves are stored once. The scale is nearly the finest scale at which no sum can exceed 24 bits.
 * Each output differs from the sum of the real values by at most half a step for each tree and half a step for the base.
 * @param base real values before the first tree, one per output
 * @throws AIOT_TFLITE_MALFORMED (a reference to a missing node, a node with several parents, a leaf that is not finite)
 */
export function forestGraph(options: {
  trees: readonly RealTree[];
  inputs: number;
  base: readonly number[];
  description: string;
}): Graph {
  const { trees, inputs, base, description } = options;
  const outputs = base.length;
  const exponent = exponentOf(trees, base);
  const steps = (value: number) => Math.round(value * 2 ** exponent);
  const nodes: number[] = [];
  const leaves: number[] = [];
  const known = new Map<string, number>();
  const leafOf = (tree: RealTree, at: number) => {
    const values = Array.from({ length: outputs }, (_, o) => steps(tree.leaves[at * outputs + o]! + 0));
    const key = values.join();
    const found = known.get(key) ?? known.size;
    if (found === known.size) {
      known.set(key, found);
      leaves.push(...values);
    }
    return -1 - found;
  };
  const roots = trees.map((tree, t) => addTree(tree, t, nodes, (at) => leafOf(tree, at)));
  // A tensor needs at least one element. This node is never reached.
  if (nodes.length === 0) nodes.push(0, 0, -1, -1);
  const whole = (name: string, shape: number[], data: ArrayLike<number>): Tensor => ({
    name,
    shape,
    type: 'int32',
    data: Int32Array.from(data),
  });
  const quantization = { scale: [2 ** -exponent], zeroPoint: [0], axis: 0 };
  return {
    name: 'main',
    description,
    tensors: [
      { name: 'features', shape: [1, inputs], type: 'float32' },
      whole('nodes', [nodes.length / 4, 4], nodes),
      { ...whole('leaves', [leaves.length / outputs, outputs], leaves), quantization },
      whole('roots', [roots.length], roots),
      whole('base', [outputs], base.map(steps)),
      { name: 'sums', shape: [1, outputs], type: 'float32' },
    ],
    operators: [{ op: 'FOREST', inputs: [0, 1, 2, 3, 4], outputs: [5], options: {} }],
    inputs: [0],
    outputs: [5],
  };
}

/** An exponent k between −96 and 96, nearly the largest for which no sum of the rounded products value · 2^k exceeds `largestSum`. */
function exponentOf(trees: readonly RealTree[], base: readonly number[]): number {
  const most = base.map(Math.abs);
  const outputs = base.length;
  for (const { leaves } of trees) {
    const own = new Float64Array(outputs);
    for (let i = 0; i < leaves.length; i++)
      own[i % outputs] = Math.max(own[i % outputs]!, Math.abs(leaves[i]!));
    own.forEach((value, o) => {
      most[o]! += value;
    });
  }
  const total = Math.max(...most);
  if (!Number.isFinite(total)) throw malformed('leaves', 'expected finite values');
  if (total === 0) return 0;
  // Each rounding adds at most half a step.
  const exponent = Math.floor(Math.log2((largestSum - trees.length - 1) / total) - 1e-9);
  return Math.max(-96, Math.min(96, exponent));
}

/** Appends a tree's nodes in preorder, and returns the reference to its root. */
function addTree(
  { feature, key, low, high, root }: RealTree,
  t: number,
  nodes: number[],
  leafOf: (at: number) => number,
): number {
  const where = `tree ${t}`;
  const seen = new Set<number>();
  const waiting: { from: number; slot: number }[] = [{ from: root, slot: -1 }];
  let first = -1;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { from, slot } = next;
    const index = nodes.length / 4;
    if (from >= 0) {
      if (!(from < feature.length)) throw malformed(where, `node ${from} does not exist`);
      if (seen.has(from)) throw malformed(where, `node ${from} has several parents`);
      seen.add(from);
    }
    const made = from >= 0 ? index : leafOf(-1 - from);
    if (slot < 0) first = made;
    else nodes[slot] = made;
    if (from < 0) continue;
    nodes.push(feature[from]!, key[from]!, 0, 0);
    waiting.push({ from: high[from]!, slot: 4 * index + 3 }, { from: low[from]!, slot: 4 * index + 2 });
  }
  return first;
}

/**
 * Reads the tables of a FOREST, and checks that every walk ends at a leaf and that no sum can exceed 24 bits.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function forestIn({ tensors }: Pick<Graph, 'tensors'>, { inputs, outputs }: Operator): Forest {
  const wrong = (reason: string) => malformed('FOREST', reason);
  const [x, ...tables] = inputs.map((index) => tensors[index]!);
  const [nodes, leaves, roots, base] = tables.map(({ name, data }) => {
    if (data instanceof Int32Array) return data;
    throw wrong(`expected ${name} to be a constant of int32`);
  }) as [Int32Array, Int32Array, Int32Array, Int32Array];
  const scale = tables[1]?.quantization?.scale[0] ?? 0;
  const exponent = Math.log2(scale);
  if (!Number.isInteger(exponent) || Math.abs(exponent) > 96)
    throw wrong(`expected a power of two as the scale of the leaves, got ${scale}`);
  const forest = {
    inputs: elementCount(x!.shape),
    outputs: base.length,
    ...{ nodes, leaves, roots, base, scale },
  };
  const y = tensors[outputs[0]!]!;
  if (nodes.length % 4 !== 0 || leaves.length % forest.outputs !== 0)
    throw wrong(
      `expected 4 numbers per node and ${forest.outputs} per leaf, got ${nodes.length} and ${leaves.length} in total`,
    );
  if (elementCount(y.shape) !== forest.outputs)
    throw wrong(`expected ${forest.outputs} outputs, got [${y.shape}]`);
  checkWalks(forest, wrong);
  return forest;
}

/** Checks the trees from the last to the first. Each tree occupies the nodes from its root up to the next tree's root. */
function checkWalks(
  { inputs, outputs, nodes, leaves, roots, base }: Forest,
  wrong: (reason: string) => Error,
): void {
  const leafCount = leaves.length / outputs;
  const sums = Float64Array.from(base, Math.abs);
  const most = new Float64Array(outputs);
  const reach = (reference: number) => {
    const leaf = -1 - reference;
    for (let o = 0; o < outputs; o++) most[o] = Math.max(most[o]!, Math.abs(leaves[leaf * outputs + o]!));
  };
  let end = nodes.length / 4;
  const exists = (reference: number, after: number) =>
    reference < 0 ? -1 - reference < leafCount : reference > after && reference < end;
  for (let t = roots.length - 1; t >= 0; t--) {
    const root = roots[t]!;
    if (!exists(root, -1)) throw wrong(`the root ${root} does not exist, or is not before node ${end}`);
    most.fill(0);
    if (root < 0) reach(root);
    for (let node = root < 0 ? end : root; node < end; node++) {
      const [feature, low, high] = [nodes[4 * node]!, nodes[4 * node + 2]!, nodes[4 * node + 3]!];
      if (!(feature >= 0 && feature < inputs))
        throw wrong(`node ${node} reads feature ${feature}, but there are only ${inputs}`);
      if (!exists(low, node) || !exists(high, node))
        throw wrong(`node ${node} refers to ${low} and ${high}, expected later nodes of its tree, or leaves`);
      if (low < 0) reach(low);
      if (high < 0) reach(high);
    }
    if (root >= 0) end = root;
    for (let o = 0; o < outputs; o++) sums[o]! += most[o]!;
  }
  if (sums.some((sum) => sum > largestSum)) throw wrong('its sums could exceed 24 bits');
}

/** Computes a row's sums. @param keys `orderKey` of each feature @param sums [outputs] */
export function sumLeaves(
  { outputs, nodes, leaves, roots, base }: Forest,
  keys: Int32Array,
  sums: Int32Array,
): void {
  sums.set(base);
  for (let t = 0; t < roots.length; t++) {
    let at = roots[t]!;
    while (at >= 0) at = nodes[4 * at + (keys[nodes[4 * at]!]! <= nodes[4 * at + 1]! ? 2 : 3)]!;
    const leaf = (-1 - at) * outputs;
    for (let o = 0; o < outputs; o++) sums[o]! += leaves[leaf + o]!;
  }
}
