import { AiotError } from '../../core/index.js';
import type { Graph, Operator, Tensor } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import { encodeInput, valuesOf } from '../bundle/ends.js';
import type { BundleInfo } from '../bundle/types.js';
import { quantizeLayer } from '../quantize/graph/numbers.js';

type Dense = Extract<Operator, { op: 'FULLY_CONNECTED' }>;

/** The last layer of a classifier as real values: scores = softmax or sigmoid of weights · hidden + bias. */
export interface LastLayer {
  /** Place among the operators. */
  at: number;
  outputs: number;
  inputs: number;
  /** [outputs × inputs] */
  weights: Float64Array;
  bias: Float64Array;
}

/**
 * @throws AIOT_MODEL_UNFIT where the network does not end in a fully connected layer and a softmax or sigmoid, or keeps its weights in
 *   another form than int8 and float32
 */
export function lastLayerOf({ operators, tensors, outputs }: Graph): LastLayer {
  let at = operators.length - 1;
  while (at >= 0 && ['SOFTMAX', 'LOGISTIC', 'DEQUANTIZE', 'QUANTIZE'].includes(operators[at]!.op)) at--;
  const operator = operators[at];
  if (outputs.length !== 1 || operator?.op !== 'FULLY_CONNECTED' || operator.options.activation !== 'none') {
    throw unfit(`it ends in ${operator?.op ?? 'nothing'} and not in a plain fully connected layer`);
  }
  const [, w = -1, b = -1] = operator.inputs;
  const weights = tensors[w];
  const [rows = 0, columns = 0] = weights?.shape ?? [];
  return {
    at,
    outputs: rows,
    inputs: columns,
    weights: realValues(weights, columns),
    bias: b < 0 ? new Float64Array(rows) : realValues(tensors[b], 1),
  };
}

/** What a constant stands for; `block` elements share a scale where there are several. */
function realValues(tensor: Tensor | undefined, block: number): Float64Array {
  const { data, quantization } = tensor ?? {};
  if (data instanceof Float32Array) return Float64Array.from(data);
  if (!(data instanceof Int8Array || data instanceof Int32Array || data instanceof BigInt64Array)) {
    throw unfit('its last layer has no constant weights of int8 or float32');
  }
  const { scale = [1] } = quantization ?? {};
  const of = (i: number) => scale[scale.length === 1 ? 0 : Math.floor(i / block)] ?? 1;
  return Float64Array.from(data as ArrayLike<number | bigint>, (q, i) => Number(q) * of(i));
}

/** Computes what goes into the last layer, from features before standardization. The array is overwritten by the next call. */
export function createHidden(graph: Graph, info: BundleInfo): (features: ArrayLike<number>) => Float64Array {
  const { at, inputs } = lastLayerOf(graph);
  const interpreter = createInterpreter(graph);
  const [index = -1] = graph.operators[at]!.inputs;
  const { scale = [1], zeroPoint = [0] } = graph.tensors[index]?.quantization ?? {};
  const room = valuesOf(info.input, info.standardization.mean.length);
  const hidden = new Float64Array(inputs);
  return (features) => {
    interpreter.invoke(encodeInput(features, info.standardization, info.input, room));
    const values = interpreter.tensors[index]!;
    for (let i = 0; i < inputs; i++) hidden[i] = scale[0]! * (Number(values[i]) - zeroPoint[0]!);
    return hidden;
  };
}

/**
 * The graph with other weights in its last layer, in the numbers that the layer had.
 * @param range least and greatest output of the new layer, before softmax or sigmoid
 */
export function withLastLayer(graph: Graph, layer: LastLayer, range: readonly [number, number]): Graph {
  const operator = graph.operators[layer.at] as Dense;
  const [x = -1, w = -1, b = -1] = operator.inputs;
  const [z = -1] = operator.outputs;
  const tensors = [...graph.tensors];
  const set = (index: number, change: Partial<Tensor>) => {
    if (index >= 0) tensors[index] = { ...tensors[index]!, ...change };
  };
  const weights = Float32Array.from(layer.weights);
  const bias = Float32Array.from(layer.bias);
  if (tensors[w]!.data instanceof Float32Array) {
    set(w, { data: weights });
    set(b, { data: bias });
    return { ...graph, tensors };
  }
  const scale = tensors[x]!.quantization?.scale[0] ?? 1;
  const made = quantizeLayer(weights, bias, layer.outputs, layer.inputs, 0, scale);
  set(w, { data: made.weights, quantization: made.weightQuantization });
  const wide = tensors[b]?.data instanceof BigInt64Array;
  set(b, {
    data: wide ? BigInt64Array.from(made.bias, BigInt) : made.bias,
    quantization: made.biasQuantization,
  });
  set(z, { quantization: outputQuantization(tensors[z]!, range) });
  return { ...graph, tensors };
}

/** Of the layer's output: int16 without a zero point, int8 with one, and 0 within. */
function outputQuantization({ type }: Tensor, range: readonly [number, number]): Tensor['quantization'] {
  const [low, high] = [Math.min(0, range[0]), Math.max(0, range[1])];
  if (type === 'int16') {
    const scale = Math.fround(Math.max(-low, high, 1e-6) / 32_767);
    return { scale: [scale], zeroPoint: [0], axis: 0 };
  }
  const scale = Math.fround(Math.max(high - low, 1e-6) / 255);
  const zeroPoint = Math.min(127, Math.max(-128, Math.round(-128 - low / scale)));
  return { scale: [scale], zeroPoint: [zeroPoint], axis: 0 };
}

/** What a layer, or a whole model, is told that cannot be learned anew here. */
export function unfit(message: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', `this model cannot be taught on the spot: ${message}`, {
    next: 'The recordings are kept: train anew with them (aiot model train), where there is more power.',
  });
}
