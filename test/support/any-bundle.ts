import { digestOf } from '../../src/lib/core/crypto.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { NetworkMode } from '../../src/lib/formats/manifest/manifest.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { endOf } from '../../src/lib/model/bundle/ends.js';
import { goldenVector } from '../../src/lib/model/bundle/golden.js';
import { packBundle } from '../../src/lib/model/bundle/pack.js';
import { unknownProvenance } from '../../src/lib/model/bundle/schema.js';
import type { AnswerSpec, Bundle, BundleInfo } from '../../src/lib/model/bundle/types.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import type { QuantizeSettings } from '../../src/lib/model/quantize/types.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { FloatNetwork } from './float-network.js';

export const columns = ['current', 'temperature', 'vibration', 'sound'];
const mean = [0.5, 40, 2, 60];
const deviation = [0.2, 5, 1, 10];

/** Rows of a table, in the units of its columns. */
export function tableRows(count: number, seed = 1): number[][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => mean.map((m, i) => m + deviation[i]! * gaussian(random)));
}

/** Returns a standardized row, as the network's input. */
export const standardized = (row: number[]) =>
  Float32Array.from(row, (x, i) => (x - mean[i]!) / deviation[i]!);

/** The kinds of prediction from a table's row; objects need a picture. */
type TableKind = Exclude<AnswerSpec['kind'], 'objects'>;

const answers: Record<TableKind, { spec: AnswerSpec; outputs: number; classes: string[] }> = {
  classes: { spec: { kind: 'classes' }, outputs: 3, classes: ['off', 'low', 'high'] },
  probability: { spec: { kind: 'probability', threshold: 0.4 }, outputs: 1, classes: ['healthy', 'faulty'] },
  value: { spec: { kind: 'value', names: ['load'] }, outputs: 1, classes: [] },
  reconstruction: {
    spec: { kind: 'reconstruction', threshold: 1.5 },
    outputs: columns.length,
    classes: ['normal', 'anomaly'],
  },
};
export const answerKinds = Object.keys(answers) as TableKind[];

/**
 * An untrained float model with the columns as inputs, and with the output layer that this kind of prediction
 * needs.
 */
export function tableNetwork(kind: TableKind, seed = 3): Graph {
  const network = new FloatNetwork(seededRandom(seed));
  const input = network.float([1, columns.length]);
  const hidden = network.dense(network.dense(input, 8, 'relu'), 6, 'relu');
  const out = network.dense(hidden, answers[kind].outputs);
  const last =
    kind === 'classes' ? network.softmax(out) : kind === 'probability' ? network.unary(out, 'LOGISTIC') : out;
  return network.graph(input, last);
}

/** Settings for quantizing a model in each mode. */
const settings: Record<NetworkMode, QuantizeSettings> = {
  float32: { mode: 'float32' },
  float16: { mode: 'float16' },
  dynamic: { mode: 'dynamic' },
  int8: { mode: 'int8' },
  int16x8: { mode: 'int16x8' },
  mixed: { mode: 'int8', kinds: new Map([[1, 'float32']]) },
};

/** A bundle with a table's model, which has windows of one unchanged row. */
export function tableBundle(
  kind: TableKind,
  mode: NetworkMode,
  io?: 'float32',
): { bytes: Uint8Array; bundle: Bundle; float: (row: number[]) => Float32Array } {
  const float = tableNetwork(kind);
  const calibration = tableRows(200, 5).map(standardized);
  const { graph } = quantizeGraph(float, calibration, { ...settings[mode], ...(io ? { io } : {}) });
  const { spec, classes } = answers[kind];
  const figures = { windows: 9 };
  const model = writeTflite(graph);
  const info: BundleInfo = {
    spec: 'aiot-bundle/2',
    kind: 'model',
    name: 'table',
    signal: {
      fields: columns,
      rateHz: 1,
      lowpassHz: null,
      resampleHz: 1,
      windowSamples: 1,
      strideSamples: 1,
      features: 'raw',
    },
    standardization: { mean, deviation },
    classes,
    labels: Object.fromEntries(classes.map((name) => [name, [name]])),
    answer: spec,
    quantization: { mode },
    vote: classes.length > 0 ? 'majority:3' : 'none',
    arenaBytes: 2048,
    input: endOf(graph, 'inputs'),
    output: endOf(graph, 'outputs'),
    metrics: { float: figures, int8: figures, voted: null },
    gates: [],
    evaluation: digestOf('evaluation'),
    lineage: {
      dataset: { name: 'rows', digest: digestOf('rows'), recordings: 0, samples: 200 },
      split: { by: 'recording', seed: 1, train: [], validation: [], test: [] },
      configDigest: digestOf('config'),
      aiot: '0.0.0',
      created: 0,
    },
  };
  const runnable = mode !== 'dynamic';
  const golden = tableRows(runnable ? 6 : 0, 9).map((row, i) =>
    goldenVector(graph, info, { recording: `row ${i + 1}`, samples: [row] }),
  );
  const bundle: Bundle = { info, model, golden, lineage: unknownProvenance(digestOf(model), mode) };
  const interpreter = createInterpreter(float);
  return {
    bytes: packBundle(bundle),
    bundle,
    float: (row) => (interpreter.invoke(standardized(row)) as Float32Array).slice(),
  };
}
