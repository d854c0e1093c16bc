import {
  activationPlaces,
  type Graph,
  type Operator,
  type Quantization,
  type Tensor,
  withoutUnused,
} from '../../formats/index.js';
import { calibrate, unfit } from './calibrate.js';
import { uniteRanges } from './join.js';
import {
  activationQuantization,
  fixedOutputs,
  quantizeValues,
  type Range,
  rangeOf,
  withLeastScale,
} from './numbers.js';
import { quantizeLayer } from './weights.js';

/** What kind of output an operator has: a scale of its own, a fixed one, or its input's. Others are refused. */
const outputs: Partial<Record<Operator['op'], 'own' | 'fixed' | 'input'>> = {
  FULLY_CONNECTED: 'own',
  CONV_2D: 'own',
  DEPTHWISE_CONV_2D: 'own',
  MEAN: 'own',
  RELU: 'own',
  LEAKY_RELU: 'own',
  ADD: 'own',
  SUB: 'own',
  MUL: 'own',
  CONCATENATION: 'own',
  MAX_POOL_2D: 'input',
  AVERAGE_POOL_2D: 'input',
  RESHAPE: 'input',
  EXPAND_DIMS: 'input',
  SQUEEZE: 'input',
  RELU6: 'input',
  PAD: 'input',
  PADV2: 'input',
  REDUCE_MAX: 'input',
  SPLIT: 'input',
  STRIDED_SLICE: 'input',
  TRANSPOSE: 'input',
  SOFTMAX: 'fixed',
  LOGISTIC: 'fixed',
  TANH: 'fixed',
};

/**
 * Full int8 post-training quantization of a float32 network: per-channel symmetric int8 weights, int32 biases, int8
 * activations with zero points from the ranges that the representative inputs give, int8 in and out. The given graph is
 * left unchanged. Rules: those of TensorFlow 2.18's converter, less its calibration defect for elementwise operators.
 * @throws AIOT_QUANTIZE_UNFIT, AIOT_TFLITE_UNSUPPORTED, AIOT_TFLITE_INPUT
 */
export function quantizeGraph(graph: Graph, representative: Iterable<Float32Array>): Graph {
  for (const { op } of graph.operators) {
    if (outputs[op] === undefined) {
      throw unfit(`expected operators of ${Object.keys(outputs).join(', ')}; got ${op}`);
    }
  }
  const seen = calibrate(graph, representative);
  const ranges = uniteRanges(graph, seen, ({ op }) => outputs[op] === 'own');
  // Constants that stay (shapes, axes) keep their place; weights and biases are made anew for each operator.
  const tensors: Tensor[] = graph.tensors.map((tensor) => ({ ...tensor }));
  const state: State = { tensors, ranges };
  for (const index of graph.inputs) setActivation(state, index, ownQuantization(state, index));
  const operators = graph.operators.flatMap((operator) => quantizeOperator(state, operator));
  return withoutUnused({ ...graph, tensors, operators });
}

interface State {
  tensors: Tensor[];
  ranges: Map<number, Range>;
}

/** The operator on int8, after QUANTIZE operators where a concatenation takes inputs of other scales. */
function quantizeOperator(state: State, operator: Operator): Operator[] {
  const { op, outputs: made } = operator;
  if (op === 'CONCATENATION') return quantizeConcatenation(state, operator);
  const places = activationPlaces(operator);
  const inputs = operator.inputs.map((index, place) =>
    places.includes(place) && outputs[op] === 'own' ? withConstant(state, index) : index,
  );
  const input = activationOf(state, inputs[places[0]!]!, op);
  let quantization: Quantization;
  if (op === 'SOFTMAX' || op === 'LOGISTIC' || op === 'TANH') {
    quantization = fixedOutputs[op];
    guardTable(op, input.scale[0]!);
  } else {
    quantization = outputs[op] === 'input' ? input : ownQuantization(state, made[0]!);
  }
  if (op === 'ADD' || op === 'SUB') {
    // The kernel's last multiplier, twice the larger scale / (2^20 · output scale), must stay below 1.
    const largest = Math.max(input.scale[0]!, activationOf(state, inputs[1]!, op).scale[0]!);
    quantization = withLeastScale(quantization, largest * 2 ** -18);
  }
  if (op === 'PADV2') inputs[2] = withConstant(state, inputs[2]!, input);
  for (const index of made) setActivation(state, index, quantization);
  if (op === 'FULLY_CONNECTED' || op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D') {
    return [{ ...operator, inputs: quantizeWeights(state, operator, input.scale[0]!) }];
  }
  return [{ ...operator, inputs }];
}

