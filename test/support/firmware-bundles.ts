import { readFileSync } from 'node:fs';
import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { forestGraph, orderKey, type RealTree } from '../../src/lib/formats/tflite/forest.js';
import type { Graph, Operator, Tensor } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { endOf, modeOf } from '../../src/lib/model/bundle/ends.js';
import { goldenVector, type Take } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor, distanceTo, labelsOf } from '../../src/lib/model/bundle/predictor.js';
import { unknownProvenance } from '../../src/lib/model/bundle/schema.js';
import type { Bundle, BundleInfo, RejectSpec } from '../../src/lib/model/bundle/types.js';
import { joinOutputs } from '../../src/lib/model/network/join-ends.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { createPipeline } from '../../src/lib/signal/pipeline.js';
import { featureNames, type SignalSpec } from '../../src/lib/signal/spec.js';

type Kind = BundleInfo['answer']['kind'];
type Samples = number[][];

interface Recipe {
  name: string;
  signal: SignalSpec;
  answer: BundleInfo['answer'];
  classes: string[];
  vote: string;
  /** Samples from which the golden vectors and the standardization are derived. */
  stream: Samples;
  /** Index of the first sample of each golden vector. */
  golden: number[];
  /** Whether to omit the samples from golden vectors, as in bundles made from tables of features. */
  bare?: boolean;
  /** Rejects windows with thresholds that about a third of the stream's windows miss. */
  rejects?: boolean;
  /** Whether all frames of sound, or raw samples, share the means and deviations of their bands or fields, as after a training run. */
  shares?: boolean;
  /** Whether the network has int16 activations and int8 weights. */
  wide?: boolean;
  /** Whether the network's input and output are float32. */
  floats?: boolean;
  /** Numbers of values of the outputs in addition to the prediction, by name. */
  extra?: Record<string, number>;
  /** Adds each output to the sum of those before, since the start of the stream or of the window. */
  state?: 'stream' | 'window';
  /** Whether to use decision trees instead of a network; boosting adds the softmax of their sums. */
  trees?: 'forest' | 'boosting';
}

/** A small untrained bundle for each kind of prediction, some with decision trees, and a stream to make predictions on. */
export function firmwareBundles(): { name: string; bundle: Bundle; bytes: Uint8Array; stream: Samples }[] {
  return recipes().map((recipe, i) => {
    const bundle = bundleOf(recipe, i + 1);
    return { name: recipe.name, bundle, bytes: packBundle(bundle), stream: recipe.stream };
  });
}

