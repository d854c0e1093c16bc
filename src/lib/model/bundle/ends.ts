import { errorMaker } from '../../core/errors.js';
import { roundHalfAway } from '../../core/numbers.js';
import type { NetworkMode } from '../../formats/manifest/manifest.js';
import type { Graph } from '../../formats/tflite/graph.js';
import type { Activations } from '../../runtime/interpreter/node.js';
import { quantizeInput, type Standardization, standardize } from '../../signal/spec.js';
import { precisionOf } from '../inspect/costs.js';
import type { End } from './types.js';

const unfit = errorMaker('AIOT_MODEL_UNFIT');

/** The only input or output of a graph. @throws AIOT_MODEL_UNFIT if there are several or none, or if the type is unsupported */
export function endOf(graph: Graph, side: 'inputs' | 'outputs'): End {
  const [index, ...others] = graph[side];
  const tensor = graph.tensors[index ?? -1];
  const what = side.slice(0, -1);
  if (!tensor || others.length > 0) {
    throw unfit(`expected a model with one ${what}, got ${graph[side].length}`, {
      next: `Import the model into a project, which joins several ${what}s into one: \`aiot model import FILE --project DIR\`. Or run it as C code: \`aiot model quantize FILE --emit c\`.`,
    });
  }
  const { type, shape, quantization } = tensor;
  if (type === 'float32') return { type, scale: 1, zeroPoint: 0, shape };
  // Samples of sound need no scale: they are the values.
  if (type === 'int16' && quantization === undefined) return { type, scale: 1, zeroPoint: 0, shape };
  const [scale] = quantization?.scale ?? [];
  if ((type !== 'int8' && type !== 'int16') || scale === undefined) {
    throw unfit(`expected an ${what} of float32, or of int8 or int16 with a scale, got ${type}`);
  }
  return { type, scale, zeroPoint: quantization?.zeroPoint[0] ?? 0, shape };
}

/** A network's data type. Networks without weights, such as decision trees, have the type of their input. */
export function modeOf(graph: Graph): NetworkMode {
  const precision = precisionOf(graph);
  if (precision === 'forest') return 'float32';
  if (precision !== 'none') return precision;
  const type = graph.tensors[graph.inputs[0] ?? -1]?.type;
  return type === 'int8' ? 'int8' : type === 'int16' ? 'int16x8' : 'float32';
}

/** Allocates an array for the values of an input or output. */
export function valuesOf({ type }: Pick<End, 'type'>, count: number): Activations {
  if (type === 'int8') return new Int8Array(count);
  return type === 'int16' ? new Int16Array(count) : new Float32Array(count);
}

/** Standardizes features and converts them to the network's input type. Returns `out`. */
export function encodeInput<T extends Activations>(
  features: ArrayLike<number>,
  standardization: Standardization,
  end: End,
  out: T,
): T {
  if (out instanceof Int8Array) quantizeInput(features, standardization, end, out);
  else if (out instanceof Int16Array) quantizeInput16(features, standardization, end, out);
  else standardize(features, standardization, out as Float32Array);
  return out;
}

/** Like `quantizeInput`, for int16 activations, whose range is −32768 to 32767. */
function quantizeInput16(
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
  { scale, zeroPoint }: End,
  out: Int16Array,
): void {
  for (let i = 0; i < out.length; i++) {
    const x = (features[i]! - mean[i]!) / deviation[i]! / scale;
    out[i] = Math.min(32_767, Math.max(-32_768, roundHalfAway(x) + zeroPoint));
  }
}

/** Converts the quantized values of an input or output to real values. */
export function decode(values: ArrayLike<number>, { scale, zeroPoint }: End): number[] {
  return Array.from(values, (q) => scale * (q - zeroPoint));
}
