import { digestOf } from '../../core/index.js';
import { type Graph, readTflite } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import { answerOf } from '../bundle/answers.js';
import { encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { packBundle } from '../bundle/pack.js';
import type { Bundle, BundleInfo, Metrics } from '../bundle/types.js';
import { metricsOf } from '../evaluate/metrics.js';
import { unfit as unfitData } from '../train/examples/examples.js';
import { fitSoftmax, type Hidden, layerOutputs } from './fit-softmax.js';
import { createHidden, type LastLayer, lastLayerOf, unfit, withLastLayer } from './last-layer.js';
import { type LabelledWindow, type Lesson, weightsOf } from './lesson.js';
import { taughtBundle } from './taught-bundle.js';

/** A model whose last layer was learned anew, beside the one that it was made of. */
export interface Taught {
  /** A bundle of its own. */
  bytes: Uint8Array;
  digest: string;
  /** `biases`: without what was learned before, no more than these may move. */
  what: 'last layer' | 'biases';
  /** On the windows that were held out. */
  before: Metrics;
  after: Metrics;
  /** Shares of the taught windows that are answered rightly. */
  taught: { windows: number; before: number; after: number };
  /** Golden vectors, which the model before answered, that are answered otherwise now. */
  goldenChanged: number;
  /** On what was held out; without what was learned before also when a golden vector is answered otherwise. */
  worse: boolean;
}

export interface RetrainOptions {
  /** Digest of `bundle`. */
  from: string;
  bundle: Bundle;
  lesson: Lesson;
  /** ms since 1970 */
  now: number;
  breathe?: () => Promise<void>;
}

/** Steps of the fit: more change no answer. */
const iterations = 150;
/** How dearly the layer leaves its place: with what was learned before at hand, and without. */
const stay = { whole: 0.01, bias: 0.05 };

/**
 * Learns the last layer anew; all before it stays as it is. With what was learned before in the mix the whole layer, without it its
 * biases alone, held by the golden vectors: a few seconds of one class would make it forget the others.
 * @throws AIOT_MODEL_UNFIT (no classifier that ends in a fully connected layer), AIOT_TRAINING_DATA_UNFIT
 */
export async function retrainLastLayer(options: RetrainOptions): Promise<Taught> {
  const { bundle, lesson, breathe } = options;
  const { info } = bundle;
  if (info.answer.kind !== 'classes' && info.answer.kind !== 'probability') {
    throw unfit(`it answers with a ${info.answer.kind} and not with classes`);
  }
  const graph = readTflite(bundle.model);
  const layer = lastLayerOf(graph);
  if (lesson.taught.length === 0) throw unfitData('nothing that was marked is as long as one window');
  const hasAll = info.classes.every((_, c) => lesson.old.some((window) => window.class === c));
  const anchors = hasAll ? lesson.old : anchorsOf(bundle);
  const fitted = await fitLayer(graph, layer, info, { anchors, taught: lesson.taught, hasAll, breathe });
  const next = withLastLayer(graph, fitted.layer, fitted.range);
  const heldOut = lesson.heldOut.length > 0 ? lesson.heldOut : lesson.taught;
  const runs = { before: answersOf(graph, info, heldOut), after: answersOf(next, info, heldOut) };
  const metrics = (answers: Int32Array) =>
    metricsOf(
      heldOut.map((window) => window.class),
      answers,
      info.classes.length,
    );
  const [before, after] = [metrics(runs.before), metrics(runs.after)];
  const made = taughtBundle(options, next, { heldOut, predicted: runs.after, metrics: after });
  const goldenChanged = made.golden.filter(
    ({ answer }, i) => answer.label !== bundle.golden[i]?.answer.label,
  ).length;
  const bytes = packBundle(made);
  const taught = {
    windows: lesson.taught.length,
    before: shareRight(answersOf(graph, info, lesson.taught), lesson.taught),
    after: shareRight(answersOf(next, info, lesson.taught), lesson.taught),
  };
  return {
    bytes,
    digest: digestOf(bytes),
    what: hasAll ? 'last layer' : 'biases',
    before,
    after,
    taught,
    goldenChanged,
    worse: after.macroF1 < before.macroF1 || (!hasAll && goldenChanged > 0),
  };
}

/** Golden vectors stand for what was learned before, each with the answer that it had. */
function anchorsOf({ golden, info }: Bundle): LabelledWindow[] {
  return golden.flatMap(({ features, answer, recording }) => {
    const c = answer.label === null ? -1 : info.classes.indexOf(answer.label);
    return c < 0 ? [] : [{ features: Float32Array.from(features), class: c, recording }];
  });
}

interface Material {
  anchors: LabelledWindow[];
  taught: LabelledWindow[];
  hasAll: boolean;
  breathe: (() => Promise<void>) | undefined;
}

async function fitLayer(
  graph: Graph,
  layer: LastLayer,
  info: BundleInfo,
  { anchors, taught, hasAll, breathe }: Material,
): Promise<{ layer: LastLayer; range: [number, number] }> {
  const windows = [...anchors, ...taught];
  const hidden = createHidden(graph, info);
  const values = new Float64Array(windows.length * layer.inputs);
  for (const [row, { features }] of windows.entries()) {
    if (row % 32 === 0) await breathe?.();
    values.set(hidden(features), row * layer.inputs);
  }
  const examples: Hidden = {
    values,
    classes: Int32Array.from(windows, (window) => window.class),
    weights: weightsOf(anchors, taught),
  };
  const fitted = await fitSoftmax(layer, examples, {
    biasOnly: !hasAll,
    stay: hasAll ? stay.whole : stay.bias,
    iterations,
    ...(breathe ? { breathe } : {}),
  });
  const range: [number, number] = [0, 0];
  const z = new Float64Array(layer.outputs);
  for (let row = 0; row < windows.length; row++) {
    for (const value of layerOutputs(fitted, values, row * layer.inputs, z)) {
      range[0] = Math.min(range[0], value);
      range[1] = Math.max(range[1], value);
    }
  }
  return { layer: fitted, range };
}

function answersOf(graph: Graph, info: BundleInfo, windows: readonly LabelledWindow[]): Int32Array {
  const interpreter = createInterpreter(graph);
  const room = valuesOf(info.input, info.standardization.mean.length);
  // Scale and zero point of the output are the new graph's where it ends in the layer itself.
  const parts = { ...info, output: endOf(graph, 'outputs') };
  return Int32Array.from(windows, ({ features }) => {
    const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, room));
    return answerOf(parts, output, features).index ?? 0;
  });
}

function shareRight(answers: Int32Array, windows: readonly LabelledWindow[]): number {
  return windows.filter((window, row) => window.class === answers[row]).length / windows.length;
}
