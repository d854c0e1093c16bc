import {
  elementBytes,
  elementCount,
  type Graph,
  hasForest,
  type Operator,
} from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { signalBytes } from '../../signal/chip-memory.js';
import { mostDetections } from './detections.js';
import { distinctInputs } from './pack.js';
import type { BundleInfo } from './types.js';

/** Minimum memory that a model needs in the firmware's core on a 32-bit chip, bytes. */
export interface DeviceNeed {
  /** While the model is active. */
  active: number;
  /** During its trial, in addition to the active model. */
  trial: number;
  /** The largest parts of `active`. */
  parts: { features: number; standardization: number; network: number };
}

/** The parts of a bundle's description that determine its memory. */
export type SizedInfo = Pick<BundleInfo, 'signal' | 'standardization' | 'answer' | 'classes' | 'vote'>;

/** Size of `aiot_bundle`, which a trial allocates. Smaller than measured on a 32-bit chip, so that it remains a lower bound. */
const bundleStructure = 3400;

const double = 8;

/**
 * Computes a lower bound of the memory that the firmware's core allocates from the memory for models. A board with less memory cannot run
 * the model. Members of structures are not included. On a 32-bit chip, the actual size is at most 2 KiB larger for networks of up to five
 * operators, plus 320 bytes for each further one (test/firmware/device-memory.real.test.ts). The model's file itself remains in flash.
 */
export function deviceNeed({ info, model }: { info: SizedInfo; model: Uint8Array }): DeviceNeed {
  const graph = readTflite(model);
  const parts = {
    features: signalBytes(info.signal),
    standardization: standardizationBytes(info),
    network: networkBytes(graph) + objectsBytes(info),
  };
  const active = parts.features + parts.standardization + parts.network;
  // A trial also reads the features of golden vectors, in single precision.
  const given = 4 * info.standardization.mean.length;
  return { active, trial: active + bundleStructure + given, parts };
}

/** Means and deviations, the thresholds and centers of a rejection, costs, smoothed outputs, and the names of individual features. */
function standardizationBytes(info: SizedInfo): number {
  const { signal, answer } = info;
  const distinct = distinctInputs(info);
  const reject = answer.kind === 'classes' ? answer.reject : undefined;
  const thresholds = reject
    ? reject.minimum.length + reject.radius.length + reject.center.length + reject.weight.length
    : 0;
  const names = Array.isArray(signal.features)
    ? signal.features.reduce((sum, name) => sum + 4 + Buffer.byteLength(name) + 1, 0)
    : 0;
  const costs = answer.kind === 'classes' ? (answer.costs?.length ?? 0) : 0;
  return double * (2 * distinct + thresholds + costs + averaged(info)) + names;
}

/** Values that `average:N` retains for each window: its scores, and whether it is far from all classes. */
function averaged({ vote, answer, classes }: SizedInfo): number {
  const windows = Number(/^average:(\d+)$/.exec(vote)?.[1] ?? 0);
  return windows * ((answer.kind === 'reconstruction' ? 1 : classes.length) + 1);
}

/** Per cell: its strength, a mark and a position in a list. Per object: four values of 8 bytes (firmware/core/src/predict/objects.c). */
function objectsBytes({ answer }: SizedInfo): number {
  if (answer.kind !== 'objects') return 0;
  const cells = answer.grid[0] * answer.grid[1];
  return 5 * cells + 4 * double * Math.min(cells, mostDetections);
}

/** Copies of the input and the output, the activations, and the biases and multipliers of layers. */
function networkBytes(graph: Graph): number {
  const bytesOf = (index: number) => {
    const tensor = graph.tensors[index];
    if (!tensor || tensor.data !== undefined || tensor.variable !== undefined) return 0;
    return elementCount(tensor.shape) * elementBytes(tensor.type);
  };
  // Decision trees need memory for the inputs, the sums and the results.
  if (hasForest(graph)) return bytesOf(graph.inputs[0]!) + 2 * bytesOf(graph.outputs[0]!);
  const ends = [...graph.inputs, ...graph.outputs].reduce((sum, index) => sum + bytesOf(index), 0);
  const activations = graph.operators.map(({ op, inputs, outputs }) => {
    // The output shares the input's memory.
    if (moves.has(op)) return 0;
    return [...new Set([...inputs, ...outputs])].reduce((sum, index) => sum + bytesOf(index), 0);
  });
  const channels = graph.operators.reduce((sum, { op, outputs }) => {
    const { shape, type } = graph.tensors[outputs[0] ?? -1] ?? {};
    // The bias of an int16 layer has 8 bytes instead of 4.
    return layers.has(op) ? sum + (type === 'int16' ? 13 : 9) * (shape?.at(-1) ?? 0) : sum;
  }, 0);
  const states = graph.tensors.reduce((sum, { variable }) => sum + (variable?.byteLength ?? 0), 0);
  const tables = graph.operators.reduce((sum, operator) => sum + tableBytes(operator, graph), 0);
  return ends + Math.max(0, ...activations) + channels + states + tables;
}

/**
 * Tables of a SOFTMAX on int16, and tables and work space of the audio front end (firmware/core/src/signal/kernels_signal.c): rotations,
 * complex values, padded samples, logarithms.
 */
function tableBytes({ op, inputs, options }: Operator, { tensors }: Graph): number {
  if (op === 'SOFTMAX') return tensors[inputs[0]!]!.type === 'int16' ? 4 * 513 : 0;
  if (op === 'SIGNAL_FILTER_BANK_LOG') return 2 * 130;
  if (op !== 'SIGNAL_RFFT' && op !== 'SIGNAL_IRFFT') return 0;
  const { type, shape } = tensors[inputs[0]!]!;
  // firmware/core/src/signal/sample_transform.c
  if (type === 'float32') return 14 * options.fftLength + 8;
  if (type === 'int32' || op === 'SIGNAL_IRFFT') return 18 * options.fftLength;
  const padded = shape.at(-1) !== options.fftLength;
  return (padded ? 7 : 5) * options.fftLength;
}

const moves: ReadonlySet<string> = new Set(['RESHAPE', 'SQUEEZE', 'EXPAND_DIMS']);
const layers: ReadonlySet<string> = new Set(['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D']);
