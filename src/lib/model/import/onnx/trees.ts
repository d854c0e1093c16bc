import { forestGraph, orderKey, type RealTree } from '../../../formats/tflite/forest.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { transformed } from './classic.js';
import type { Activation } from './maker.js';
import { joined, part } from './shapes.js';

/** Weights of one leaf: pairs of an output and a value. */
type Weights = [output: number, value: number][];

/** Numbers in an attribute. Newer files may also store them as a tensor (float64 for float64 inputs). */
function numbers({ attributes, where }: NodeCall, name: string): ArrayLike<number> {
  const found = attributes.tensor(`${name}_as_tensor`)?.data ?? attributes.floats(name);
  if (found === undefined) throw malformed(`${where}: the attribute ${name} is missing`);
  return found;
}

function integers({ attributes, where }: NodeCall, name: string, count: number): number[] {
  const found = attributes.integers(name) ?? [];
  if (found.length === count) return found;
  throw malformed(`${where}: expected ${count} numbers in ${name}, got ${found.length}`);
}

/** The largest key whose float32 is at most this number. The number may be more precise than a float32. */
function keyAtMost(value: number, where: string): number {
  if (Number.isNaN(value)) throw malformed(`${where}: a threshold is not a number`);
  const single = Math.fround(value);
  return single > value ? orderKey(single) - 1 : orderKey(single);
}

/** The key of the largest float32 below this number. */
function keyBelow(value: number, where: string): number {
  const key = keyAtMost(value, where);
  return Math.fround(value) === value ? key - 1 : key;
}

/**
 * Branch conditions: how the key is derived from the threshold, and whether the condition is true for values up to the key. If so, the true
 * branch is `low`; otherwise it is `high`.
 */
const conditions: Readonly<Record<string, { key: typeof keyAtMost; isBelow: boolean }>> = {
  BRANCH_LEQ: { key: keyAtMost, isBelow: true },
  BRANCH_LT: { key: keyBelow, isBelow: true },
  BRANCH_GT: { key: keyAtMost, isBelow: false },
  BRANCH_GTE: { key: keyBelow, isBelow: false },
};

/** @param kind prefix of the attributes with the leaves' weights @param factor multiplies all weights */
function treesOf(call: NodeCall, outputs: number, kind: 'class' | 'target', factor: number): RealTree[] {
  const { attributes, where } = call;
  const modes = attributes.texts('nodes_modes');
  const count = modes.length;
  const [treeIds, nodeIds, features, yes, no] = [
    'nodes_treeids',
    'nodes_nodeids',
    'nodes_featureids',
    'nodes_truenodeids',
    'nodes_falsenodeids',
  ].map((name) => integers(call, name, count)) as [number[], number[], number[], number[], number[]];
  const thresholds = numbers(call, 'nodes_values');
  if (thresholds.length !== count)
    throw malformed(`${where}: expected ${count} thresholds, one for each node, got ${thresholds.length}`);
  const places = new Map(treeIds.map((tree, i) => [`${tree} ${nodeIds[i]}`, i]));
  if (places.size !== count) throw malformed(`${where}: two nodes have the same number`);
  call.maker.reserve(modes.filter((mode) => mode === 'LEAF').length * outputs);
  const weights = weightsOf(call, kind, outputs, places);
  const byTree = new Map<number, number[]>();
  for (const [i, tree] of treeIds.entries()) {
    const own = byTree.get(tree);
    if (own) own.push(i);
    else byTree.set(tree, [i]);
  }
  return [...byTree].map(([tree, own]): RealTree => {
    const made = { feature: [] as number[], key: [] as number[], low: [] as number[], high: [] as number[] };
    const leaves: number[] = [];
    const references = new Map<number, number>();
    let branches = 0;
    for (const i of own) {
      if (modes[i] !== 'LEAF') {
        references.set(i, branches++);
        continue;
      }
      references.set(i, -1 - leaves.length / outputs);
      const values = new Array<number>(outputs).fill(0);
      for (const [output, value] of weights.get(i) ?? []) values[output]! += value * factor;
      leaves.push(...values);
    }
    const roots = new Set(own);
    const next = (id: number) => {
      const place = places.get(`${tree} ${id}`);
      if (place === undefined) throw malformed(`${where}: tree ${tree} has no node ${id}`);
      roots.delete(place);
      return references.get(place)!;
    };
    for (const i of own) {
      const mode = modes[i]!;
      if (mode === 'LEAF') continue;
      const condition = conditions[mode];
      if (condition === undefined)
        throw unsupported(
          where,
          `nodes of mode ${mode} are not supported`,
          'train with numeric thresholds only',
        );
      const [ifTrue, ifFalse] = [next(yes[i]!), next(no[i]!)];
      made.feature.push(features[i]!);
      made.key.push(condition.key(thresholds[i]!, where));
      made.low.push(condition.isBelow ? ifTrue : ifFalse);
      made.high.push(condition.isBelow ? ifFalse : ifTrue);
    }
    const [root, ...others] = roots;
    if (root === undefined || others.length > 0)
      throw malformed(`${where}: tree ${tree} has ${roots.size} roots`);
    return { ...made, leaves, root: references.get(root)! };
  });
}