function recipes(): Recipe[] {
  const walk = [
    ...recorded('walking1', 1000, 300),
    ...recorded('lying2', 400, 200),
    ...recorded('upstairs12', 300, 400),
  ];
  const motor = motorSamples(600);
  const fields = ['x', 'y', 'z'];
  const axes = { fields, rateHz: 100, lowpassHz: null, resampleHz: 100 };
  const machine = { fields: ['current', 'vibration'], rateHz: 200, lowpassHz: null, resampleHz: 200 };
  const har = featureNames({ ...axes, windowSamples: 448, strideSamples: 448, features: 'har' });
  return [
    {
      name: 'motion',
      signal: {
        ...axes,
        lowpassHz: 12,
        resampleHz: 50,
        windowSamples: 50,
        strideSamples: 20,
        features: 'motion',
      },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'majority:4',
      stream: walk,
      golden: [0, 320, 640],
    },
    {
      name: 'har',
      signal: { ...axes, windowSamples: 448, strideSamples: 150, features: har.slice(20, 80) },
      answer: { kind: 'classes' },
      classes: ['up', 'down', 'level', 'none'],
      vote: 'none',
      stream: walk,
      golden: [0, 450],
    },
    {
      name: 'motor',
      signal: { ...machine, windowSamples: 100, strideSamples: 25, features: 'spectral' },
      answer: { kind: 'probability', threshold: 0.5 },
      classes: ['normal', 'anomaly'],
      vote: 'majority:3',
      stream: motor,
      golden: [0, 117, 400],
    },
    {
      name: 'normal',
      signal: { ...machine, windowSamples: 8, strideSamples: 50, features: 'raw' },
      answer: { kind: 'reconstruction', threshold: 4 },
      classes: ['normal', 'strange'],
      vote: 'majority:3',
      stream: motor,
      golden: [0, 3, 80],
    },
    {
      name: 'load',
      signal: {
        ...machine,
        windowSamples: 50,
        strideSamples: 50,
        features: ['current_rms', 'vibration_p2p'],
      },
      answer: { kind: 'value', names: ['load', 'wear'] },
      classes: [],
      vote: 'none',
      stream: motor,
      golden: [0, 100, 200, 300],
      bare: true,
    },
    {
      name: 'trees',
      signal: { ...axes, resampleHz: 100, windowSamples: 100, strideSamples: 40, features: 'motion' },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'majority:4',
      stream: walk,
      golden: [0, 320, 640],
      trees: 'forest',
    },
    {
      name: 'wear',
      signal: { ...machine, windowSamples: 100, strideSamples: 25, features: 'spectral' },
      answer: { kind: 'value', names: ['load', 'wear'] },
      classes: [],
      vote: 'none',
      stream: motor,
      golden: [0, 100, 200, 300],
      bare: true,
      trees: 'forest',
    },
    {
      name: 'boosting',
      signal: { ...axes, resampleHz: 100, windowSamples: 100, strideSamples: 50, features: 'motion' },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'none',
      stream: walk,
      golden: [0, 320, 640],
      trees: 'boosting',
    },
    {
      name: 'words',
      signal: {
        ...{ fields: ['sound'], rateHz: 200, lowpassHz: null, resampleHz: 200 },
        ...{ windowSamples: 105, strideSamples: 40, features: 'mfcc' },
        mel: {
          frameSamples: 20,
          hopSamples: 10,
          fftSamples: 32,
          bands: 6,
          lowHz: 5,
          highHz: 100,
          coefficients: 5,
        },
      },
      answer: { kind: 'classes' },
      classes: ['yes', 'no'],
      vote: 'majority:2',
      stream: motor.map(([, vibration]) => [vibration!]),
      golden: [0, 300],
    },
    {
      name: 'strangers',
      signal: { ...axes, windowSamples: 50, strideSamples: 20, features: 'motion' },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'majority:3',
      stream: walk,
      golden: [0, 320, 640, 700],
      rejects: true,
    },
    {
      name: 'odd-trees',
      signal: { ...axes, windowSamples: 100, strideSamples: 40, features: 'motion' },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'none',
      stream: walk,
      golden: [0, 320, 640],
      trees: 'forest',
      rejects: true,
    },
    {
      name: 'picture',
      signal: {
        ...{ fields: ['red', 'green', 'blue'], rateHz: 48, lowpassHz: null, resampleHz: 48 },
        ...{ windowSamples: 48, strideSamples: 48, features: 'image' },
        image: { width: 8, height: 6, fit: 'crop' },
      },
      answer: { kind: 'classes' },
      classes: ['person', 'nobody'],
      vote: 'none',
      stream: walk,
      golden: [0, 320, 640],
    },
    {
      name: 'wake',
      signal: {
        ...{ fields: ['sound'], rateHz: 200, lowpassHz: null, resampleHz: 200 },
        ...{ windowSamples: 120, strideSamples: 40, features: 'microfrontend' },
        mel: {
          frameSamples: 60,
          hopSamples: 10,
          fftSamples: 64,
          bands: 6,
          lowHz: 5,
          highHz: 100,
          coefficients: null,
        },
      },
      answer: { kind: 'classes' },
      classes: ['yes', 'no'],
      vote: 'none',
      stream: motor.map(([, vibration]) => [vibration!]),
      golden: [0, 300],
      shares: true,
    },
    {
      name: 'parts',
      signal: {
        ...{ fields: ['red', 'green', 'blue'], rateHz: 153, lowpassHz: null, resampleHz: 153 },
        ...{ windowSamples: 153, strideSamples: 51, features: 'image' },
        image: { width: 17, height: 9, fit: 'crop' },
      },
      answer: {
        ...{ kind: 'objects', threshold: 0.35, grid: [2, 3] },
        picture: { width: 17, height: 9 },
      },
      classes: ['bolt', 'nut'],
      vote: 'none',
      stream: walk,
      golden: [0, 640],
    },
    // Decisions by costs, and on mean outputs, for each kind of prediction that is smoothed.
    {
      name: 'costs',
      signal: { ...axes, resampleHz: 50, windowSamples: 50, strideSamples: 10, features: 'motion' },
      answer: { kind: 'classes', costs: [0, 1, 0.7, 2.5, 0, 1, 1.3, 0.9, 0] },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'average:4',
      stream: walk,
      golden: [0, 320, 640],
      rejects: true,
    },
    {
      name: 'costs-trees',
      signal: { ...axes, resampleHz: 100, windowSamples: 100, strideSamples: 50, features: 'motion' },
      answer: { kind: 'classes', costs: [0, 1, 1, 1.75, 0, 1, 1, 1.2, 0] },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'average:3',
      stream: walk,
      golden: [0, 320, 640],
      trees: 'boosting',
    },
    {
      name: 'average-motor',
      signal: { ...machine, windowSamples: 100, strideSamples: 25, features: 'spectral' },
      answer: { kind: 'probability', threshold: 0.5 },
      classes: ['normal', 'anomaly'],
      vote: 'average:3',
      stream: motor,
      golden: [0, 117],
    },
    {
      name: 'average-error',
      signal: { ...machine, windowSamples: 8, strideSamples: 50, features: 'raw' },
      answer: { kind: 'reconstruction', threshold: 4 },
      classes: ['normal', 'strange'],
      vote: 'average:2',
      stream: motor,
      golden: [0, 80],
    },
    // int16 inputs and outputs.
    {
      name: 'wide',
      signal: { ...axes, resampleHz: 50, windowSamples: 50, strideSamples: 20, features: 'motion' },
      answer: { kind: 'classes' },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'majority:3',
      stream: walk,
      golden: [0, 320, 640],
      rejects: true,
      wide: true,
    },
    {
      name: 'wide-normal',
      signal: { ...machine, windowSamples: 8, strideSamples: 50, features: 'raw' },
      answer: { kind: 'reconstruction', threshold: 4 },
      classes: ['normal', 'strange'],
      vote: 'average:2',
      stream: motor,
      golden: [0, 80],
      wide: true,
    },
    {
      name: 'wide-parts',
      signal: {
        ...{ fields: ['red', 'green', 'blue'], rateHz: 153, lowpassHz: null, resampleHz: 153 },
        ...{ windowSamples: 153, strideSamples: 51, features: 'image' },
        image: { width: 17, height: 9, fit: 'crop' },
      },
      answer: {
        ...{ kind: 'objects', threshold: 0.35, grid: [2, 3] },
        picture: { width: 17, height: 9 },
      },
      classes: ['bolt', 'nut'],
      vote: 'none',
      stream: walk,
      golden: [0, 640],
      wide: true,
    },
    {
      name: 'float-ends',
      signal: { ...axes, resampleHz: 50, windowSamples: 50, strideSamples: 20, features: 'motion' },
      answer: { kind: 'classes', costs: [0, 1, 2, 1, 0, 1, 4, 1, 0] },
      classes: ['resting', 'walking', 'stairs'],
      vote: 'majority:3',
      stream: walk,
      golden: [0, 320, 640],
      floats: true,
    },
    {
      name: 'wide-float-ends',
      signal: { ...machine, windowSamples: 8, strideSamples: 50, features: 'raw' },
      answer: { kind: 'reconstruction', threshold: 4 },
      classes: ['normal', 'strange'],
      vote: 'none',
      stream: motor,
      golden: [0, 80],
      wide: true,
      floats: true,
    },
    {
      name: 'two-heads',
      signal: { ...machine, windowSamples: 20, strideSamples: 50, features: 'raw' },
      answer: { kind: 'classes' },
      classes: ['still', 'slow', 'fast'],
      vote: 'none',
      stream: motor,
      golden: [0, 80, 300],
      extra: { speed: 1, wear: 2 },
    },
    {
      name: 'long-raw',
      signal: {
        ...{ fields: ['a', 'b', 'c', 'd'], rateHz: 16_000, lowpassHz: null, resampleHz: 16_000 },
        ...{ windowSamples: 1025, strideSamples: 1025, features: 'raw' },
      },
      answer: { kind: 'classes' },
      classes: ['hum', 'click'],
      vote: 'none',
      // Whole numbers are short as text.
      stream: Array.from({ length: 2050 }, (_, i) => [29, 23, 19, 17].map((m) => (i * 37) % m)),
      golden: [0, 1025],
      shares: true,
    },
    // Networks with state, which lasts for the stream or for a window.
    ...(['stream', 'window'] as const).map(
      (state): Recipe => ({
        name: `${state}-state`,
        signal: { ...axes, resampleHz: 50, windowSamples: 50, strideSamples: 20, features: 'motion' },
        answer: { kind: 'classes' },
        classes: ['resting', 'walking', 'stairs'],
        vote: 'none',
        stream: walk,
        golden: [0, 320, 640],
        state,
      }),
    ),
    {
      name: 'wake-stream',
      signal: {
        ...{ fields: ['sound'], rateHz: 200, lowpassHz: null, resampleHz: 200 },
        ...{ windowSamples: 120, strideSamples: 40, features: 'microfrontend' },
        mel: {
          ...{ frameSamples: 60, hopSamples: 10, fftSamples: 64, bands: 6 },
          ...{ lowHz: 5, highHz: 100, state: 'stream' },
        },
      },
      answer: { kind: 'classes' },
      classes: ['yes', 'no'],
      vote: 'none',
      stream: motor.map(([, vibration]) => [vibration!]),
      golden: [0, 300],
      shares: true,
    },
  ];
}

