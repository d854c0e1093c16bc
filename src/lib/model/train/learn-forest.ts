import { AiotError } from '../../core/errors.js';
import { forestGraph, type RealTree } from '../../formats/tflite/forest.js';
import type { Graph, Operator } from '../../formats/tflite/graph.js';
import type { Standardization } from '../../signal/spec.js';
import { type NetworkKind, type NetworkSpec, outputSize } from '../network/layers.js';
import { type Boosted, boostForest } from './fit/boost-forest.js';
import { together } from './fit/fit-lesson.js';
import { type ForestRows, type GrowOptions, growForest } from './fit/grow-forest.js';
import { classFactors, hasClasses } from './fit/part.js';
import {
  isSmall,
  type Learned,
  type LearnOptions,
  learn,
  requireExamples,
  type TrainConfig,
} from './learn.js';
import { learnOutside, measured, partOf } from './outside-trainer.js';
import type { Lesson } from './types.js';

/** Selects the trainer: aiot's own engines, aiot's own forest, or the program named in aiot.yaml. */
export function trainerOf({ command }: TrainConfig, kind: NetworkKind): typeof learn {
  if (command) return learnOutside;
  return kind === 'forest' ? learnForest : learn;
}

/**
 * Like `learn`, but for `kind: forest`: grows a random forest with `growForest`, or boosts trees with `boostForest`. Trees compare each
 * feature with thresholds in the feature's own unit, so nothing is standardized. The validation set is used only for measurement. For a
 * small dataset, the trees are therefore grown again on both sets.
 * @throws AIOT_TRAINING_DATA_UNFIT, AIOT_INTERRUPTED (without a result, because an incomplete forest is discarded)
 */
async function learnForest(
  parts: { train: Lesson; validation: Lesson },
  options: LearnOptions,
): Promise<Learned> {
  const { plan, signal } = options;
  requireExamples(parts, plan);
  const rows = options.refit && isSmall(plan, parts.train, parts.validation);
  const all = rows ? together(parts.train, parts.validation) : null;
  const first = await forestOf(parts.train, parts, options, 'training rows');
  options.onEpoch?.(first.history[0]!);
  if (all === null) return first;
  try {
    const last = await forestOf(all, parts, options, 'training and validation rows together');
    signal?.throwIfAborted();
    const { history, valRmse, chosen } = first;
    const dispose = () => {
      first.dispose();
      last.dispose();
    };
    return { ...last, history, valRmse, refitted: all.classes.length, chosen, dispose };
  } catch (error) {
    first.dispose();
    throw error;
  }
}

async function forestOf(
  rows: Lesson,
  parts: { train: Lesson; validation: Lesson },
  options: LearnOptions,
  what: string,
): Promise<Learned> {
  const { plan, train, signal, onStep } = options;
  const { network } = plan;
  const isClass = hasClasses(network.output.kind);
  const count = network.output.kind === 'probability' ? 2 : outputSize(network);
  const { trees: wanted, boosting } = train.forest;
  const lesson: ForestRows = {
    inputs: rows.inputs,
    inputSize: rows.inputSize,
    classes: isClass ? { of: rows.classes, count } : null,
    values: isClass ? null : rows.values,
    factors: classFactors(rows.classes, network, train.classWeights),
  };
  const growing: GrowOptions = {
    ...train.forest,
    seed: train.seed,
    // Without a terminal, each report is a separate line, so only about ten are made.
    onTree: (tree) => {
      if ((tree - 1) % Math.max(1, Math.floor(wanted / 10)) === 0)
        onStep?.(`${boosting ? 'round' : 'tree'} ${tree} of ${wanted}, ${what}`);
    },
    signal,
  };
  const grow = async () =>
    boosting
      ? boostedGraph(await boostForest(lesson, growing), rows.inputSize, network, options)
      : sharesGraph(await growForest(lesson, growing), rows.inputSize, network, options);
  const graph = await grow().catch((error: unknown) => {
    if (!signal?.aborted) throw error;
    throw new AiotError('AIOT_INTERRUPTED', 'stopped before all trees were grown; nothing was written', {
      cause: error,
      next: 'Run `aiot model train` again, with fewer trees if it takes too long: model.train.forest.trees.',
    });
  });
  const standardization = unchanged(rows.inputSize);
  const own = {
    train: partOf(parts.train, standardization),
    validation: partOf(parts.validation, standardization),
  };
  return await measured(graph, standardization, own, options, 'forest');
}

/** Represents the mean over a random forest's trees as sums of leaves. A single probability is the second of two class probabilities. */
function sharesGraph(
  trees: RealTree[],
  inputs: number,
  { output }: NetworkSpec,
  { description }: LearnOptions,
): Graph {
  const isProbability = output.kind === 'probability';
  const shared = trees.map((tree) => {
    const leaves = Array.from(tree.leaves, (share) => share / trees.length);
    return { ...tree, leaves: isProbability ? leaves.filter((_, i) => i % 2 === 1) : leaves };
  });
  const base = new Array<number>(output.kind === 'classes' ? output.count : 1).fill(0);
  return forestGraph({ trees: shared, inputs, base, description });
}

/**
 * Represents boosting scores as sums of leaves, followed by the function that converts logits to probabilities. For two classes,
 * softmax(−s/2, s/2) is the sigmoid of the logit s.
 */
function boostedGraph(
  { trees, base }: Boosted,
  inputs: number,
  { output }: NetworkSpec,
  { description }: LearnOptions,
): Graph {
  const isPair = output.kind === 'classes' && base.length === 1;
  const both = (scores: ArrayLike<number>) =>
    isPair ? Array.from(scores).flatMap((score) => [-score / 2, score / 2]) : Array.from(scores);
  const graph = forestGraph({
    trees: trees.map((tree) => ({ ...tree, leaves: both(tree.leaves) })),
    ...{ inputs, base: both(base), description },
  });
  if (output.kind === 'value') return graph;
  const sums = graph.outputs[0]!;
  const shares = graph.tensors.length;
  const ends = { inputs: [sums], outputs: [shares] };
  const ending: Operator =
    output.kind === 'classes'
      ? { op: 'SOFTMAX', ...ends, options: { beta: 1 } }
      : { op: 'LOGISTIC', ...ends, options: {} };
  return {
    ...graph,
    tensors: [...graph.tensors, { ...graph.tensors[sums]!, name: 'shares' }],
    operators: [...graph.operators, ending],
    outputs: [shares],
  };
}

function unchanged(inputs: number): Standardization {
  return { mean: new Array<number>(inputs).fill(0), deviation: new Array<number>(inputs).fill(1) };
}