function quantizeConcatenation(state: State, operator: Operator): Operator[] {
  const [output = -1] = operator.outputs;
  const quantization = ownQuantization(state, output);
  setActivation(state, output, quantization);
  const before: Operator[] = [];
  const inputs = operator.inputs.map((index) => {
    const given = withConstant(state, index, quantization);
    const own = activationOf(state, given, operator.op);
    if (own.scale[0] === quantization.scale[0] && own.zeroPoint[0] === quantization.zeroPoint[0])
      return given;
    const { name, shape } = state.tensors[given]!;
    const joined = state.tensors.push({ name: `${name}/joined`, shape, type: 'int8', quantization }) - 1;
    before.push({ op: 'QUANTIZE', inputs: [given], outputs: [joined], options: {} });
    return joined;
  });
  return [...before, { ...operator, inputs }];
}

/** The index itself, or that of an int8 form of a float constant: in its own scale, or the one given. */
function withConstant({ tensors }: State, index: number, given?: Quantization): number {
  const tensor = tensors[index];
  if (!(tensor?.data instanceof Float32Array)) return index;
  const quantization = given ?? activationQuantization(rangeOf(tensor.data));
  const data = quantizeValues(tensor.data, quantization);
  return tensors.push({ ...tensor, type: 'int8', data, quantization }) - 1;
}

/** The exponential and sigmoid of the int8 kernels take input scales within bounds only. */
function guardTable(op: string, scale: number): void {
  const [least, most] = op === 'SOFTMAX' ? [2 ** -26, 2 ** 5] : [2 ** -40, 16];
  if (scale <= least || scale >= most) {
    throw unfit(`${op}: expected an input scale between ${least} and ${most}, got ${scale}`);
  }
}

function quantizeWeights(state: State, { op, inputs }: Operator, inputScale: number): number[] {
  const [x = -1, w = -1, b = -1] = inputs;
  const weights = state.tensors[w];
  const bias = state.tensors[b];
  if (!weights || !(weights.data instanceof Float32Array))
    throw unfit(`${op}: expected constant float32 weights`);
  if (b !== -1 && !(bias?.data instanceof Float32Array))
    throw unfit(`${op}: expected a constant float32 bias`);
  const axis = op === 'DEPTHWISE_CONV_2D' ? 3 : 0;
  const channels = weights.shape[axis]!;
  const block = axis === 3 ? 1 : weights.data.length / channels;
  const biases = bias?.data instanceof Float32Array ? bias.data : new Float32Array(channels);
  const layer = quantizeLayer(weights.data, biases, channels, block, axis, inputScale);
  const place = state.tensors.push(
    { ...weights, type: 'int8', data: layer.weights, quantization: layer.weightQuantization },
    {
      name: bias?.name ?? `${weights.name}/bias`,
      shape: [channels],
      type: 'int32',
      data: layer.bias,
      quantization: layer.biasQuantization,
    },
  );
  return [x, place - 2, place - 1];
}

function ownQuantization({ ranges, tensors }: State, index: number): Quantization {
  const range = ranges.get(index);
  if (!range) throw unfit(`no values were seen of tensor ${tensors[index]?.name}`);
  return activationQuantization(range);
}

function activationOf({ tensors }: State, index: number, op: string): Quantization {
  const tensor = tensors[index];
  if (tensor?.type === 'int8' && tensor.quantization) return tensor.quantization;
  throw unfit(`${op}: expected an activation as its input, got ${tensor?.name ?? 'nothing'}`);
}

function setActivation({ tensors }: State, index: number, quantization: Quantization): void {
  const tensor = tensors[index];
  if (tensor?.type !== 'float32') throw unfit(`expected float32 activations, got ${tensor?.type ?? 'none'}`);
  tensors[index] = { ...tensor, type: 'int8', quantization };
}