function bundleOf(
  { stream, bare, trees, rejects, shares, wide, floats, extra, state, ...recipe }: Recipe,
  seed: number,
): Bundle {
  const { signal, answer, classes } = recipe;
  const rows = featuresOf(signal, stream);
  const standardization = trees
    ? { mean: Array.from(rows[0]!, () => 0), deviation: Array.from(rows[0]!, () => 1) }
    : signal.image
      ? byChannel(rows[0]!.length)
      : shares
        ? byBand(rows, signal.mel?.bands ?? signal.fields.length)
        : standardizationOf(rows);
  const inputs = standardization.mean.length;
  const cells = answer.kind === 'objects' ? answer.grid[0] * answer.grid[1] : 0;
  const objects = cells * (1 + classes.length);
  const counts = { classes: classes.length, probability: 1, value: 2, reconstruction: inputs, objects };
  const outputs = counts[answer.kind];
  const inner = trees
    ? forest(seed, rows, outputs, trees)
    : network(seed, inputs, outputs, answer.kind, { channels: 1 + classes.length, wide: wide ?? false });
  const several = extra
    ? joinOutputs(withExtra(inner, Object.values(extra)), ['class', ...Object.keys(extra)])
    : inner;
  const graph = floats ? floatView(several) : state ? summing(several) : several;
  const metrics = { windows: 1 };
  const model = writeTflite(graph);
  const info: BundleInfo = {
    spec: 'aiot-bundle/2',
    kind: 'model',
    name: recipe.name,
    signal,
    standardization,
    classes,
    labels: Object.fromEntries(classes.map((name) => [name, [name]])),
    answer,
    quantization: { mode: modeOf(graph) },
    vote: recipe.vote,
    ...(state === 'window' && { state }),
    arenaBytes: trees ? 0 : 4096,
    input: endOf(graph, 'inputs'),
    output: endOf(graph, 'outputs'),
    ...(extra && { extra: Object.entries(extra).map(([name, count]) => ({ name, count })) }),
    metrics: { float: metrics, int8: metrics, voted: null },
    gates: [],
    evaluation: digestOf('evaluation'),
    lineage: {
      dataset: { name: recipe.name, digest: digestOf('data'), recordings: 1, samples: stream.length },
      split: { by: 'recording', seed: 1, train: [], validation: [], test: [] },
      configDigest: digestOf('config'),
      aiot: '0.0.0',
      created: 0,
    },
  };
  if (rejects && answer.kind === 'classes')
    info.answer = { ...answer, reject: rejectOf({ info, model }, rows) };
  const golden = recipe.golden.map((from) => goldenVector(graph, info, take(signal, stream, from, bare)));
  const lineage = unknownProvenance(digestOf(model), modeOf(graph));
  return unpackBundle(packBundle({ info, model, golden, lineage }));
}