function weightsOf(
  call: NodeCall,
  kind: 'class' | 'target',
  outputs: number,
  places: ReadonlyMap<string, number>,
): Map<number, Weights> {
  const values = numbers(call, `${kind}_weights`);
  const [trees, nodes, ids] = [`${kind}_treeids`, `${kind}_nodeids`, `${kind}_ids`].map((name) =>
    integers(call, name, values.length),
  ) as [number[], number[], number[]];
  const found = new Map<number, Weights>();
  for (let i = 0; i < values.length; i++) {
    const place = places.get(`${trees[i]} ${nodes[i]}`);
    if (place === undefined || !(ids[i]! >= 0 && ids[i]! < outputs))
      throw malformed(
        `${call.where}: the weight of ${kind} ${ids[i]} in node ${nodes[i]} of tree ${trees[i]} refers to a missing node or ${kind}`,
      );
    const own = found.get(place);
    if (own) own.push([ids[i]!, values[i]!]);
    else found.set(place, [[ids[i]!, values[i]!]]);
  }
  return found;
}

function forest(call: NodeCall, trees: RealTree[], base: number[]): Activation {
  const { maker, where } = call;
  const x = call.x();
  const [rows = 0, features = 0] = x.shape;
  if (x.shape.length !== 2)
    throw unsupported(where, `its input is [${x.shape.join(', ')}]`, 'export the model for rows of features');
  if (trees.length === 0) throw malformed(`${where}: it has no trees`);
  const made = forestGraph({ trees, inputs: features, base, description: '' });
  const tables = made.operators[0]!.inputs.slice(1).map((index) => {
    maker.tensors.push(made.tensors[index]!);
    return maker.tensors.length - 1;
  });
  // The operator computes one row.
  const scores = Array.from({ length: rows }, (_, row) => {
    const own = maker.inFileOrder(part(maker, x, 0, row, 1));
    return maker.plain(maker.op('FOREST', [own, ...tables], [1, base.length], {}));
  });
  return joined(call, scores, 0);
}

function baseValues({ attributes }: NodeCall): ArrayLike<number> {
  return attributes.tensor('base_values_as_tensor')?.data ?? attributes.floats('base_values') ?? [];
}

function baseOf(call: NodeCall, outputs: number): number[] {
  const { where } = call;
  const given = baseValues(call);
  if (given.length !== 0 && given.length !== outputs)
    throw malformed(`${where}: expected ${outputs} base values, one for each output, got ${given.length}`);
  return Array.from({ length: outputs }, (_, o) => given[o] ?? 0);
}

function targetsOf({ attributes, where }: NodeCall): number {
  const targets = attributes.integer('n_targets', 1);
  if (targets >= 1 && targets <= 4096) return targets;
  throw malformed(`${where}: expected 1 to 4096 targets, got ${targets}`);
}

const regressor: Lower = (call) => {
  const { attributes, where } = call;
  const targets = targetsOf(call);
  const how = attributes.text('aggregate_function', 'SUM');
  if (how !== 'SUM' && how !== 'AVERAGE')
    throw unsupported(where, `aggregate_function ${how} is not supported`, 'use SUM or AVERAGE');
  const trees = new Set(attributes.integers('nodes_treeids') ?? []).size;
  const factor = how === 'AVERAGE' ? 1 / trees : 1;
  return transformed(call, forest(call, treesOf(call, targets, 'target', factor), baseOf(call, targets)));
};

/** Returns the scores for both outputs. The first output, the label, is redundant, because it is the class with the largest score. */
const classifier: Lower = (call) => {
  const { attributes, where } = call;
  const labels = Math.max(
    attributes.texts('classlabels_strings').length,
    (attributes.integers('classlabels_int64s') ?? []).length,
  );
  if (labels < 2) throw malformed(`${where}: expected at least 2 classes, got ${labels}`);
  const ids = new Set(attributes.integers('class_ids') ?? []);
  const isSingle = labels === 2 && ids.size === 1;
  // In all other cases, ONNX Runtime's label contradicts its scores.
  if (isSingle && !(ids.has(0) && baseValues(call).length < 2))
    throw unsupported(where, 'it has scores only for the second class', 'export the scores of both classes');
  const both = isSingle
    ? pair(call)
    : transformed(call, forest(call, treesOf(call, labels, 'class', 1), baseOf(call, labels)));
  return [both, both];
};

/**
 * Scores of two classes for which the file has a single score. Although its class ID is 0, the score belongs to the second class. The first
 * class gets the complement if there is neither a sigmoid nor a negative weight, and otherwise the negated score. The standard does not
 * define this; ONNX Runtime works this way.
 */
