import { malformed } from './errors.js';
import {
  elementCount,
  type Graph,
  isDataOf,
  isEmpty,
  type Operator,
  type OperatorName,
  type Quantization,
  type Tensor,
  zeros,
} from './graph.js';
import { activationPlaces, fixedScale, keptShapes, operatorRows, rowOf } from './operators.js';
import type { ReadRow } from './shapes.js';

/**
 * Rejects an inconsistent graph: invalid tensor indices, data that does not fill its shape, an operator before the producer of its input,
 * or a tensor that is produced twice.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function checkGraph(graph: Graph): void {
  graph.tensors.forEach(checkTensor);
  const known = new Set(graph.inputs);
  const isVariable = (index: number) => graph.tensors[index]?.variable !== undefined;
  const ready = (index: number) =>
    known.has(index) || graph.tensors[index]?.data !== undefined || isVariable(index);
  for (const index of graph.inputs)
    if (graph.tensors[index] === undefined) throw malformed('inputs', `tensor ${index} does not exist`);
  for (const index of [...graph.inputs, ...graph.outputs])
    if (isVariable(index)) throw malformed('inputs and outputs', `tensor ${index} is a variable`);
  checkStates(graph);
  graph.operators.forEach(({ op, inputs, outputs, options }, position) => {
    const where = `operator ${position} (${op})`;
    const row: ReadRow = operatorRows[op];
    const { optional = [], states = [] } = rowOf(op);
    const made = row.outputs?.(options as never) ?? 1;
    if (inputs.length < row.inputs[0] || inputs.length > row.inputs[1] || outputs.length !== made)
      throw malformed(where, `unexpected number of inputs (${inputs.length}) or outputs (${outputs.length})`);
    // TFLite Micro reads the number of inputs that the option valuesCount specifies.
    if (op === 'PACK' && options.valuesCount !== inputs.length)
      throw malformed(where, `${inputs.length} inputs, but valuesCount is ${options.valuesCount}`);
    inputs.forEach((index, place) => {
      // Inputs after the required inputs may be omitted, but elements of a list may not.
      const omissible = place >= row.inputs[0] && op !== 'CONCATENATION' && op !== 'PACK';
      if (index === -1 && (omissible || optional.includes(place))) return;
      if (!ready(index))
        throw malformed(where, `its input, tensor ${index}, is not produced by an earlier operator`);
      if (isEmpty(graph.tensors[index]!))
        throw malformed(where, `its input, tensor ${index}, has no elements`);
      const expected = (place === 0 && variableOperators.includes(op)) || states.includes(place);
      if (isVariable(index) !== expected)
        throw malformed(where, `tensor ${index} is ${expected ? 'not a' : 'a'} variable`);
    });
    for (const output of outputs) {
      if (graph.tensors[output] === undefined) throw malformed(where, `tensor ${output} does not exist`);
      if (ready(output))
        throw malformed(where, `its output, tensor ${output}, is already produced by another operator`);
      known.add(output);
    }
  });
  for (const index of graph.outputs)
    if (!ready(index)) throw malformed('outputs', `tensor ${index} is not produced by any operator`);
}

/**
 * Rejects states that are also used elsewhere, or that do not start with real zeros. Files cannot store any other initial values for
 * states.
 */
function checkStates(graph: Graph): void {
  const uses = graph.operators.flatMap(({ inputs }) => inputs);
  graph.operators.forEach(({ op, inputs }, position) => {
    const where = `operator ${position} (${op})`;
    for (const place of rowOf(op).states ?? []) {
      const index = inputs[place]!;
      const { variable } = graph.tensors[index] ?? {};
      if (!isKept(graph, position, place))
        throw malformed(where, `its state, tensor ${index}, has another type or shape`);
      if (uses.filter((used) => used === index).length !== 1)
        throw malformed(where, `its state, tensor ${index}, has other uses`);
      if (variable && zeros(graph.tensors[index]!).some((zero, i) => zero !== variable[i]))
        throw malformed(where, `its state, tensor ${index}, does not start with zeros`);
    }
  });
}

/** Whether a state has the type and shape that the operator's options require, if a file does not contain the state. */
function isKept({ tensors, operators }: Graph, position: number, place: number): boolean {
  const operator = operators[position]!;
  const [input, state] = [operator.inputs[0]!, operator.inputs[place]!].map((index) => tensors[index]);
  if (operatorRows[operator.op].kept === undefined || input === undefined) return true;
  const wanted = keptShapes(operator, input)[(rowOf(operator.op).states ?? []).indexOf(place)];
  return wanted?.type === state?.type && wanted?.shape.join() === state?.shape.join();
}