/** A network with state: the sum of its outputs since the last reset, which is its output. */
function summing(graph: Graph): Graph {
  const place = graph.tensors.length;
  const { shape } = graph.tensors[graph.outputs[0]!]!;
  const quantization = { scale: [1 / 16], zeroPoint: [-128], axis: 0 };
  const [variable, before, sum] = [place, place + 1, place + 2];
  const own = ['total', 'before', 'sum'].map((name): Tensor => ({ name, shape, type: 'int8', quantization }));
  const zeros = new Int8Array(shape.reduce((a, b) => a * b, 1)).fill(-128);
  return {
    ...graph,
    tensors: [...graph.tensors, { ...own[0]!, variable: zeros }, ...own.slice(1)],
    operators: [
      ...graph.operators,
      { op: 'READ_VARIABLE', inputs: [variable], outputs: [before], options: {} },
      { op: 'ADD', inputs: [before, graph.outputs[0]!], outputs: [sum], options: { activation: 'none' } },
      { op: 'ASSIGN_VARIABLE', inputs: [variable, sum], outputs: [], options: {} },
    ],
    outputs: [sum],
  };
}

/** More outputs, each a part of the network's own input. */
function withExtra(graph: Graph, counts: readonly number[]): Graph {
  const tensors = [...graph.tensors];
  const operators = [...graph.operators];
  const [input] = graph.inputs;
  const added = counts.map((count, i) => {
    const constant = (values: number[]) =>
      tensors.push({ name: `c${tensors.length}`, type: 'int32', shape: [2], data: Int32Array.from(values) }) -
      1;
    const { quantization, type } = tensors[input!]!;
    const y = tensors.push({ name: `extra${i}`, type, shape: [1, count], quantization }) - 1;
    operators.push({
      op: 'STRIDED_SLICE',
      inputs: [input!, constant([0, i]), constant([1, i + count]), constant([1, 1])],
      outputs: [y],
      options: { beginMask: 0, endMask: 0, shrinkAxisMask: 0 },
    });
    return y;
  });
  return { ...graph, tensors, operators, outputs: [...graph.outputs, ...added] };
}