function pair(call: NodeCall): Activation {
  const { attributes, where } = call;
  const kind = attributes.text('post_transform', 'NONE');
  if (kind !== 'NONE' && kind !== 'LOGISTIC')
    throw unsupported(where, `post_transform ${kind} of a single score is not supported`, 'use LOGISTIC');
  const weights = numbers(call, 'class_weights');
  const isShare = kind === 'NONE' && Array.from(weights).every((weight) => weight >= 0);
  const base = baseValues(call)[0] ?? 0;
  const trees = treesOf(call, 2, 'class', 1).map((tree) => {
    const leaves = Array.from({ length: tree.leaves.length }, (_, i) => {
      const score = tree.leaves[i - (i % 2)]! + tree.leaves[i - (i % 2) + 1]!;
      return i % 2 === 1 ? score : -score;
    });
    return { ...tree, leaves };
  });
  return transformed(call, forest(call, trees, isShare ? [1 - base, base] : [-base, base]));
}

/** Comparisons and transformations of ONNX-ML 5, by number. */
const modes = [
  'BRANCH_LEQ',
  'BRANCH_LT',
  'BRANCH_GTE',
  'BRANCH_GT',
  'BRANCH_EQ',
  'BRANCH_NEQ',
  'BRANCH_MEMBER',
];
const transformations = ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT'];

/** A tensor attribute of numbers. */
function tensorOf({ attributes, where }: NodeCall, name: string): ArrayLike<number> {
  const found = attributes.tensor(name)?.data;
  if (found === undefined) throw malformed(`${where}: the attribute ${name} is missing`);
  return found;
}

/** The trees of a TreeEnsemble. Each branch leads to a node or to a leaf, which adds to one output. @param factor multiplies all weights */
function ensembleTrees(call: NodeCall, outputs: number, factor: number): RealTree[] {
  const { attributes, where } = call;
  const kinds = tensorOf(call, 'nodes_modes');
  const thresholds = tensorOf(call, 'nodes_splits');
  const weights = tensorOf(call, 'leaf_weights');
  const targets = integers(call, 'leaf_targetids', weights.length);
  const [features, yes, no, yesIsLeaf, noIsLeaf] = [
    'nodes_featureids',
    'nodes_truenodeids',
    'nodes_falsenodeids',
    'nodes_trueleafs',
    'nodes_falseleafs',
  ].map((name) => integers(call, name, kinds.length)) as [number[], number[], number[], number[], number[]];
  if (thresholds.length !== kinds.length)
    throw malformed(
      `${where}: expected ${kinds.length} thresholds, one for each node, got ${thresholds.length}`,
    );
  const used = new Set<number>();
  return (attributes.integers('tree_roots') ?? []).map((root): RealTree => {
    const made = { feature: [] as number[], key: [] as number[], low: [] as number[], high: [] as number[] };
    const leaves: number[] = [];
    const own = [root];
    const leafAt = (id: number): number => {
      const output = targets[id];
      if (output === undefined || !(output >= 0 && output < outputs))
        throw malformed(`${where}: leaf ${id} of target ${output} does not exist`);
      call.maker.reserve(outputs);
      leaves.push(...Array.from({ length: outputs }, (_, o) => (o === output ? weights[id]! * factor : 0)));
      return -leaves.length / outputs;
    };
    const next = (id: number, isLeaf: number) => (isLeaf ? leafAt(id) : own.push(id) - 1);
    for (let at = 0; at < own.length; at++) {
      const i = own[at]!;
      if (!(i >= 0 && i < kinds.length) || used.has(i))
        throw malformed(`${where}: node ${i} does not exist, or belongs to two branches`);
      used.add(i);
      const mode = modes[kinds[i]!] ?? String(kinds[i]);
      const condition = conditions[mode];
      if (condition === undefined)
        throw unsupported(
          where,
          `nodes of mode ${mode} are not supported`,
          'train with numeric thresholds only',
        );
      const [ifTrue, ifFalse] = [next(yes[i]!, yesIsLeaf[i]!), next(no[i]!, noIsLeaf[i]!)];
      made.feature.push(features[i]!);
      made.key.push(condition.key(thresholds[i]!, where));
      made.low.push(condition.isBelow ? ifTrue : ifFalse);
      made.high.push(condition.isBelow ? ifFalse : ifTrue);
    }
    return { ...made, leaves, root: 0 };
  });
}

/** TreeEnsemble, which replaces the classifier and the regressor in ONNX-ML 5. */
const ensemble: Lower = (call) => {
  const { attributes, where } = call;
  const targets = targetsOf(call);
  const how = attributes.integer('aggregate_function', 1);
  if (how !== 0 && how !== 1)
    throw unsupported(where, `aggregate_function ${how} is not supported`, 'use SUM (1) or AVERAGE (0)');
  const number = attributes.integer('post_transform', 0);
  const count = (attributes.integers('tree_roots') ?? []).length;
  const trees = ensembleTrees(call, targets, how === 0 ? 1 / count : 1);
  const scores = forest(call, trees, new Array<number>(targets).fill(0));
  return transformed(call, scores, transformations[number] ?? String(number));
};

export const treeRows: Readonly<Record<string, Lower>> = {
  'ai.onnx.ml:TreeEnsemble': ensemble,
  'ai.onnx.ml:TreeEnsembleClassifier': classifier,
  'ai.onnx.ml:TreeEnsembleRegressor': regressor,
};