const variableOperators: readonly OperatorName[] = ['READ_VARIABLE', 'ASSIGN_VARIABLE'];

function checkTensor(tensor: Tensor, index: number): void {
  const { name, shape, type, quantization } = tensor;
  const where = `tensor ${index} (${name})`;
  const least = tensor.data && isEmpty(tensor) ? 0 : 1;
  if (shape.some((size) => !Number.isInteger(size) || size < least))
    throw malformed(where, `expected positive dimensions, got [${shape}]`);
  if (tensor.data && tensor.variable) throw malformed(where, 'it is a constant and a variable');
  const data = tensor.data ?? tensor.variable;
  if (data !== undefined && !isDataOf(type, data))
    throw malformed(where, `its data is not an array of ${type}`);
  if (data !== undefined && data.length !== elementCount(shape))
    throw malformed(where, `expected ${elementCount(shape)} elements, got ${data.length}`);
  if (quantization === undefined) return;
  const { scale, zeroPoint, axis } = quantization;
  if (scale.length === 0 || scale.length !== zeroPoint.length)
    throw malformed(where, `${scale.length} scales but ${zeroPoint.length} zero points`);
  // Files store scales in single precision, so a more precise scale would change when it is written.
  const long = scale.find((value) => Math.fround(value) !== value);
  if (long !== undefined) throw malformed(where, `expected a float32 scale (Math.fround), got ${long}`);
  if (scale.length > 1 && shape[axis] !== scale.length)
    throw malformed(where, `${scale.length} scales do not match dimension ${axis} of [${shape}]`);
}

/** Operators whose scales TFLite Micro compares exactly. */
const exactScale: readonly OperatorName[] = ['CONCATENATION', 'REDUCE_MAX', 'REDUCE_MIN'];

/** Operators that change only the shape, so that samples of sound need no scale. */
const unscaled: readonly OperatorName[] = ['RESHAPE', 'EXPAND_DIMS', 'SQUEEZE'];

const weighted: readonly OperatorName[] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'TRANSPOSE_CONV',
];

/**
 * Rejects integer operators with invalid scales that TFLite Micro would not detect but use to compute wrong results. TFLite Micro's Prepare
 * functions check all other scales. A RELU6 may rescale, as in LiteRT. Source: TFLite's quantization specification.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function checkQuantization({ tensors, operators }: Graph): void {
  operators.forEach((operator, index) => {
    const { op, inputs, outputs } = operator;
    const where = `operator ${index} (${op})`;
    const taken = activationPlaces(operator).map((place) => tensors[inputs[place]!]!);
    const made = outputs.map((place) => tensors[place]!);
    // A CAST converts stored values and needs no scale. Custom operators and moved samples have none.
    if (op === 'CAST' || rowOf(op).custom !== undefined) return;
    if (unscaled.includes(op) && [...taken, ...made].every(({ quantization }) => quantization === undefined))
      return;
    const [output] = made;
    const widens = op === 'SOFTMAX' && taken[0]?.type === 'int8' && output?.type === 'int16';
    const converts = op === 'QUANTIZE' || op === 'DEQUANTIZE' || widens;
    for (const tensor of [...taken, ...made]) checkActivation(tensor, where, converts);
    const { scale, yields } = rowOf(op);
    const [alike, what] =
      yields === undefined ? [[...made, ...taken], 'inputs and outputs'] : [taken, 'inputs'];
    if (!converts)
      for (const { type } of alike)
        if (type !== alike[0]?.type && alike.some(isQuantized))
          throw malformed(where, `expected ${what} of one type, got ${alike[0]?.type} and ${type}`);
    // An operator without an output stores its input, so the scale is compared with the input's scale.
    const against = output ?? taken[0];
    if (against === undefined || !isQuantized(against)) return;
    if ((scale === 'input' && op !== 'RELU6') || scale === 'joined')
      for (const tensor of [...taken, ...made])
        if (!equal(tensor.quantization, against.quantization, exactScale.includes(op) ? 0 : 1e-6))
          throw malformed(where, 'expected inputs and outputs to have the same scale and zero point');
    if (output === undefined) return;
    checkOptions(operator, output, where);
    // TFLite Micro's SOFTMAX from int8 to int16 covers 0 to 1 with all of int16.
    const fixed = widens ? ([2 ** -16, -32768] as const) : fixedScale(op, output.type);
    if (
      fixed &&
      (output.quantization?.scale[0] !== fixed[0] || output.quantization.zeroPoint[0] !== fixed[1])
    )
      throw malformed(where, `expected an output of scale ${fixed[0]}, zero point ${fixed[1]}`);
    if (!weighted.includes(op)) return;
    const [weights, bias] = [1, op === 'TRANSPOSE_CONV' ? 3 : 2].map((place) => tensors[inputs[place] ?? -1]);
    if (weights?.type !== 'int8' || weights.quantization?.zeroPoint.some((zero) => zero !== 0) !== false)
      throw malformed(where, 'expected symmetric int8 weights (all zero points 0)');
    // TFLite Micro assumes that a third input is a bias, and crashes if this input is omitted.
    if (op === 'DEPTHWISE_CONV_2D' && inputs[2] === -1)
      throw malformed(where, 'its bias is omitted as −1; expected only two inputs');
    if (bias !== undefined && bias.type !== 'int32' && !(bias.type === 'int64' && output.type === 'int16'))
      throw malformed(where, `expected an int32 bias, got ${bias.type}`);
    if (op === 'FULLY_CONNECTED' && bias !== undefined)
      checkBiasScale([tensors[inputs[0]!]!, weights, bias, output], where);
  });
}

/**
 * Checks a bias's scale for weights with a single scale. TFLite Micro compares the bias's scale (0 if it has none) with the product of the
 * input's and the weights' scales. The two may differ by 2 % of an output step.
 */