/** Centers in the mean of each class's windows, with thresholds that some windows miss. */
function rejectOf({ info, model }: Pick<Bundle, 'info' | 'model'>, rows: Float32Array[]): RejectSpec {
  const lineage = unknownProvenance(digestOf(model), 'int8');
  const predictor = createPredictor({ info, model, golden: [], lineage });
  const answers = rows.map((row) => predictor.answer(row));
  const { standardization, classes } = info;
  const inputs = standardization.mean.length;
  const short = (value: number) => Number(value.toPrecision(4));
  const own = classes.map((_, c) => rows.filter((__, i) => answers[i]!.index === c));
  const center = own.flatMap((windows) =>
    Array.from({ length: inputs }, (_, i) => {
      const sum = windows.reduce((total, row) => total + row[i]!, 0);
      const mean = windows.length === 0 ? 0 : sum / windows.length;
      return short((mean - standardization.mean[i]!) / standardization.deviation[i]!);
    }),
  );
  const weight = Array.from({ length: inputs }, (_, i) => short(0.5 + (i % 7) / 4));
  const middle = (values: number[], share: number) =>
    values.sort((a, b) => a - b)[Math.floor(share * values.length)] ?? 0;
  const radius = own.map((windows, c) =>
    middle(
      windows.map((row) => distanceTo({ center, weight }, c, row, standardization)),
      0.7,
    ),
  );
  const minimum = classes.map((_, c) =>
    middle(
      answers.filter(({ index }) => index === c).map(({ scores }) => scores[c]!),
      0.1,
    ),
  );
  return { label: 'unknown', minimum, radius, center, weight };
}