function checkBiasScale(
  [input, weights, bias, output]: [Tensor, Tensor, Tensor, Tensor],
  where: string,
): void {
  const [one, ...others] = weights.quantization!.scale;
  if (others.length > 0) return;
  const product = Math.fround(input.quantization!.scale[0]! * one!);
  const own = bias.quantization?.scale[0] ?? 0;
  if (!(Math.abs(product - own) / output.quantization!.scale[0]! <= 0.02))
    throw malformed(where, `expected a bias scale of ${product} (input scale × weight scale), got ${own}`);
}

/** Checks options that TFLite Micro rejects or ignores for integers. */
function checkOptions({ op, inputs, options }: Operator, output: Tensor, where: string): void {
  if (op === 'CONCATENATION' && inputs.length > 10)
    throw malformed(where, `expected at most 10 inputs, got ${inputs.length}`);
  if (op === 'CONCATENATION' && options.activation !== 'none')
    throw malformed(where, `expected no fused activation, got ${options.activation}`);
  if ((op === 'ADD' || op === 'SUB') && output.type === 'int16' && options.potScaleInt16 !== false)
    throw malformed(where, 'expected potScaleInt16 to be false');
}

function isQuantized({ type }: Tensor): boolean {
  return type === 'int8' || type === 'int16';
}

/**
 * Checks a tensor's scale and zero point. The zero point of int16 is 0, except in operators that convert values: `anyZero` allows all
 * values of the type.
 */
function checkActivation(tensor: Tensor, where: string, anyZero: boolean): void {
  if (!isQuantized(tensor)) return;
  const { scale, zeroPoint } = tensor.quantization ?? { scale: [], zeroPoint: [] };
  const most = tensor.type === 'int8' ? 127 : anyZero ? 32767 : 0;
  const least = tensor.type === 'int8' ? -128 : anyZero ? -32768 : 0;
  if (scale.length !== 1 || !(scale[0]! > 0))
    throw malformed(where, `expected tensor ${tensor.name} to have one scale above 0`);
  if (!(zeroPoint[0]! >= least && zeroPoint[0]! <= most))
    throw malformed(where, `the zero point ${zeroPoint[0]} of ${tensor.name} does not fit ${tensor.type}`);
}

/** Whether two tensors have the same scale and zero point, except for rounding noise. */
export function scalesAlike(a: Tensor | undefined, b: Tensor | undefined): boolean {
  return equal(a?.quantization, b?.quantization, 1e-6);
}

/** Whether scales agree to within a fraction of the larger scale, because the converter may have introduced rounding noise. */
function equal(a: Quantization | undefined, b: Quantization | undefined, share: number): boolean {
  const [one, other] = [a?.scale[0] ?? Number.NaN, b?.scale[0] ?? Number.NaN];
  return Math.abs(one - other) <= share * Math.max(one, other) && a?.zeroPoint[0] === b?.zeroPoint[0];
}