/** Returns enough samples to fill one window, or only the features of that window. */
function take(signal: SignalSpec, stream: Samples, from: number, bare = false): Take {
  const pipeline = createPipeline(signal);
  for (let count = 1; ; count++) {
    const features = pipeline.push(stream[from + count - 1]!);
    if (!features) continue;
    const recording = `from ${from}`;
    return bare
      ? { recording, samples: [], features: features.slice() }
      : { recording, samples: stream.slice(from, from + count) };
  }
}

function featuresOf(signal: SignalSpec, stream: Samples): Float32Array[] {
  const pipeline = createPipeline({ ...signal, strideSamples: 10 });
  return stream.flatMap((sample) => {
    const features = pipeline.push(sample);
    return features ? [features.slice()] : [];
  });
}

/** For pictures: all pixels of a channel share their mean and deviation. */
function byChannel(inputs: number) {
  const all = (values: number[]) => Array.from({ length: inputs }, (_, i) => values[i % 3]!);
  return { mean: all([0.125, -0.2, 0.75]), deviation: all([0.5, 0.4, 0.625]) };
}

function byBand(rows: Float32Array[], bands: number) {
  const frames = rows.flatMap((row) =>
    Array.from({ length: row.length / bands }, (_, f) => row.subarray(f * bands, (f + 1) * bands)),
  );
  const { mean, deviation } = standardizationOf(frames);
  const all = (values: number[]) => Array.from(rows[0]!, (_, i) => values[i % bands]!);
  return { mean: all(mean), deviation: all(deviation) };
}

function standardizationOf(rows: Float32Array[]) {
  const mean = Array.from(rows[0]!, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
  const deviation = mean.map((m, i) => {
    const variance = rows.reduce((sum, row) => sum + (row[i]! - m) ** 2, 0) / rows.length;
    return Math.sqrt(variance) || 1;
  });
  return { mean, deviation };
}

/**
 * A network of two dense layers, with the output layer for this kind of prediction.
 * @param options number of probabilities per cell, for objects, and whether activations are int16
 */
function network(
  seed: number,
  inputs: number,
  outputs: number,
  kind: Kind,
  { channels, wide }: { channels: number; wide: boolean },
): Graph {
  const random = seededRandom(seed);
  const tensors: Tensor[] = [];
  const operators: Operator[] = [];
  const add = (tensor: Omit<Tensor, 'name'>) => tensors.push({ name: `t${tensors.length}`, ...tensor }) - 1;
  const type = wide ? 'int16' : 'int8';
  const activation = (count: number, scale: number, zeroPoint: number) =>
    add({
      type,
      shape: [1, count],
      quantization: wide
        ? { scale: [Math.fround(scale / 256)], zeroPoint: [0], axis: 0 }
        : { scale: [Math.fround(scale)], zeroPoint: [zeroPoint], axis: 0 },
    });
  const dense = (x: number, n: number, count: number, y: number, act: 'relu' | 'none') => {
    const scale = Array.from({ length: count }, () => Math.fround(0.002 + 0.01 * random()));
    const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
    const data = Int8Array.from({ length: count * n }, () => Math.floor(random() * 255) - 127);
    const weights = add({ type: 'int8', shape: [count, n], data, quantization });
    const [own = 1] = tensors[x]!.quantization!.scale;
    const whole = Int32Array.from({ length: count }, () => Math.floor(random() * 2000) - 1000);
    const bias = add({
      type: wide ? 'int64' : 'int32',
      shape: [count],
      data: wide ? BigInt64Array.from(whole, (value) => BigInt(value) * 256n) : whole,
      quantization: { ...quantization, scale: scale.map((s) => Math.fround(own * s)) },
    });
    const options = { activation: act, keepNumDims: false } as const;
    operators.push({ op: 'FULLY_CONNECTED', inputs: [x, weights, bias], outputs: [y], options });
    return y;
  };
  const reshaped = (x: number, shape: number[]) => {
    const y = add({ ...tensors[x]!, shape });
    const target = add({ type: 'int32', shape: [shape.length], data: Int32Array.from(shape) });
    operators.push({ op: 'RESHAPE', inputs: [x, target], outputs: [y], options: { newShape: shape } });
    return y;
  };
  const input = activation(inputs, 0.04, -3);
  const hidden = dense(input, inputs, 8, activation(8, 0.06, -128), 'relu');
  const last = dense(hidden, 8, outputs, activation(outputs, 0.05, 11), 'none');
  const graph = (output: number): Graph => ({
    name: 'main',
    description: kind,
    tensors,
    operators,
    inputs: [input],
    outputs: [output],
  });
  if (kind === 'value' || kind === 'reconstruction') return graph(last);
  const form = wide
    ? { scale: [2 ** -15], zeroPoint: [0], axis: 0 }
    : { scale: [1 / 256], zeroPoint: [-128], axis: 0 };
  const rows = kind === 'objects' ? [outputs / channels, channels] : [1, outputs];
  const share = add({ type, shape: rows, quantization: form });
  const ends = { inputs: [kind === 'objects' ? reshaped(last, rows) : last], outputs: [share] };
  if (kind === 'classes' || kind === 'objects')
    operators.push({ op: 'SOFTMAX', ...ends, options: { beta: 1 } });
  else operators.push({ op: 'LOGISTIC', ...ends, options: {} });
  return graph(share);
}

/**
 * Trees with up to four decisions. Each threshold is a feature's value in one of the rows, so that windows can have exactly
 * that value.
 */
function forest(seed: number, rows: Float32Array[], outputs: number, kind: 'forest' | 'boosting'): Graph {
  const random = seededRandom(seed);
  const inputs = rows[0]!.length;
  const pick = (count: number) => Math.floor(random() * count);
  const trees = Array.from({ length: 12 }, (): RealTree => {
    const tree = {
      ...{ feature: [] as number[], key: [] as number[] },
      low: [] as number[],
      high: [] as number[],
    };
    const leaves: number[] = [];
    const grow = (depth: number): number => {
      if (depth === 4 || (depth > 1 && random() < 0.2)) {
        for (let o = 0; o < outputs; o++) leaves.push(random() - 0.2);
        return -leaves.length / outputs;
      }
      const node = tree.feature.length;
      const feature = pick(inputs);
      tree.feature.push(feature);
      tree.key.push(orderKey(rows[pick(rows.length)]![feature]!));
      tree.low[node] = grow(depth + 1);
      tree.high[node] = grow(depth + 1);
      return node;
    };
    return { ...tree, root: grow(0), leaves };
  });
  const graph = forestGraph({ trees, inputs, base: new Array<number>(outputs).fill(0.5), description: kind });
  if (kind === 'forest') return graph;
  const [sums, shares] = [graph.outputs[0]!, graph.tensors.length];
  return {
    ...graph,
    tensors: [...graph.tensors, { ...graph.tensors[sums]!, name: 'shares' }],
    operators: [
      ...graph.operators,
      { op: 'SOFTMAX', inputs: [sums], outputs: [shares], options: { beta: 1 } },
    ],
    outputs: [shares],
  };
}

/** An excerpt from the har template's recordings. */
function recorded(name: string, from: number, count: number): Samples {
  const file = new URL(`../../templates/har-imu/data/recordings/${name}.csv`, import.meta.url);
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .slice(1 + from, 1 + from + count);
  return lines.map((line) => line.split(',').map(Number));
}

/** A motor whose bearing starts to ring halfway through. */
function motorSamples(count: number): Samples {
  const random = seededRandom(5);
  const digits = (x: number) => Number(x.toPrecision(6));
  return Array.from({ length: count }, (_, i) => {
    const wave = (hz: number) => Math.sin((2 * Math.PI * hz * i) / 200);
    const ringing = i > count / 2 && i % 37 < 6 ? wave(80) : 0;
    const current = 3 + 0.6 * wave(50) + 0.05 * random() + 0.2 * wave(0.4);
    return [digits(current), digits(0.8 * wave(24.7) + ringing + 0.2 * (random() - 0.5))];
  });
}

/** C tables of the streams and of the bundles' predictions on them. */
export function answerTables(made: ReturnType<typeof firmwareBundles>): string {
  const streams = new Map(made.map(({ stream, bundle }) => [bundle.info.signal.fields.length, stream]));
  const pieces = [...streams].map(
    ([fields, stream]) =>
      `static const double stream_${fields}[] = {\n${wrapped(stream.flat().map(double))}\n};`,
  );
  const rows = made.map(({ name, bundle, stream }) => {
    const predictor = createPredictor(bundle);
    const answers = stream.flatMap((sample) => predictor.push(sample) ?? []);
    const labels = labelsOf(bundle.info);
    const at = (label: string | null) => (label === null ? -1 : labels.indexOf(label));
    const lines = answers.map(({ index, voted, value, scores, detections = [] }) => {
      const bits = scores.map(bits64).join(', ');
      const objects = detections.map(
        ({ label, x, y, confidence }) => `{${at(label)}, ${[x, y, confidence].map(bits64).join(', ')}}`,
      );
      const found = `${objects.length}, {${objects.join(', ') || '{0}'}}`;
      return `    {${index ?? -1}, ${at(voted)}, ${bits64(value ?? 0)}, ${scores.length}, {${bits}}, ${found}},`;
    });
    return { name, lines, samples: stream.length, fields: bundle.info.signal.fields.length };
  });
  const tables = rows.map(
    ({ name, lines }) =>
      `static const answer_row answers_${name.replaceAll('-', '_')}[] = {\n${lines.join('\n')}\n};`,
  );
  const list = rows.map(
    ({ name, lines, samples, fields }) =>
      `    {"${name}", stream_${fields}, ${samples}, ${fields}, answers_${name.replaceAll('-', '_')}, ${lines.length}},`,
  );
  return `/* Generated by npm run golden; do not edit. */
/* clang-format off */

${pieces.join('\n\n')}

${tables.join('\n\n')}

static const bundle_row bundle_rows[] = {
${list.join('\n')}
};
`;
}

function wrapped(literals: string[]): string {
  const lines: string[] = [];
  for (let i = 0; i < literals.length; i += 12) lines.push(`    ${literals.slice(i, i + 12).join(', ')},`);
  return lines.join('\n');
}

function double(value: number): string {
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function bits64(value: number): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return `0x${view.getBigUint64(0).toString(16)}`;
}
